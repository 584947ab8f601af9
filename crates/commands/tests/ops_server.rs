//! CONFIG, INFO and its neighbours, DEBUG and COMMAND through a cluster.

use commands::ClientId;
use resp::{Proto, Reply};
use testkit::Cluster;

/// The text of a reply that is one.
fn text(reply: Reply) -> String {
    match reply {
        Reply::Simple(text) | Reply::Error(text) | Reply::Bulk(text) | Reply::Verbatim(_, text) => {
            String::from_utf8(text).expect("the texts here are UTF-8")
        }
        Reply::Int(number) => number.to_string(),
        Reply::Null => "(nil)".into(),
        other => panic!("a text was expected, not {other:?}"),
    }
}

fn ask(cluster: &mut Cluster, line: &str) -> String {
    text(cluster.ask(line))
}

/// The elements of an array or a set, as texts.
fn texts(reply: Reply) -> Vec<String> {
    match reply {
        Reply::Array(elements) | Reply::Set(elements) => elements.into_iter().map(text).collect(),
        other => panic!("an array was expected, not {other:?}"),
    }
}

#[test]
fn config_set_changes_every_core_or_none() {
    let mut cluster = Cluster::new(3);
    assert_eq!(ask(&mut cluster, "CONFIG SET timeout 60 hz 20"), "OK");
    assert!(
        cluster
            .cores()
            .iter()
            .all(|core| core.config.timeout_s == 60 && core.config.hz == 20)
    );
    for (line, error) in [
        (
            "CONFIG SET timeout 70 hz x",
            "argument couldn't be parsed into an integer",
        ),
        ("CONFIG SET timeout 70 port 1", "can't set immutable config"),
        ("CONFIG SET timeout 70 timeout 80", "duplicate parameter"),
        (
            "CONFIG SET timeout 70 maxclients 0",
            "argument must be between 1 and 4294967295 inclusive",
        ),
        (
            "CONFIG SET timeout 70 maxmemory 99999999999999999999",
            "argument must be a memory value",
        ),
    ] {
        let name = line
            .split(' ')
            .nth(if error == "duplicate parameter" { 2 } else { 4 })
            .unwrap();
        let failed =
            format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {error}");
        assert_eq!(ask(&mut cluster, line), failed);
    }
    assert_eq!(
        ask(&mut cluster, "CONFIG SET timeout 70 nosuch 1"),
        "ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'"
    );
    assert_eq!(
        ask(&mut cluster, "CONFIG SET timeout 70 hz"),
        "ERR syntax error"
    );
    assert!(
        cluster
            .cores()
            .iter()
            .all(|core| core.config.timeout_s == 60)
    );
}

#[test]
fn config_set_maxmemory_tells_the_budget() {
    let mut cluster = Cluster::new(2);
    assert_eq!(ask(&mut cluster, "CONFIG SET maxmemory 1gb"), "OK");
    assert_eq!(cluster.cores()[0].facts.budget.limit_bytes(), 1 << 30);
    assert_eq!(
        texts(cluster.ask("CONFIG GET maxmemory")),
        ["maxmemory", "1073741824"]
    );
    assert_eq!(ask(&mut cluster, "CONFIG SET maxmemory 50%"), "OK");
    let facts = cluster.cores()[0].facts.clone();
    assert_eq!(
        facts.budget.limit_bytes(),
        facts.available_memory_bytes / 100 * 50
    );
    assert_eq!(ask(&mut cluster, "CONFIG SET maxmemory 0"), "OK");
    assert_eq!(facts.budget.limit_bytes(), 0);
    cluster.ask("CONFIG SET maxmemory auto");
    assert_eq!(facts.budget.limit_bytes(), facts.memory_limit_auto_bytes);
}

#[test]
fn config_get_takes_patterns_and_shows_each_option_once() {
    let mut cluster = Cluster::new(1);
    assert_eq!(
        texts(cluster.ask("CONFIG GET save appendonly")),
        ["save", "", "appendonly", "no"]
    );
    assert_eq!(
        texts(cluster.ask("CONFIG GET MAXMEMORY-P* *policy")),
        ["maxmemory-policy", "allkeys-ifs"]
    );
    assert_eq!(
        texts(cluster.ask("CONFIG GET nosuch")),
        Vec::<String>::new()
    );
    let all = texts(cluster.ask("CONFIG GET *"));
    assert_eq!(
        all.len(),
        2 * (commands::config::OPTIONS.len() + commands::config::ALIASES.len())
    );
    cluster.speak(Proto::Resp3);
    assert!(matches!(cluster.ask("CONFIG GET *"), Reply::Map(_)));
}

#[test]
fn config_rewrite_is_refused_without_a_file() {
    let mut cluster = Cluster::new(1);
    assert_eq!(
        ask(&mut cluster, "CONFIG REWRITE"),
        "ERR The server is running without a config file"
    );
}

#[test]
fn config_resetstat_starts_every_core_anew() {
    let mut cluster = Cluster::new(2);
    for key in 0..20 {
        cluster.run(&["SET", &format!("k{key}"), "v", "PX", "10"]);
        cluster.run(&["GET", &format!("k{key}")]);
    }
    cluster.advance(100);
    for key in 0..20 {
        cluster.run(&["GET", &format!("k{key}")]);
    }
    cluster.ask("NOSUCH");
    let info = ask(&mut cluster, "INFO stats");
    assert!(info.contains("\r\nexpired_keys:20\r\n"), "{info}");
    assert!(
        info.contains("\r\nkeyspace_hits:20\r\nkeyspace_misses:20\r\n"),
        "{info}"
    );
    assert!(info.contains("\r\ntotal_error_replies:1\r\n"), "{info}");
    assert_eq!(ask(&mut cluster, "CONFIG RESETSTAT"), "OK");
    let info = ask(&mut cluster, "INFO stats errorstats commandstats");
    for line in [
        "expired_keys:0",
        "keyspace_hits:0",
        "keyspace_misses:0",
        "total_error_replies:0",
    ] {
        assert!(
            info.contains(&format!("\r\n{line}\r\n")),
            "{line} in {info}"
        );
    }
    assert!(
        !info.contains("cmdstat_get:") && info.contains("cmdstat_config|resetstat:calls=1,"),
        "{info}"
    );
}

#[test]
fn info_counts_what_is_freed_after_the_command_that_deleted_it() {
    let mut cluster = Cluster::new(2);
    let members: Vec<String> = (0..5000).map(|member| format!("member:{member}")).collect();
    let mut words = vec!["SADD".to_string(), "set".into()];
    words.extend(members);
    cluster.run(&words);
    cluster.ask("SET small value");
    cluster.ask("UNLINK set small");
    let counts = |cluster: &mut Cluster| {
        let info = ask(cluster, "INFO memory");
        let line = |name: &str| {
            let start = info.find(name).expect(name) + name.len();
            info[start..].split("\r\n").next().unwrap().to_string()
        };
        (
            line("lazyfree_pending_objects:"),
            line("lazyfreed_objects:"),
        )
    };
    assert_eq!(counts(&mut cluster), ("1".into(), "0".into()));
    for core in cluster.cores_mut() {
        while core.shard.free_step(512) {}
    }
    assert_eq!(counts(&mut cluster), ("0".into(), "1".into()));
    assert_eq!(ask(&mut cluster, "CONFIG RESETSTAT"), "OK");
    assert_eq!(counts(&mut cluster), ("0".into(), "0".into()));
}

#[test]
fn info_has_the_sections_that_were_asked_for() {
    let mut cluster = Cluster::new(2);
    let sections = |info: &str| -> Vec<String> {
        info.lines()
            .filter_map(|line| line.strip_prefix("# "))
            .map(str::to_owned)
            .collect()
    };
    let by_default = [
        "Server",
        "Clients",
        "Memory",
        "Persistence",
        "Stats",
        "Replication",
        "CPU",
        "Errorstats",
        "Cluster",
        "Keyspace",
    ];
    assert_eq!(sections(&ask(&mut cluster, "INFO")), by_default);
    assert_eq!(sections(&ask(&mut cluster, "INFO default")), by_default);
    assert_eq!(
        sections(&ask(&mut cluster, "INFO everything")).len(),
        by_default.len() + 1
    );
    assert_eq!(
        sections(&ask(&mut cluster, "INFO Cluster SERVER nosuch")),
        ["Server", "Cluster"]
    );
    assert_eq!(ask(&mut cluster, "INFO nosuch"), "");
    cluster.speak(Proto::Resp3);
    assert!(matches!(cluster.ask("INFO"), Reply::Verbatim(format, _) if format == *b"txt"));
}

#[test]
fn every_line_of_info_is_a_name_and_a_value_and_no_name_stands_twice() {
    let mut cluster = Cluster::new(2);
    cluster.ask("SET k v");
    let info = ask(&mut cluster, "INFO everything");
    let mut names = std::collections::HashSet::new();
    for line in info
        .split("\r\n")
        .filter(|line| !line.is_empty() && !line.starts_with("# "))
    {
        let (name, _) = line.split_once(':').unwrap_or_else(|| panic!("{line}"));
        assert!(names.insert(name), "{name}");
    }
    assert!(
        info.contains("# Memory\r\nused_memory:"),
        "used_memory comes first"
    );
    assert!(info.contains("\r\ndb0:keys=1,expires=0,avg_ttl=0\r\n"));
    for tool_reads in "redis_version uptime_in_seconds connected_clients maxclients blocked_clients used_memory_rss \
                       used_memory_peak maxmemory maxmemory_policy mem_fragmentation_ratio loading rdb_bgsave_in_progress \
                       aof_enabled total_commands_processed instantaneous_ops_per_sec total_net_input_bytes expired_keys \
                       evicted_keys keyspace_hits role connected_slaves master_repl_offset used_cpu_sys used_cpu_user \
                       cluster_enabled"
        .split_whitespace()
    {
        assert!(names.contains(tool_reads), "{tool_reads}");
    }
}

#[test]
fn info_counts_commands_by_name() {
    let mut cluster = Cluster::new(2);
    cluster.ask("CLIENT ID");
    cluster.ask("CLIENT LIST ID");
    let info = ask(&mut cluster, "INFO commandstats");
    assert!(info.contains("cmdstat_client|id:calls=1,usec=0,usec_per_call=0.00,rejected_calls=0,failed_calls=0\r\n"), "{info}");
}

#[test]
fn time_is_the_cores_time() {
    let mut cluster = Cluster::new(1);
    cluster.advance(1234);
    assert_eq!(texts(cluster.ask("TIME")), ["1700000001", "234000"]);
}

#[test]
fn lolwut_draws_a_tree_of_bounded_size() {
    let mut cluster = Cluster::new(1);
    for line in [
        "LOLWUT",
        "LOLWUT VERSION 5 9223372036854775807",
        "LOLWUT -5",
        "LOLWUT x",
        "LOLWUT VERSION",
    ] {
        let tree = ask(&mut cluster, line);
        assert!(tree.len() < 4096 && tree.contains("Pinyon ver. "), "{tree}");
    }
    assert_eq!(
        ask(&mut cluster, "LOLWUT VERSION x"),
        "ERR value is not an integer or out of range"
    );
}

#[test]
fn shutdown_ends_the_server_without_an_answer() {
    for line in [
        "SHUTDOWN",
        "SHUTDOWN NOSAVE",
        "SHUTDOWN nosave now force",
        "SHUTDOWN SAVE FORCE",
    ] {
        let mut cluster = Cluster::new(1);
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(cluster.run_raw(&words), b"");
        assert!(cluster.cores()[0].shutdown, "{line}");
    }
    let mut cluster = Cluster::new(1);
    for (line, error) in [
        ("SHUTDOWN what", "ERR syntax error"),
        ("SHUTDOWN SAVE NOSAVE", "ERR syntax error"),
        ("SHUTDOWN ABORT NOW", "ERR syntax error"),
        ("SHUTDOWN ABORT", "ERR No shutdown in progress."),
        (
            "SHUTDOWN SAVE",
            "ERR Errors trying to SHUTDOWN. Check logs.",
        ),
    ] {
        assert_eq!(ask(&mut cluster, line), error);
    }
    assert!(!cluster.cores()[0].shutdown);
}

#[test]
fn debug_object_tells_how_a_key_is_held() {
    let mut cluster = Cluster::new(4);
    cluster.ask("SET number 12");
    let line = ask(&mut cluster, "DEBUG OBJECT number");
    assert!(
        line.contains(" refcount:1 encoding:int serializedlength:2 ")
            && line.contains(" lru_seconds_idle:0 "),
        "{line}"
    );
    assert_eq!(ask(&mut cluster, "DEBUG OBJECT nosuch"), "ERR no such key");
}

#[test]
fn debug_orders_reach_every_core() {
    let mut cluster = Cluster::new(2);
    assert_eq!(ask(&mut cluster, "DEBUG SET-ACTIVE-EXPIRE 0"), "OK");
    assert!(cluster.cores().iter().all(|core| !core.active_expire));
    assert_eq!(ask(&mut cluster, "DEBUG SET-ACTIVE-EXPIRE 1"), "OK");
    assert!(cluster.cores().iter().all(|core| core.active_expire));
    for line in [
        "DEBUG SLEEP 0",
        "DEBUG SLEEP 0.001",
        "DEBUG SLEEP -1",
        "DEBUG SLEEP x",
        "DEBUG SLEEP nan",
    ] {
        assert_eq!(ask(&mut cluster, line), "OK", "{line}");
    }
    assert_eq!(
        ask(&mut cluster, "DEBUG JMAP"),
        "ERR unknown subcommand or wrong number of arguments for 'JMAP'. Try DEBUG HELP."
    );
    assert!(texts(cluster.ask("DEBUG HELP"))[0].starts_with("DEBUG <subcommand>"));
}

#[test]
fn a_panic_is_an_error_for_its_client_and_nothing_else() {
    for shards in [1, 3] {
        let mut cluster = Cluster::new(shards);
        cluster.ask("SET k v");
        assert_eq!(
            ask(&mut cluster, "DEBUG PANIC"),
            "ERR internal error, see the server log"
        );
        assert_eq!(ask(&mut cluster, "GET k"), "v");
    }
}

#[test]
fn debug_is_for_whom_the_option_names() {
    let mut cluster = Cluster::new(2);
    cluster.cores_mut()[0].clients.at_mut(ClientId(0)).address = "10.0.0.9:1".into();
    assert!(ask(&mut cluster, "DEBUG SLEEP 0").starts_with("ERR DEBUG command not allowed."));
    cluster.cores_mut()[0].config.enable_debug_command = commands::config::DebugAccess::Yes;
    assert_eq!(ask(&mut cluster, "DEBUG SLEEP 0"), "OK");
    cluster.connect_to(1);
    assert_eq!(ask(&mut cluster, "DEBUG SLEEP 0"), "OK");
    cluster.cores_mut()[1].config.enable_debug_command = commands::config::DebugAccess::No;
    assert!(ask(&mut cluster, "DEBUG SLEEP 0").starts_with("ERR DEBUG command not allowed."));
}

#[test]
fn command_tells_of_every_row() {
    let mut cluster = Cluster::new(1);
    let Reply::Array(all) = cluster.ask("COMMAND") else {
        panic!("an array")
    };
    assert_eq!(cluster.ask("COMMAND COUNT"), Reply::Int(all.len() as i64));
    assert_eq!(cluster.ask("COMMAND INFO"), Reply::Array(all.clone()));
    assert!(
        all.iter()
            .all(|row| matches!(row, Reply::Array(facts) if facts.len() == 10))
    );
    let names = texts(cluster.ask("COMMAND LIST"));
    assert!(names.contains(&"memory|stats".to_owned()) && names.contains(&"get".to_owned()));
    let Reply::Array(some) = cluster.ask("COMMAND INFO nosuch GET config|set config|nosuch") else {
        panic!("an array")
    };
    assert!(matches!(
        &some[..],
        [Reply::Null, Reply::Array(_), Reply::Array(_), Reply::Null]
    ));
}

#[test]
fn command_info_says_how_memory_stats_fans_out() {
    let mut cluster = Cluster::new(1);
    let Reply::Array(rows) = cluster.ask("COMMAND INFO memory|stats") else {
        panic!("an array")
    };
    let Reply::Array(facts) = &rows[0] else {
        panic!("facts")
    };
    let tips = texts(facts[7].clone());
    assert!(
        tips.contains(&"request_policy:all_shards".into())
            && tips.contains(&"response_policy:special".into())
    );
}

#[test]
fn command_list_filters() {
    let mut cluster = Cluster::new(1);
    assert_eq!(
        texts(cluster.ask("COMMAND LIST FILTERBY pattern GETR*")),
        ["getrange"]
    );
    assert_eq!(
        texts(cluster.ask("COMMAND LIST filterby module x")),
        Vec::<String>::new()
    );
    let dangerous = texts(cluster.ask("COMMAND LIST FILTERBY ACLCAT dangerous"));
    assert!(dangerous.contains(&"flushall".into()) && dangerous.contains(&"config|set".into()));
    assert!(!dangerous.contains(&"get".into()));
    assert_eq!(
        ask(&mut cluster, "COMMAND LIST FILTERBY what x"),
        "ERR syntax error"
    );
}

#[test]
fn command_docs_are_maps_with_arguments_and_subcommands() {
    let mut cluster = Cluster::new(1);
    cluster.speak(Proto::Resp3);
    let Reply::Map(docs) = cluster.ask("COMMAND DOCS set config nosuch memory|usage") else {
        panic!("a map")
    };
    let field = |nth: usize, name: &str| {
        let Reply::Map(fields) = &docs[nth].1 else {
            panic!("a map")
        };
        fields
            .iter()
            .find(|(key, _)| *key == Reply::Bulk(name.into()))
            .map(|(_, value)| value.clone())
    };
    assert_eq!(docs.len(), 3);
    assert!(matches!(field(0, "arguments"), Some(Reply::Array(_))));
    assert!(matches!(field(1, "subcommands"), Some(Reply::Map(rows)) if rows.len() == 5));
    assert_eq!(field(2, "group"), Some(Reply::Bulk(b"server".to_vec())));
    assert_eq!(cluster.ask("COMMAND DOCS nosuch"), Reply::Map(Vec::new()));
    let Reply::Map(all) = cluster.ask("COMMAND DOCS") else {
        panic!("a map")
    };
    assert_eq!(Reply::Int(all.len() as i64), cluster.ask("COMMAND COUNT"));
}

#[test]
fn command_getkeys_finds_keys() {
    let mut cluster = Cluster::new(1);
    assert_eq!(
        texts(cluster.ask("COMMAND GETKEYS MSET a 1 b 2")),
        ["a", "b"]
    );
    assert_eq!(texts(cluster.ask("COMMAND GETKEYS memory usage k")), ["k"]);
    assert_eq!(
        texts(cluster.ask("COMMAND GETKEYS DEL a b c")),
        ["a", "b", "c"]
    );
    for (line, error) in [
        (
            "COMMAND GETKEYS PING x",
            "ERR The command has no key arguments",
        ),
        ("COMMAND GETKEYS nosuch x", "ERR Invalid command specified"),
        (
            "COMMAND GETKEYS GET a b",
            "ERR Invalid number of arguments specified for command",
        ),
        (
            "COMMAND GETKEYS memory nosuch",
            "ERR Invalid command specified",
        ),
        (
            "COMMAND GETKEYS GET",
            "ERR wrong number of arguments for 'command|getkeys' command",
        ),
    ] {
        assert_eq!(ask(&mut cluster, line), error);
    }
    let Reply::Array(keys) = cluster.ask("COMMAND GETKEYSANDFLAGS RENAME a b") else {
        panic!("an array")
    };
    let [Reply::Array(first), Reply::Array(second)] = &keys[..] else {
        panic!("two keys")
    };
    assert_eq!(texts(first[1].clone()), ["RW", "access", "delete"]);
    assert_eq!(texts(second[1].clone()), ["OW", "update"]);
    let set = |cluster: &mut Cluster, line: &str| match cluster.ask(line) {
        Reply::Array(keys) => match &keys[0] {
            Reply::Array(key) => texts(key[1].clone()),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    assert_eq!(
        set(&mut cluster, "COMMAND GETKEYSANDFLAGS SET k v"),
        ["OW", "update"]
    );
    assert_eq!(
        set(&mut cluster, "COMMAND GETKEYSANDFLAGS SET k v GET"),
        ["RW", "access", "update"]
    );
}

#[test]
fn every_container_has_help_with_a_line_for_each_subcommand() {
    let mut cluster = Cluster::new(1);
    for row in commands::Table::instance()
        .commands()
        .iter()
        .filter(|row| !row.subcommands.is_empty())
    {
        let help = texts(cluster.run(&[row.name, "help"]));
        let name = row.name.to_ascii_uppercase();
        assert_eq!(
            help[0],
            format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:")
        );
        for subcommand in row.subcommands {
            let word = subcommand
                .name
                .split('|')
                .nth(1)
                .unwrap()
                .to_ascii_uppercase();
            assert!(
                help.iter()
                    .any(|line| line.split(' ').next() == Some(&word)),
                "{name} {word}"
            );
        }
    }
}

#[test]
fn a_container_alone_or_with_an_unknown_subcommand_is_refused() {
    let mut cluster = Cluster::new(1);
    for name in ["client", "config", "memory"] {
        assert_eq!(
            ask(&mut cluster, name),
            format!("ERR wrong number of arguments for '{name}' command")
        );
        let upper = name.to_ascii_uppercase();
        assert_eq!(
            ask(&mut cluster, &format!("{name} what")),
            format!("ERR unknown subcommand 'what'. Try {upper} HELP.")
        );
    }
    assert_eq!(
        ask(&mut cluster, "COMMAND what"),
        "ERR unknown subcommand 'what'. Try COMMAND HELP."
    );
}
