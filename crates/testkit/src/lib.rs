//! What tests share: a server process, a client, an oracle, generators
