//! A core's traffic counters: what INFO sums over the shards.
//! Every counter only grows until CONFIG RESETSTAT, unless its description says otherwise.
//! A forgotten field does not compile: the merge destructures.

use store::Moves;

/// Counters of one core.
#[derive(Clone, Debug, Default)]
pub struct CoreStats {
    /// Connections accepted.
    pub connections_received: u64,
    /// Connections refused by `maxclients`.
    pub connections_rejected: u64,
    /// Commands run, by row number.
    pub calls: Vec<CommandStats>,
    /// Commands run, all rows.
    pub commands_processed: u64,
    /// Bytes read from clients.
    pub net_input_bytes: u64,
    /// Bytes written to clients.
    pub net_output_bytes: u64,
    /// Lookups that found a live key.
    pub keyspace_hits: u64,
    /// Lookups that found none.
    pub keyspace_misses: u64,
    /// What the shard counts, since the last reset; a report takes it over.
    pub shard: ShardCounts,
    /// What the shard had counted at the last reset; not summed.
    pub shard_at_reset: ShardCounts,
    /// Deleted keys and collections that are still to be freed, as of the last look.
    pub lazyfree_pending_objects: u64,
    /// Clients closed because all together passed `maxmemory-clients`.
    pub evicted_clients: u64,
    /// For how long the limit was passed; counted by one core for all.
    pub exceeded: Exceeded,
    /// Error replies sent.
    pub error_replies: u64,
    /// Error replies sent, by code.
    pub errors: ErrorCodes,
    /// Clients closed because their output buffer passed its limit.
    pub output_limit_disconnections: u64,
    /// Clients closed because their query buffer passed its limit.
    pub query_limit_disconnections: u64,
    /// Reads from and writes to sockets.
    pub reads_processed: u64,
    /// Writes to sockets.
    pub writes_processed: u64,
    /// Commands that came from another core.
    pub hops_served: u64,
    /// Blocks that moving together moved, and those it left where they were; keys likewise.
    pub defrag: Moves,
    /// Microseconds spent on it in the background.
    pub defrag_us: u64,
    /// For how long the pass under way in the background has gone on (now, not resettable; the longest of all cores).
    pub defrag_current_us: u64,
    /// Per cent of this core's time that it takes now, 0 when none is under way (now, not resettable; the most of all cores).
    pub defrag_percent: u32,
    /// What went through in the last moments (now, not resettable).
    pub rates: Rates,
}

/// For how long the limit was passed, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exceeded {
    /// In all, this time included.
    pub total_us: u64,
    /// This time; 0 while it is not (now, not resettable).
    pub current_us: u64,
}

impl Exceeded {
    /// Notes that so much time has passed, and whether the limit is passed.
    pub fn note(&mut self, is_exceeded: bool, passed_us: u64) {
        if is_exceeded {
            self.total_us += passed_us;
            self.current_us += passed_us;
        } else {
            self.current_us = 0;
        }
    }

    fn merge(&mut self, other: &Exceeded) {
        let Exceeded {
            total_us,
            current_us,
        } = other;
        self.total_us += total_us;
        self.current_us += current_us;
    }
}

/// Counters of one command on one core.
#[derive(Clone, Copy, Debug, Default)]
pub struct CommandStats {
    /// Calls that ran.
    pub calls: u64,
    /// Calls refused before they ran (arity, memory limit, password).
    pub rejected: u64,
    /// Calls that ran and answered an error.
    pub failed: u64,
}

/// Error replies by code, the first word of their text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorCodes {
    counts: Vec<(Box<str>, u64)>,
}

/// Codes are ours but for those that scripts make up; more than these are counted without their names.
const ERROR_CODES_MAX: usize = 128;

impl ErrorCodes {
    fn add(&mut self, code: &str, count: u64) {
        if let Some((_, counted)) = self.counts.iter_mut().find(|(known, _)| **known == *code) {
            *counted += count;
        } else if self.counts.len() < ERROR_CODES_MAX {
            self.counts.push((code.into(), count));
        }
    }

    /// Codes and how often each was sent, by code.
    pub fn by_code(&self) -> Vec<(&str, u64)> {
        let mut codes: Vec<(&str, u64)> = self
            .counts
            .iter()
            .map(|(code, count)| (&**code, *count))
            .collect();
        codes.sort_unstable();
        codes
    }
}

/// Samples that the rates are the mean of, as in Redis.
const SAMPLES: usize = 16;
/// Time between samples in microseconds, as in Redis.
const SAMPLE_US: u64 = 100_000;

/// Commands, bytes in and bytes out a second, as a mean of the last samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    sampled_us: u64,
    counters: [u64; 3],
    samples: [[u64; 3]; SAMPLES],
    place: usize,
}

impl Rates {
    /// Commands, bytes in, bytes out: each a second.
    pub fn per_second(&self) -> [u64; 3] {
        std::array::from_fn(|kind| {
            self.samples.iter().map(|sample| sample[kind]).sum::<u64>() / SAMPLES as u64
        })
    }

    fn sample(&mut self, mono_us: u64, counters: [u64; 3]) {
        let elapsed_us = mono_us.saturating_sub(self.sampled_us);
        if elapsed_us < SAMPLE_US {
            return;
        }
        let rate = |kind: usize| {
            let counted = u128::from(counters[kind].saturating_sub(self.counters[kind]));
            (counted * 1_000_000 / u128::from(elapsed_us)) as u64
        };
        let sample = std::array::from_fn(rate);
        // After a pause one sample stands for all that were not taken.
        for _ in 0..(elapsed_us / SAMPLE_US).min(SAMPLES as u64) {
            self.samples[self.place] = sample;
            self.place = (self.place + 1) % SAMPLES;
        }
        (self.sampled_us, self.counters) = (mono_us, counters);
    }

    fn merge(&mut self, other: &Rates) {
        for (mine, theirs) in self
            .samples
            .iter_mut()
            .flatten()
            .zip(other.samples.iter().flatten())
        {
            *mine += theirs;
        }
    }
}

impl CommandStats {
    fn merge(&mut self, other: &CommandStats) {
        let CommandStats {
            calls,
            rejected,
            failed,
        } = other;
        self.calls += calls;
        self.rejected += rejected;
        self.failed += failed;
    }
}

/// What a shard counts by itself from the moment it is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardCounts {
    /// Keys removed because they were past their expiry.
    pub expired_keys: u64,
    /// Keys evicted.
    pub evicted_keys: u64,
    /// Keys and collections freed after the command that deleted them.
    pub lazyfreed_objects: u64,
}

impl ShardCounts {
    fn less(self, earlier: ShardCounts) -> ShardCounts {
        ShardCounts {
            expired_keys: self.expired_keys - earlier.expired_keys,
            evicted_keys: self.evicted_keys - earlier.evicted_keys,
            lazyfreed_objects: self.lazyfreed_objects - earlier.lazyfreed_objects,
        }
    }

    fn merge(&mut self, other: ShardCounts) {
        let ShardCounts {
            expired_keys,
            evicted_keys,
            lazyfreed_objects,
        } = other;
        self.expired_keys += expired_keys;
        self.evicted_keys += evicted_keys;
        self.lazyfreed_objects += lazyfreed_objects;
    }
}

impl CoreStats {
    /// Takes a sample of the rates if it is time; called on every tick and before a report.
    pub fn sample(&mut self, mono_us: u64) {
        let counters = [
            self.commands_processed,
            self.net_input_bytes,
            self.net_output_bytes,
        ];
        self.rates.sample(mono_us, counters);
    }

    /// Counts an error reply by the first word of its text.
    pub fn count_error(&mut self, text: &[u8]) {
        self.error_replies += 1;
        let code = text.split(|&byte| byte == b' ').next().unwrap_or_default();
        self.errors.add(&String::from_utf8_lossy(code), 1);
    }

    /// Takes over what the shard has counted since it was made.
    pub fn take_shard_counts(&mut self, counts: ShardCounts) {
        self.shard = counts.less(self.shard_at_reset);
    }

    /// Starts every counter from zero (CONFIG RESETSTAT); what is a measure of now stays.
    pub fn reset(&mut self) {
        let mut shard_at_reset = self.shard_at_reset;
        shard_at_reset.merge(self.shard);
        let exceeded = Exceeded {
            total_us: 0,
            ..self.exceeded
        };
        let rates = Rates {
            counters: [0; 3],
            ..self.rates
        };
        let calls = vec![CommandStats::default(); self.calls.len()];
        *self = CoreStats {
            defrag_current_us: self.defrag_current_us,
            defrag_percent: self.defrag_percent,
            calls,
            rates,
            shard_at_reset,
            lazyfree_pending_objects: self.lazyfree_pending_objects,
            exceeded,
            ..CoreStats::default()
        };
    }

    /// Adds another core's counters.
    pub fn merge(&mut self, other: &CoreStats) {
        let CoreStats {
            connections_received,
            connections_rejected,
            calls,
            commands_processed,
            net_input_bytes,
            net_output_bytes,
            keyspace_hits,
            keyspace_misses,
            shard,
            shard_at_reset: _,
            lazyfree_pending_objects,
            evicted_clients,
            exceeded,
            error_replies,
            errors,
            output_limit_disconnections,
            query_limit_disconnections,
            reads_processed,
            writes_processed,
            hops_served,
            defrag,
            defrag_us,
            defrag_current_us,
            defrag_percent,
            rates,
        } = other;
        self.connections_received += connections_received;
        self.connections_rejected += connections_rejected;
        self.calls
            .resize(self.calls.len().max(calls.len()), CommandStats::default());
        for (mine, theirs) in self.calls.iter_mut().zip(calls) {
            mine.merge(theirs);
        }
        self.commands_processed += commands_processed;
        self.net_input_bytes += net_input_bytes;
        self.net_output_bytes += net_output_bytes;
        self.keyspace_hits += keyspace_hits;
        self.keyspace_misses += keyspace_misses;
        self.shard.merge(*shard);
        self.lazyfree_pending_objects += lazyfree_pending_objects;
        self.evicted_clients += evicted_clients;
        self.exceeded.merge(exceeded);
        self.error_replies += error_replies;
        for (code, count) in &errors.counts {
            self.errors.add(code, *count);
        }
        self.output_limit_disconnections += output_limit_disconnections;
        self.query_limit_disconnections += query_limit_disconnections;
        self.reads_processed += reads_processed;
        self.writes_processed += writes_processed;
        self.hops_served += hops_served;
        self.defrag.merge(defrag);
        self.defrag_us += defrag_us;
        self.defrag_current_us = self.defrag_current_us.max(*defrag_current_us);
        self.defrag_percent = self.defrag_percent.max(*defrag_percent);
        self.rates.merge(rates);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_a_mean_of_the_last_samples_and_fall_to_zero_in_silence() {
        let mut stats = CoreStats::default();
        for tick in 1..=SAMPLES as u64 {
            stats.commands_processed += 50;
            stats.net_input_bytes += 100;
            stats.sample(tick * SAMPLE_US);
            stats.sample(tick * SAMPLE_US + 1);
        }
        assert_eq!(stats.rates.per_second(), [500, 1000, 0]);
        stats.sample(1_000_000_000);
        assert_eq!(stats.rates.per_second(), [0, 0, 0]);
    }

    #[test]
    fn a_reset_makes_no_rate_negative_and_leaves_the_list_of_commands() {
        let mut stats = CoreStats {
            calls: vec![CommandStats {
                calls: 1,
                rejected: 1,
                failed: 1,
            }],
            ..Default::default()
        };
        stats.commands_processed = 1000;
        stats.sample(SAMPLE_US);
        stats.count_error(b"ERR no");
        stats.reset();
        assert_eq!(
            (
                stats.commands_processed,
                stats.error_replies,
                stats.calls.len()
            ),
            (0, 0, 1)
        );
        assert_eq!((stats.calls[0].calls, stats.errors.by_code().len()), (0, 0));
        stats.commands_processed = 100;
        stats.sample(2 * SAMPLE_US);
        assert_eq!(stats.rates.per_second()[0], (10_000 + 1000) / 16);
    }

    #[test]
    fn errors_are_counted_by_code_over_all_cores() {
        let (mut one, mut other) = (CoreStats::default(), CoreStats::default());
        one.count_error(b"ERR no such key");
        other.count_error(b"ERR syntax error");
        other.count_error(b"WRONGTYPE Operation");
        one.merge(&other);
        assert_eq!(one.errors.by_code(), [("ERR", 2), ("WRONGTYPE", 1)]);
        for number in 0..1000 {
            one.count_error(format!("CODE{number} made up").as_bytes());
        }
        assert_eq!(one.errors.by_code().len(), ERROR_CODES_MAX);
    }
}
