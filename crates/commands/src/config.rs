//! The configuration: typed values every core reads, and the way from an option's name and text to them.
//! Nothing here opens a socket or applies a value; whoever needs an option reads its field.
//! Names, units and error texts are Redis'; the table of options in `config/options.rs` is the only list of them.

mod defrag;
mod file;
mod kind;
mod options;
mod policy;
mod print;
mod thresholds;
mod watching;

pub use defrag::DefragOptions;
pub use file::{Arguments, arguments};
pub use kind::{Kind, memory_bytes};
pub use options::{OPTIONS, Setting, When};
pub use policy::MaxMemoryPolicy;
pub use print::{printed_config, printed_usage};
pub use thresholds::ALIASES;

use store::{Eviction, PrefixRules, Thresholds};

/// What `maxmemory` was set to, before it is turned into bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MaxMemory {
    /// What the process finds it may use, less a reserve.
    #[default]
    Auto,
    /// A share of the memory the process may use, 1 to 100.
    Percent(u8),
    /// Bytes; 0 is no limit.
    Bytes(u64),
}

/// What all clients together may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientMemory {
    /// Bytes; 0 is no limit.
    Bytes(u64),
    /// A share of `maxmemory`, 1 to 100.
    Percent(u8),
}

/// Whether percentages in MEMORY STATS carry a percent sign under RESP2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PercentSign {
    /// Only on connections that have named no client library.
    #[default]
    Auto,
    /// Always.
    Yes,
    /// Never.
    No,
}

/// Who may use DEBUG.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DebugAccess {
    /// Nobody.
    No,
    /// Every client.
    Yes,
    /// Clients on this machine.
    #[default]
    Local,
}

/// When a client with unread replies is closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLimit {
    /// Closed at once when this many bytes wait; 0 is no limit.
    pub hard_bytes: u64,
    /// Closed when this many bytes wait for `soft_seconds`; 0 is no limit.
    pub soft_bytes: u64,
    /// How long `soft_bytes` may be passed.
    pub soft_seconds: u64,
}

/// The limits by class of client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLimits {
    /// Clients that send commands. Without a limit they are bounded all the same: they are not read while replies wait.
    pub normal: OutputLimit,
    /// Replicas.
    pub replica: OutputLimit,
    /// Subscribers.
    pub pubsub: OutputLimit,
}

/// Every option's value. Each core has a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// TCP port; 0 opens none.
    pub port: u16,
    /// TCP port for metrics and the page, over HTTP; 0 opens none.
    pub metrics_port: u16,
    /// Prefixes that have metrics of their own; 0 is none.
    pub metrics_prefixes: u32,
    /// Names that HTTP requests may be sent to, besides addresses, with spaces between.
    pub metrics_hosts: String,
    /// Addresses to listen on; a leading `-` says that one which is not there is no mistake.
    pub bind: Vec<String>,
    /// How many shards; 0 is one a core.
    pub shards: u16,
    /// Accepted connections that may wait in the kernel.
    pub tcp_backlog: u32,
    /// Seconds between TCP keepalive probes; 0 is none.
    pub tcp_keepalive_s: u32,
    /// Seconds after which an idle client is closed; 0 is never.
    pub timeout_s: u32,
    /// Connections at once.
    pub maxclients: u32,
    /// Password; empty is none.
    pub requirepass: String,
    /// Who may use DEBUG.
    pub enable_debug_command: DebugAccess,
    /// Longest argument in bytes.
    pub proto_max_bulk_len: u64,
    /// Most bytes of one client's unfinished commands.
    pub client_query_buffer_limit: u64,
    /// When a client with unread replies is closed.
    pub client_output_buffer_limits: OutputLimits,
    /// The memory limit as it was given.
    pub maxmemory: MaxMemory,
    /// The memory limit in bytes, 0 without one; [`Config::resolve_maxmemory`] sets it.
    pub maxmemory_bytes: u64,
    /// What happens at the limit.
    pub maxmemory_policy: MaxMemoryPolicy,
    /// Keys looked at for each that is evicted, by all policies but ours; each stands for eight that lie together.
    pub maxmemory_samples: u32,
    /// Without effect: no write ever evicts for long.
    pub maxmemory_eviction_tenacity: u32,
    /// Keys looked at for each that is evicted, by our policies.
    pub ifs_samples: u32,
    /// How much size weighs in our policies, in hundredths.
    pub ifs_beta: u8,
    /// What a key that was never hit is worth in our policies, in hundredths of one that was.
    pub ifs_fresh_weight: u8,
    /// How slowly the counters of LFU policies grow.
    pub lfu_log_factor: u32,
    /// Minutes in which a counter of an LFU policy loses one; 0 is never.
    pub lfu_decay_minutes: u32,
    /// What all clients together may hold.
    pub maxmemory_clients: ClientMemory,
    /// Whether the miss-ratio curve is drawn.
    pub memory_curve: bool,
    /// Whether MEMORY STATS writes percent signs.
    pub memory_stats_percent_sign: PercentSign,
    /// Whether key prefixes have accounts, and what a prefix is.
    pub prefix_rules: PrefixRules,
    /// Up to where collections stay packed.
    pub thresholds: Thresholds,
    /// Without effect.
    pub list_compress_depth: u32,
    /// When blocks are moved together in the background.
    pub defrag: DefragOptions,
    /// Whether FLUSHALL and FLUSHDB without a word mean ASYNC.
    pub lazyfree_lazy_user_flush: bool,
    /// Bytes up to which a HyperLogLog stays sparse.
    pub hll_sparse_max_bytes: u64,
    /// Rounds of background work a second in Redis; here that work follows what there is to do.
    pub hz: u32,
    /// Microseconds an idle core spins before it sleeps.
    pub spin_before_park_us: u32,
}

impl Default for Config {
    /// Every option at the default of its row.
    fn default() -> Self {
        let mut config = Config {
            port: 0,
            metrics_port: 0,
            metrics_prefixes: 0,
            metrics_hosts: String::new(),
            bind: Vec::new(),
            shards: 0,
            tcp_backlog: 0,
            tcp_keepalive_s: 0,
            timeout_s: 0,
            maxclients: 0,
            requirepass: String::new(),
            enable_debug_command: DebugAccess::default(),
            proto_max_bulk_len: 0,
            client_query_buffer_limit: 0,
            client_output_buffer_limits: OutputLimits::default(),
            maxmemory: MaxMemory::default(),
            maxmemory_bytes: 0,
            maxmemory_policy: MaxMemoryPolicy::AllKeysIfs,
            maxmemory_samples: 0,
            maxmemory_eviction_tenacity: 0,
            ifs_samples: 0,
            ifs_beta: 0,
            ifs_fresh_weight: 0,
            lfu_log_factor: 0,
            lfu_decay_minutes: 0,
            maxmemory_clients: ClientMemory::Bytes(0),
            memory_curve: false,
            memory_stats_percent_sign: PercentSign::default(),
            prefix_rules: PrefixRules::default(),
            thresholds: Thresholds::default(),
            list_compress_depth: 0,
            defrag: DefragOptions::default(),
            lazyfree_lazy_user_flush: false,
            hll_sparse_max_bytes: 0,
            hz: 0,
            spin_before_park_us: 0,
        };
        for setting in OPTIONS {
            let outcome = setting.kind.write(&mut config, setting.default);
            debug_assert_eq!(
                outcome,
                Ok(()),
                "the default of {} does not fit it",
                setting.name
            );
        }
        config
    }
}

impl Config {
    /// The row of an option, by its name or an old one, in any case.
    pub fn setting(name: &str) -> Option<&'static Setting> {
        let name = ALIASES
            .iter()
            .find(|(old, _)| old.eq_ignore_ascii_case(name))
            .map_or(name, |(_, new)| new);
        OPTIONS
            .iter()
            .find(|setting| setting.name.eq_ignore_ascii_case(name))
    }

    /// Gives an option a value, as a start does: options that are fixed afterwards may be set too.
    ///
    /// # Errors
    /// Redis' text for a value that does not fit, or for a name that is no option.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let setting = Config::setting(name).ok_or("unknown option")?;
        setting.kind.write(self, value)
    }

    /// An option's value as CONFIG GET shows it: sizes in bytes, `maxmemory` as the bytes it stands for.
    pub fn value_text(&self, name: &str) -> Option<String> {
        Config::setting(name).map(|setting| setting.kind.read(self))
    }

    /// Turns `maxmemory` into bytes: `available_bytes` is what the process may use at most (the machine's memory or its
    /// container's), `auto_bytes` what `auto` stands for.
    pub fn resolve_maxmemory(&mut self, available_bytes: u64, auto_bytes: u64) {
        self.maxmemory_bytes = match self.maxmemory {
            MaxMemory::Auto => auto_bytes,
            MaxMemory::Percent(share) => available_bytes / 100 * u64::from(share),
            MaxMemory::Bytes(bytes) => bytes,
        };
    }

    /// How the store chooses what goes, where the policy evicts at all.
    pub fn eviction(&self) -> Eviction {
        let (order, only_expiring) = self.maxmemory_policy.order();
        let samples = match order {
            store::Order::Ifs => self.ifs_samples,
            _ => self
                .maxmemory_samples
                .saturating_mul(policy::KEYS_PER_SAMPLE),
        };
        Eviction {
            order,
            only_expiring,
            samples: samples as usize,
            size_weight_percent: self.ifs_beta,
            fresh_weight_percent: self.ifs_fresh_weight,
            log_factor: self.lfu_log_factor,
            decay_minutes: self.lfu_decay_minutes,
        }
    }

    /// What all clients together may hold, in bytes; 0 is no limit.
    pub fn maxmemory_clients_bytes(&self) -> u64 {
        match self.maxmemory_clients {
            ClientMemory::Bytes(bytes) => bytes,
            ClientMemory::Percent(share) => self.maxmemory_bytes / 100 * u64::from(share),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &str, value: &str) -> String {
        let mut config = Config::default();
        let error = config.set(name, value).expect_err("the value is refused");
        assert_eq!(
            config,
            Config::default(),
            "a refused value changes nothing: {name} {value}"
        );
        error
    }

    fn text_after(name: &str, value: &str) -> String {
        let mut config = Config::default();
        config.set(name, value).expect("the value is accepted");
        config.value_text(name).expect("the option exists")
    }

    #[test]
    fn defaults_are_those_redis_users_expect() {
        let config = Config::default();
        assert_eq!(
            (config.port, &config.bind[..]),
            (6379, &["127.0.0.1".to_owned()][..])
        );
        assert_eq!(
            (config.shards, config.maxclients, config.timeout_s),
            (0, 10_000, 0)
        );
        assert_eq!(
            (config.tcp_keepalive_s, config.tcp_backlog, config.hz),
            (300, 511, 10)
        );
        assert_eq!(config.proto_max_bulk_len, 512 << 20);
        assert_eq!(config.client_query_buffer_limit, 1 << 30);
        assert_eq!(
            (config.maxmemory, config.maxmemory_bytes),
            (MaxMemory::Auto, 0)
        );
        assert_eq!(config.requirepass, "");
    }

    #[test]
    fn every_default_is_written_as_config_get_would_show_it_or_reads_back_the_same() {
        for setting in OPTIONS {
            let mut again = Config::default();
            let text = Config::default().value_text(setting.name).unwrap();
            if setting.name != "maxmemory" {
                assert_eq!(again.set(setting.name, &text), Ok(()), "{}", setting.name);
                assert_eq!(again, Config::default(), "{}", setting.name);
            }
        }
    }

    #[test]
    fn a_number_outside_its_range_is_refused_with_the_range() {
        for (name, value, range) in [
            ("port", "65536", "0 and 65535"),
            ("port", "-1", "0 and 65535"),
            ("shards", "1024", "0 and 1023"),
            ("maxclients", "0", "1 and 4294967295"),
            ("maxclients", "4294967296", "1 and 4294967295"),
            ("timeout", "-1", "0 and 2147483647"),
            ("tcp-keepalive", "2147483648", "0 and 2147483647"),
            ("tcp-backlog", "-1", "0 and 2147483647"),
            ("spin-before-park", "10001", "0 and 10000"),
            ("proto-max-bulk-len", "1048575", "1048576 and 2146435072"),
            ("proto-max-bulk-len", "4gb", "1048576 and 2146435072"),
            (
                "client-query-buffer-limit",
                "10",
                "1048576 and 9223372036854775807",
            ),
        ] {
            assert_eq!(
                refused(name, value),
                format!("argument must be between {range} inclusive"),
                "{name}"
            );
        }
    }

    #[test]
    fn what_is_no_number_is_refused_as_such() {
        for value in [
            "abc",
            "",
            "1.5",
            " 1",
            "1 ",
            "0x10",
            "+1",
            "99999999999999999999",
        ] {
            assert_eq!(
                refused("port", value),
                "argument couldn't be parsed into an integer",
                "{value:?}"
            );
        }
    }

    #[test]
    fn hz_is_pulled_into_its_range_as_redis_does() {
        assert_eq!(text_after("hz", "0"), "1");
        assert_eq!(text_after("hz", "1000"), "500");
        assert_eq!(
            refused("hz", "-1"),
            "argument must be between 0 and 2147483647 inclusive"
        );
    }

    #[test]
    fn sizes_take_the_units_of_redis() {
        for (text, bytes) in [
            ("2mb", "2097152"),
            ("2M", "2000000"),
            ("1gB", "1073741824"),
            ("1g", "1000000000"),
            ("2048kb", "2097152"),
            ("2048k", "2048000"),
            ("2097152b", "2097152"),
            ("2097152", "2097152"),
        ] {
            assert_eq!(text_after("maxmemory", text).len(), 1, "resolved later");
            assert_eq!(text_after("proto-max-bulk-len", text), bytes, "{text}");
        }
        for text in [
            "",
            "mb",
            "-1",
            "1.5mb",
            "1 mb",
            "1tb",
            "99999999999999999999",
            "20000000000gb",
        ] {
            assert_eq!(
                refused("proto-max-bulk-len", text),
                "argument must be a memory value",
                "{text:?}"
            );
            assert_eq!(
                refused("maxmemory", text),
                "argument must be a memory value",
                "{text:?}"
            );
        }
    }

    #[test]
    fn maxmemory_takes_bytes_a_share_or_auto() {
        let resolved = |text: &str| {
            let mut config = Config::default();
            config.set("maxmemory", text).unwrap();
            config.resolve_maxmemory(1000, 700);
            config.value_text("maxmemory").unwrap()
        };
        assert_eq!(resolved("auto"), "700");
        assert_eq!(resolved("AUTO"), "700");
        assert_eq!(resolved("50%"), "500");
        assert_eq!(resolved("100%"), "1000");
        assert_eq!(resolved("0"), "0");
        assert_eq!(resolved("1gb"), "1073741824");
        for text in ["0%", "101%", "%", "5.5%", "-5%"] {
            assert_eq!(
                refused("maxmemory", text),
                "argument must be a memory value",
                "{text}"
            );
        }
    }

    #[test]
    fn memory_of_clients_is_bytes_or_a_share_of_the_limit() {
        let bytes_after = |text: &str| {
            let mut config = Config {
                maxmemory_bytes: 1000,
                ..Config::default()
            };
            config.set("maxmemory-clients", text).unwrap();
            config.maxmemory_clients_bytes()
        };
        assert_eq!(
            ["0", "1mb", "5%", "0%"].map(bytes_after),
            [0, 1 << 20, 50, 0]
        );
        assert_eq!(text_after("maxmemory-clients", "5%"), "5%");
        assert_eq!(
            refused("maxmemory-clients", "101%"),
            "percentage argument must be less or equal to 100"
        );
        for text in ["x", "%", "-1", "5 %"] {
            let error = "argument must be a memory or percent value";
            assert_eq!(refused("maxmemory-clients", text), error, "{text}");
        }
    }

    #[test]
    fn a_policy_tells_the_store_what_it_means() {
        let after = |policy: &str| {
            let mut config = Config::default();
            config.set("maxmemory-policy", policy).unwrap();
            let eviction = config.eviction();
            (eviction.order, eviction.only_expiring, eviction.samples)
        };
        use store::Order;
        assert_eq!(after("allkeys-ifs"), (Order::Ifs, false, 32));
        assert_eq!(after("volatile-lru"), (Order::Lru, true, 40));
        assert_eq!(after("allkeys-lfu"), (Order::Lfu, false, 40));
        assert_eq!(after("volatile-ttl"), (Order::Ttl, true, 40));
    }

    #[test]
    fn a_word_that_is_not_among_the_choices_is_refused_with_them() {
        assert_eq!(
            refused("enable-debug-command", "maybe"),
            "argument(s) must be one of the following: local, yes, no"
        );
        assert_eq!(
            refused("memory-stats-percent-sign", "maybe"),
            "argument(s) must be one of the following: auto, yes, no"
        );
        assert_eq!(text_after("memory-stats-percent-sign", "YES"), "yes");
        for policy in MaxMemoryPolicy::ALL {
            assert_eq!(text_after("maxmemory-policy", policy.name()), policy.name());
        }
        assert_eq!(text_after("enable-debug-command", "no"), "no");
    }

    #[test]
    fn delimiters_of_prefixes_are_one_to_four_signs() {
        for text in [":", ":/", "/|:.", "#"] {
            assert_eq!(text_after("memory-prefix-delimiters", text), text);
        }
        for text in ["", "*", "x", "1", ":/|.-", "\0", "é"] {
            assert_eq!(
                refused("memory-prefix-delimiters", text),
                "argument must be one to four signs, and no letter, digit or *",
                "{text:?}"
            );
        }
        assert_eq!(text_after("memory-prefix-depth", "1"), "1");
    }

    #[test]
    fn yes_and_no_are_the_only_answers_to_a_question() {
        assert_eq!(text_after("lazyfree-lazy-user-flush", "Yes"), "yes");
        assert_eq!(
            refused("lazyfree-lazy-user-flush", "1"),
            "argument must be 'yes' or 'no'"
        );
    }

    #[test]
    fn output_limits_change_only_the_classes_that_are_named() {
        assert_eq!(
            text_after("client-output-buffer-limit", "normal 1mb 512kb 60"),
            "normal 1048576 524288 60 slave 268435456 67108864 60 pubsub 33554432 8388608 60"
        );
        assert_eq!(
            text_after("client-output-buffer-limit", "replica 3 2 1 pubsub 1 1 1"),
            "normal 0 0 0 slave 3 2 1 pubsub 1 1 1"
        );
        for (value, error) in [
            (
                "normal 0 0",
                "Wrong number of arguments in buffer limit configuration.",
            ),
            (
                "",
                "Wrong number of arguments in buffer limit configuration.",
            ),
            (
                "norm 0 0 0",
                "Invalid client class specified in buffer limit configuration.",
            ),
            (
                "normal a 0 0",
                "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
            ),
            (
                "normal 0 1 2147483648",
                "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
            ),
            (
                "normal 0 -1 0",
                "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
            ),
            (
                "pubsub 1 1 1 normal 0 0 x",
                "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
            ),
        ] {
            assert_eq!(
                refused("client-output-buffer-limit", value),
                error,
                "{value}"
            );
        }
    }

    #[test]
    fn addresses_to_listen_on_are_words() {
        assert_eq!(text_after("bind", "127.0.0.1  -::1"), "127.0.0.1 -::1");
        assert_eq!(
            refused("bind", &"::1 ".repeat(17)),
            "Too many bind addresses specified."
        );
    }

    #[test]
    fn names_of_hosts_are_words_without_ports() {
        assert_eq!(
            text_after("metrics-hosts", " a.example  b_c "),
            "a.example b_c"
        );
        assert_eq!(text_after("metrics-hosts", "*"), "*");
        assert_eq!(text_after("metrics-hosts", ""), "");
        let error = "argument must be at most 64 names of hosts without a port, or *";
        for value in ["a:9121", "http://a", "*.example", &"a ".repeat(65)] {
            assert_eq!(refused("metrics-hosts", value), error, "{value}");
        }
    }

    #[test]
    fn what_is_not_here_can_only_be_off() {
        assert_eq!(
            (text_after("save", ""), text_after("appendonly", "no")),
            (String::new(), "no".to_owned())
        );
        assert_eq!(text_after("databases", "16"), "16");
        assert_eq!(
            refused("save", "900 1"),
            "argument must be \"\", the only value this server has"
        );
        assert_eq!(
            refused("appendonly", "yes"),
            "argument must be no, the only value this server has"
        );
        assert_eq!(
            refused("databases", "4"),
            "argument must be 16, the only value this server has"
        );
    }

    #[test]
    fn a_name_that_is_no_option_is_refused() {
        assert_eq!(refused("nosuch", "1"), "unknown option");
        assert_eq!(Config::default().value_text("nosuch"), None);
    }

    #[test]
    fn names_are_taken_in_any_case() {
        assert_eq!(text_after("PORT", "7000"), "7000");
    }
}
