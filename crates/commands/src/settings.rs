//! The CONFIG family: reading options, changing them on every core, and starting the counters anew.
//! Nothing here knows an option by name but those whose change reaches beyond the configuration itself.
//! Source: redis-server 7 for texts and for the rule that several pairs change together or not at all.

use crate::config::{ALIASES, Config, OPTIONS, Setting, When};
use crate::introspection::help_row;
use crate::row::{Doc, Fan, Keys, To};
use crate::{Call, ClientId, Command, Error, Flags, Part, Progress, Reply, Run, error, glob};
use resp::Writer;

/// Options by name or pattern, each once; one that was asked for by name is answered with the name as it was typed.
fn get(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let mut found: Vec<(&[u8], &Setting)> = Vec::new();
    let mut add = |name, setting: &'static Setting| {
        if !is_named(&found, name) {
            found.push((name, setting));
        }
    };
    for pattern in call.args.from(2).iter() {
        if pattern.iter().any(|byte| b"*?[".contains(byte)) {
            let matches =
                |setting: &&Setting| glob::matches_ignoring_case(pattern, setting.name.as_bytes());
            OPTIONS
                .iter()
                .filter(matches)
                .for_each(|setting| add(setting.name.as_bytes(), setting));
            for (old, _) in ALIASES {
                if glob::matches_ignoring_case(pattern, old.as_bytes())
                    && let Some(setting) = Config::setting(old)
                {
                    add(old.as_bytes(), setting);
                }
            }
        } else if let Some(setting) = std::str::from_utf8(pattern).ok().and_then(Config::setting) {
            add(pattern, setting);
        }
    }
    out.map(found.len());
    for (name, setting) in found {
        out.bulk(name);
        out.bulk(setting.kind.read(&call.core.config).as_bytes());
    }
    Ok(())
}

fn is_named(found: &[(&[u8], &Setting)], name: &[u8]) -> bool {
    found
        .iter()
        .any(|(known, _)| known.eq_ignore_ascii_case(name))
}

/// The configuration with every pair of the call applied, or what is wrong with one of them.
fn changed(call: &Call<'_>) -> Result<Config, Error> {
    let pairs = call.args.from(2);
    if !pairs.len().is_multiple_of(2) {
        return Err(error::SYNTAX.into());
    }
    let failed = |name: &str, reason: &str| -> Error {
        format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}").into()
    };
    let mut named = Vec::new();
    let mut mistake = None;
    for at in (0..pairs.len()).step_by(2) {
        let name = String::from_utf8_lossy(pairs.at(at));
        let Some(setting) = Config::setting(&name) else {
            return Err(format!(
                "ERR Unknown option or number of arguments for CONFIG SET - '{name}'"
            )
            .into());
        };
        let reason = match setting.when {
            When::Start => "can't set immutable config",
            When::Anytime if named.contains(&setting.name) => "duplicate parameter",
            When::Anytime => "",
        };
        if mistake.is_none() && !reason.is_empty() {
            mistake = Some(failed(&name, reason));
        }
        named.push(setting.name);
    }
    if let Some(mistake) = mistake {
        return Err(mistake);
    }
    let mut config = call.core.config.clone();
    for (nth, name) in named.into_iter().enumerate() {
        let told = String::from_utf8_lossy(pairs.at(2 * nth));
        let value = std::str::from_utf8(pairs.at(2 * nth + 1))
            .map_err(|_| failed(&told, "argument must be UTF-8"))?;
        config
            .set(name, value)
            .map_err(|reason| failed(&told, &reason))?;
    }
    let facts = &call.core.facts;
    config.resolve_maxmemory(facts.available_memory_bytes, facts.memory_limit_auto_bytes);
    Ok(config)
}

fn check_set(call: &mut Call<'_>) -> Reply {
    changed(call).map(drop)
}

fn set_part(call: &mut Call<'_>, _: &mut Part) -> Result<Progress, Error> {
    let config = changed(call)?;
    let eviction = config.eviction();
    if eviction != call.core.config.eviction() {
        let now = call.now();
        call.core.shard.set_eviction(eviction, now);
    }
    call.core.config = config;
    let thresholds = call.core.config.thresholds;
    call.core.shard.set_thresholds(thresholds);
    call.core.shard.set_curve(call.core.config.memory_curve);
    let rules = call.core.config.prefix_rules;
    call.core.shard.set_prefix_rules(rules);
    if call.core.config.requirepass.is_empty() {
        // Without a password nobody has to give one, not even who was asked for it.
        let clients: Vec<ClientId> = call.core.clients.iter().map(|(id, _)| id).collect();
        clients
            .into_iter()
            .for_each(|id| call.core.clients.at_mut(id).authenticated = true);
    }
    Ok(Progress::Done)
}

fn set_merge(call: &mut Call<'_>, _: &mut [Part], out: &mut Writer<'_>) -> Reply {
    // Once for all shards; the call has them to itself until it is answered, so that two changes cannot cross.
    call.core
        .facts
        .budget
        .set_limit(call.core.config.maxmemory_bytes);
    out.ok();
    Ok(())
}

fn resetstat_part(call: &mut Call<'_>, _: &mut Part) -> Result<Progress, Error> {
    call.core.take_shard_counts();
    call.core.stats.reset();
    Ok(Progress::Done)
}

fn resetstat_merge(_: &mut Call<'_>, _: &mut [Part], out: &mut Writer<'_>) -> Reply {
    out.ok();
    Ok(())
}

/// The file stays as its owner wrote it: what CONFIG SET changed lasts until the server ends.
fn rewrite(call: &mut Call<'_>, _: &mut Writer<'_>) -> Reply {
    match &call.core.facts.config_file[..] {
        "" => Err("ERR The server is running without a config file".into()),
        file => Err(format!(
            "ERR Rewriting config file: this server does not write to {file}, change it by hand"
        )
        .into()),
    }
}

fn no_check(_: &mut Call<'_>) -> Reply {
    Ok(())
}

const ALL_NODES: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

const BASE: Command = Command {
    name: "",
    arity: 2,
    flags: Flags::ADMIN
        .and(Flags::NOSCRIPT)
        .and(Flags::LOADING)
        .and(Flags::STALE),
    keys: Keys::NONE,
    key_flags: &[],
    categories: &[],
    tips: &[],
    run: Run::Container,
    doc: Doc {
        summary: "",
        since: "2.0.0",
        group: "server",
        complexity: "O(N) in the number of options.",
        syntax: "",
    },
    subcommands: &[],
};

/// The rows of this family.
pub const ROWS: &[Command] = &[Command {
    name: "config",
    arity: -2,
    flags: Flags(0),
    doc: Doc {
        summary: "Reads and changes options",
        complexity: "Depends on the subcommand.",
        ..BASE.doc
    },
    subcommands: SUBCOMMANDS,
    ..BASE
}];

const SUBCOMMANDS: &[Command] = &[
    Command {
        name: "config|get",
        arity: -3,
        run: Run::Here(get),
        doc: Doc {
            summary: "The options whose names match one of the patterns, with their values",
            syntax: "parameter [parameter ...]",
            ..BASE.doc
        },
        ..BASE
    },
    Command {
        name: "config|resetstat",
        tips: ALL_NODES,
        run: Run::Fan(Fan {
            to: To::All,
            exclusive: false,
            check: no_check,
            part: resetstat_part,
            merge: resetstat_merge,
            after: None,
        }),
        doc: Doc {
            summary: "Starts the counters that INFO shows from zero",
            complexity: "O(1)",
            ..BASE.doc
        },
        ..BASE
    },
    Command {
        name: "config|rewrite",
        tips: ALL_NODES,
        run: Run::Here(rewrite),
        doc: Doc {
            summary: "Refused: the configuration file is its owner's, and stays as it is",
            since: "2.8.0",
            complexity: "O(1)",
            ..BASE.doc
        },
        ..BASE
    },
    Command {
        name: "config|set",
        arity: -4,
        tips: ALL_NODES,
        run: Run::Fan(Fan {
            to: To::All,
            exclusive: true,
            check: check_set,
            part: set_part,
            merge: set_merge,
            after: None,
        }),
        doc: Doc {
            summary: "Changes options on every core, all of them or, where one does not fit, none",
            syntax: "parameter value [parameter value ...]",
            ..BASE.doc
        },
        ..BASE
    },
    help_row("config|help", &[], "server", "5.0.0"),
];
