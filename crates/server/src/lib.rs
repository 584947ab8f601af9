//! Executors, connections, the mesh between shards, background work
