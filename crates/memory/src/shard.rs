//! Owns the figures one shard fills in about its memory, and how those of all shards add up.
//! Never happens here: reading a counter, a ratio, a peak, or a figure of the whole process.
//! Source: one struct for every reader, merged field by field with none left out.

#![forbid(unsafe_code)]

/// Numbered databases of an instance.
pub const DATABASES: usize = 16;

/// One shard's share of one numbered database. Every field is summed over shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatabaseMemory {
    /// Summed: keys, expired ones not yet removed included.
    pub keys: u64,
    /// Summed: keys with an expiry.
    pub expiring_keys: u64,
    /// Summed: bytes of the index, 0 for a database without keys.
    pub tables_bytes: u64,
    /// Summed: bytes spent on expiry outside the entries; 0, the expiry lies in the entry.
    pub expiry_bytes: u64,
}

impl DatabaseMemory {
    /// Adds another shard's share.
    pub fn merge(&mut self, other: &DatabaseMemory) {
        let DatabaseMemory {
            keys,
            expiring_keys,
            tables_bytes,
            expiry_bytes,
        } = other;
        self.keys += keys;
        self.expiring_keys += expiring_keys;
        self.tables_bytes += tables_bytes;
        self.expiry_bytes += expiry_bytes;
    }
}

/// What one shard knows of its memory, copied from its own counters without a scan.
///
/// Every field is summed over shards; peaks, ratios and figures of the process are elsewhere. A
/// byte is in one of the accounts below `slab_used_bytes` and `heap_allocated_bytes` at most, and
/// those two are all the shard holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardMemory {
    /// Summed: keys of all databases.
    pub keys: u64,
    /// Summed: keys of all databases that have an expiry.
    pub expiring_keys: u64,
    /// Summed: bytes of the blocks that hold keys and values, as the allocators round them.
    pub dataset_bytes: u64,
    /// Summed: bytes of data that no key holds: deleted and being freed in steps, or growing for a command in steps.
    pub freeing_bytes: u64,
    /// Summed: bytes of index segments and directories.
    pub tables_bytes: u64,
    /// Summed: bytes of expiry and eviction metadata outside entries and tables.
    pub expiry_bytes: u64,
    /// Summed: bytes of live blocks of the slab (entries and index segments).
    pub slab_used_bytes: u64,
    /// Summed: bytes of slab pages that were touched and not given back.
    pub slab_committed_bytes: u64,
    /// Summed: the counter of the shard's thread; negative if it frees what others allocated.
    pub heap_allocated_bytes: i64,
    /// Summed: bytes of free blocks in the heap pages this thread holds
    /// ([`heap_areas`](crate::heap::heap_areas)).
    pub heap_slack_bytes: u64,
    /// Summed: bytes of the state and buffers of ordinary clients.
    pub clients_normal_bytes: u64,
    /// Summed: bytes of the buffers of replicas.
    pub clients_replicas_bytes: u64,
    /// Summed: bytes of the replication backlog.
    pub backlog_bytes: u64,
    /// Summed: bytes of the append-only file's buffer.
    pub aof_buffer_bytes: u64,
    /// Summed: bytes of cached scripts and their interpreter.
    pub scripts_bytes: u64,
    /// Summed: bytes of function libraries.
    pub functions_bytes: u64,
    /// Summed: bytes of the channels between shards that this shard owns.
    pub mesh_bytes: u64,
    /// Summed: what of these bytes is on its way between shards, or was and is kept for the next commands.
    pub travelling_bytes: u64,
    /// Summed: bytes this shard's thread freed that another had allocated; only grows.
    pub foreign_freed_bytes: u64,
    /// Summed: connected clients.
    pub clients: u64,
    /// Summed: commands run since start, for the load of one shard against the others.
    pub commands: u64,
    /// Summed, each on its own: the numbered databases.
    pub databases: [DatabaseMemory; DATABASES],
}

impl ShardMemory {
    /// Adds another shard's figures. A field that is not named here does not compile.
    pub fn merge(&mut self, other: &ShardMemory) {
        let ShardMemory {
            keys,
            expiring_keys,
            dataset_bytes,
            freeing_bytes,
            tables_bytes,
            expiry_bytes,
            slab_used_bytes,
            slab_committed_bytes,
            heap_allocated_bytes,
            heap_slack_bytes,
            clients_normal_bytes,
            clients_replicas_bytes,
            backlog_bytes,
            aof_buffer_bytes,
            scripts_bytes,
            functions_bytes,
            mesh_bytes,
            travelling_bytes,
            foreign_freed_bytes,
            clients,
            commands,
            databases,
        } = other;
        self.keys += keys;
        self.expiring_keys += expiring_keys;
        self.dataset_bytes += dataset_bytes;
        self.freeing_bytes += freeing_bytes;
        self.tables_bytes += tables_bytes;
        self.expiry_bytes += expiry_bytes;
        self.slab_used_bytes += slab_used_bytes;
        self.slab_committed_bytes += slab_committed_bytes;
        self.heap_allocated_bytes += heap_allocated_bytes;
        self.heap_slack_bytes += heap_slack_bytes;
        self.clients_normal_bytes += clients_normal_bytes;
        self.clients_replicas_bytes += clients_replicas_bytes;
        self.backlog_bytes += backlog_bytes;
        self.aof_buffer_bytes += aof_buffer_bytes;
        self.scripts_bytes += scripts_bytes;
        self.functions_bytes += functions_bytes;
        self.mesh_bytes += mesh_bytes;
        self.travelling_bytes += travelling_bytes;
        self.foreign_freed_bytes += foreign_freed_bytes;
        self.clients += clients;
        self.commands += commands;
        for (own, theirs) in self.databases.iter_mut().zip(databases) {
            own.merge(theirs);
        }
    }

    /// All bytes the shard holds; below zero only for a shard that frees what others allocated.
    pub fn used_bytes(&self) -> i64 {
        self.slab_used_bytes as i64 + self.heap_allocated_bytes
    }

    /// Bytes of slab pages that hold no live block.
    pub fn slab_slack_bytes(&self) -> u64 {
        self.slab_committed_bytes
            .saturating_sub(self.slab_used_bytes)
    }

    /// Bytes the shard has taken from the operating system, live or free.
    pub fn committed_bytes(&self) -> i64 {
        self.slab_committed_bytes.max(self.slab_used_bytes) as i64
            + self.heap_allocated_bytes
            + self.heap_slack_bytes as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shard whose fields are all different, times `by`.
    fn sample(by: u64) -> ShardMemory {
        let mut databases = [DatabaseMemory::default(); DATABASES];
        for (place, database) in databases.iter_mut().enumerate() {
            let place = place as u64;
            *database = DatabaseMemory {
                keys: by * (100 + place),
                expiring_keys: by * (200 + place),
                tables_bytes: by * (300 + place),
                expiry_bytes: by * (400 + place),
            };
        }
        ShardMemory {
            keys: by,
            expiring_keys: by * 2,
            dataset_bytes: by * 3,
            freeing_bytes: by * 4,
            tables_bytes: by * 5,
            expiry_bytes: by * 6,
            slab_used_bytes: by * 7,
            slab_committed_bytes: by * 8,
            heap_allocated_bytes: -(by as i64) * 9,
            heap_slack_bytes: by * 10,
            clients_normal_bytes: by * 11,
            clients_replicas_bytes: by * 12,
            backlog_bytes: by * 13,
            aof_buffer_bytes: by * 14,
            scripts_bytes: by * 15,
            functions_bytes: by * 16,
            mesh_bytes: by * 17,
            travelling_bytes: by * 21,
            foreign_freed_bytes: by * 18,
            clients: by * 19,
            commands: by * 20,
            databases,
        }
    }

    #[test]
    fn merging_adds_every_field() {
        let mut merged = sample(3);
        merged.merge(&sample(4));
        assert_eq!(merged, sample(7));
    }

    #[test]
    fn merging_nothing_changes_nothing() {
        let mut merged = sample(3);
        merged.merge(&ShardMemory::default());
        assert_eq!(merged, sample(3));
    }

    #[test]
    fn the_order_of_merging_does_not_matter() {
        let mut one_way = sample(1);
        one_way.merge(&sample(5));
        let mut other_way = sample(5);
        other_way.merge(&sample(1));
        assert_eq!(one_way, other_way);
    }

    #[test]
    fn what_a_shard_uses_is_its_slab_and_its_heap() {
        let shard = ShardMemory {
            slab_used_bytes: 1000,
            slab_committed_bytes: 1500,
            heap_allocated_bytes: 300,
            heap_slack_bytes: 20,
            ..ShardMemory::default()
        };
        assert_eq!(shard.used_bytes(), 1300);
        assert_eq!(shard.slab_slack_bytes(), 500);
        assert_eq!(shard.committed_bytes(), 1820);
    }
}
