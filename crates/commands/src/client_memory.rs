//! Memory of clients: `maxmemory-clients`, beyond which the client that holds most is closed.
//! Never evicts data, and never closes a client that asked to be left alone (CLIENT NO-EVICT).
//! Source: redis-server 7 for the rule; every core closes its own largest when none elsewhere can hold more.

use crate::{
    ClientId, Core,
    clients::Close,
    sharing::{NOT_LOOKED, ShardLoad},
};
use std::sync::atomic::Ordering;

/// A smaller limit counts as this much, as in Redis: every client needs something.
const LIMIT_BYTES_MIN: u64 = 128 * 1024;

impl Core {
    /// Marks clients of this core to be closed while all cores' clients together hold too much and none elsewhere holds more.
    #[inline]
    pub fn hold_client_memory(&mut self) {
        let limit_bytes = self.config.maxmemory_clients_bytes();
        if limit_bytes > 0 {
            self.evict_clients(limit_bytes.max(LIMIT_BYTES_MIN));
        }
    }

    fn evict_clients(&mut self, limit_bytes: u64) {
        let mut own_bytes = self.clients.bytes();
        loop {
            self.own_load().show_clients(own_bytes);
            let others_bytes: u64 = self.other_loads().map(ShardLoad::client_bytes).sum();
            if own_bytes + others_bytes <= limit_bytes {
                return self.own_load().hide_largest_client();
            }
            let Some((largest, bytes)) = self.largest_client() else {
                return self.own_load().show_largest_client(0);
            };
            self.own_load().show_largest_client(bytes);
            let elsewhere = self.other_loads().map(ShardLoad::largest_client_bytes_max);
            if elsewhere.max().is_some_and(|other| other > bytes) {
                return;
            }
            self.clients.close(largest, Close::Now);
            self.stats.evicted_clients += 1;
            own_bytes -= bytes.min(own_bytes);
        }
    }

    /// The client that holds most and may be closed, with its bytes.
    fn largest_client(&self) -> Option<(ClientId, u64)> {
        let may_go = self
            .clients
            .iter()
            .filter(|(_, client)| !client.no_evict && client.close != Some(Close::Now));
        may_go
            .map(|(id, client)| (id, client.total_bytes as u64))
            .max_by_key(|(_, bytes)| *bytes)
    }

    fn own_load(&self) -> &ShardLoad {
        &self.facts.loads[usize::from(self.id.0)]
    }

    /// Has it remembered what clients' buffers hold, where that has changed here by more than is worth a look. Once a turn.
    pub fn note_buffers(&mut self) {
        const WORTH_BYTES: u64 = 64 << 10;
        let bytes = self.clients.bytes() + self.travelling_bytes.max(0) as u64;
        if bytes.abs_diff(self.noted_buffer_bytes) > WORTH_BYTES {
            self.noted_buffer_bytes = bytes;
            self.facts.remember_buffers();
        }
    }

    fn other_loads(&self) -> impl Iterator<Item = &ShardLoad> {
        let own = usize::from(self.id.0);
        let loads = self.facts.loads.iter().enumerate();
        loads.filter_map(move |(shard, load)| (shard != own).then_some(load))
    }
}

impl ShardLoad {
    fn show_clients(&self, bytes: u64) {
        self.client_bytes.store(bytes, Ordering::Relaxed);
    }

    fn show_largest_client(&self, bytes: u64) {
        self.largest_client_bytes.store(bytes, Ordering::Relaxed);
    }

    fn hide_largest_client(&self) {
        self.largest_client_bytes
            .store(NOT_LOOKED, Ordering::Relaxed);
    }

    pub(crate) fn show_heap_data(&self, bytes: i64) {
        self.heap_data_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Bytes on the heap that counted against the limit when the shard last settled.
    pub(crate) fn heap_data_bytes(&self) -> i64 {
        self.heap_data_bytes.load(Ordering::Relaxed)
    }

    /// Bytes of the clients of a shard's core when it last looked.
    pub fn client_bytes(&self) -> u64 {
        self.client_bytes.load(Ordering::Relaxed)
    }

    /// What the largest client there can hold at most. A core that has not looked for it yet may hold all in one client: it
    /// looks before its next sleep, and until then nobody closes a smaller one in its place.
    fn largest_client_bytes_max(&self) -> u64 {
        let largest_bytes = self.largest_client_bytes.load(Ordering::Relaxed);
        largest_bytes.min(self.client_bytes())
    }
}
