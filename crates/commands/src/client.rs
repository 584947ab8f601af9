//! The CLIENT family: what a connection is, what it calls itself, who is connected, and who is to go.
//! Nothing here closes a socket: a client is marked, and the server closes what is marked.
//! Source: redis-server 7.2 for the fields and texts; a list is gathered from every core.

use crate::clients::{Close, ReplyMode};
use crate::connection::{caller, caller_mut, check_name, is_plain};
use crate::introspection::help_row;
use crate::row::{Doc, Fan, Keys, To};
use crate::{
    Call, Client, ClientId, Command, Core, Error, Flags, Part, Progress, Reply, Run, Table, error,
};
use resp::{Args, Proto, Writer};
use std::fmt::Write as _;

fn id(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    out.int(caller_mut(call).number as i64);
    Ok(())
}

fn info(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let id = caller(call);
    let mut text = line(call.core, call.core.clients.at(id));
    text.push('\n');
    out.verbatim("txt", text.as_bytes());
    Ok(())
}

/// A client in one line, with the fields of Redis 7.2 in its order. What is not here (transactions, subscriptions,
/// tracking) is 0, or what a client without it has.
fn line(core: &Core, client: &Client) -> String {
    let age_s = (core.now.0 - client.connected.0).max(0) / 1000;
    let idle_s = (core.now.0 - client.last_active.0).max(0) / 1000;
    let command = client.last_command.map_or("NULL", |row| {
        Table::instance().row(crate::table::RowId(row)).name
    });
    let query_free_bytes = client
        .query_capacity_bytes
        .saturating_sub(client.query_bytes);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut line = format!(
        "id={} addr={} laddr={} fd={} name={} age={age_s} idle={idle_s} flags={} db={} sub=0 psub=0 ssub=0 multi=-1",
        client.number,
        client.address,
        client.local_address,
        client.descriptor,
        text(&client.name),
        flags(client),
        client.db,
    );
    let _ = write!(
        line,
        " qbuf={} qbuf-free={query_free_bytes} argv-mem=0 multi-mem=0 rbs={2} rbp={2} obl={3} oll=0 omem={2} tot-mem={1}",
        client.query_bytes, client.total_bytes, client.output_capacity_bytes, client.output_bytes,
    );
    let _ = write!(
        line,
        " events={} cmd={command} user=default redir=-1 resp={} lib-name={} lib-ver={}",
        if client.output_bytes > 0 { "rw" } else { "r" },
        if client.proto == Proto::Resp3 { 3 } else { 2 },
        text(&client.library_name),
        text(&client.library_version),
    );
    line
}

fn flags(client: &Client) -> String {
    let mut flags = String::new();
    match client.close {
        Some(Close::Now) => flags.push('A'),
        Some(Close::AfterReplies) => flags.push('c'),
        None => {}
    }
    if client.no_evict {
        flags.push('e');
    }
    if client.no_touch {
        flags.push('T');
    }
    if flags.is_empty() {
        flags.push('N');
    }
    flags
}

/// Whether clients of a type are wanted; here all are normal.
///
/// # Errors
/// Redis' text for a type that there is not.
fn is_normal(name: &[u8]) -> Result<bool, Error> {
    match &name.to_ascii_lowercase()[..] {
        b"normal" => Ok(true),
        b"master" | b"replica" | b"slave" | b"pubsub" => Ok(false),
        _ => Err(format!(
            "ERR Unknown client type '{}'",
            String::from_utf8_lossy(name)
        )
        .into()),
    }
}

/// Which clients CLIENT LIST shows.
enum Listed {
    All,
    None,
    Numbers(Vec<u64>),
}

fn listed(call: &Call<'_>) -> Result<Listed, Error> {
    let args = call.args;
    if args.len() == 2 {
        Ok(Listed::All)
    } else if args.len() == 4 && call.is(2, "type") {
        Ok(if is_normal(args.at(3))? {
            Listed::All
        } else {
            Listed::None
        })
    } else if args.len() > 3 && call.is(2, "id") {
        let numbers: Option<Vec<u64>> = args.from(3).iter().map(number).collect();
        numbers
            .map(Listed::Numbers)
            .ok_or("ERR Invalid client ID".into())
    } else {
        Err(error::SYNTAX.into())
    }
}

/// A client's number: an integer above 0.
fn number(text: &[u8]) -> Option<u64> {
    resp::number::parse_i64(text)
        .filter(|&number| number > 0)
        .map(|number| number as u64)
}

fn check_list(call: &mut Call<'_>) -> Reply {
    listed(call).map(drop)
}

fn list_part(call: &mut Call<'_>, part: &mut Part) -> Result<Progress, Error> {
    let wanted = listed(call)?;
    let core = &*call.core;
    let lines = core
        .clients
        .iter()
        .filter(|(_, client)| match &wanted {
            Listed::All => true,
            Listed::None => false,
            Listed::Numbers(numbers) => numbers.contains(&client.number),
        })
        .map(|(_, client)| (client.number, line(core, client)))
        .collect();
    *part = Part::Lines(lines);
    Ok(Progress::Done)
}

fn list_merge(call: &mut Call<'_>, parts: &mut [Part], out: &mut Writer<'_>) -> Reply {
    let mut lines = Vec::new();
    for part in parts {
        let Part::Lines(own) = part else {
            unreachable!("every shard lists its clients")
        };
        lines.append(own);
    }
    lines.sort_unstable_by_key(|(number, _)| *number);
    let mut text = String::new();
    let mut push = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    match listed(call)? {
        // In the order they were asked for.
        Listed::Numbers(numbers) => {
            for number in numbers {
                if let Ok(place) = lines.binary_search_by_key(&number, |(number, _)| *number) {
                    push(&lines[place].1);
                }
            }
        }
        Listed::All | Listed::None => lines.iter().for_each(|(_, line)| push(line)),
    }
    out.verbatim("txt", text.as_bytes());
    Ok(())
}

fn getname(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    match &caller_mut(call).name[..] {
        b"" => out.null(),
        name => out.bulk(name),
    }
    Ok(())
}

fn setname(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let name = call.args.at(2);
    check_name(name)?;
    caller_mut(call).name = name.into();
    out.ok();
    Ok(())
}

fn setinfo(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let (option, value) = (call.args.at(2), call.args.at(3));
    let is_name = call.is(2, "lib-name");
    if !is_name && !call.is(2, "lib-ver") {
        return Err(error::quoting("ERR Unrecognized option '", option, "'"));
    }
    if !is_plain(value) {
        let option = String::from_utf8_lossy(option);
        return Err(
            format!("ERR {option} cannot contain spaces, newlines or special characters.").into(),
        );
    }
    let client = caller_mut(call);
    *(if is_name {
        &mut client.library_name
    } else {
        &mut client.library_version
    }) = value.into();
    out.ok();
    Ok(())
}

/// Whom CLIENT KILL is after: a client that every given condition holds for.
struct Doomed<'a> {
    number: Option<u64>,
    normal: bool,
    address: Option<&'a [u8]>,
    local_address: Option<&'a [u8]>,
    age_s_min: i64,
    skip_caller: bool,
}

fn doomed<'a>(call: &Call<'a>) -> Result<Doomed<'a>, Error> {
    let args = call.args;
    let nobody_yet = Doomed {
        number: None,
        normal: true,
        address: None,
        local_address: None,
        age_s_min: 0,
        skip_caller: true,
    };
    if args.len() == 3 {
        return Ok(Doomed {
            address: Some(args.at(2)),
            skip_caller: false,
            ..nobody_yet
        });
    }
    let mut doomed = nobody_yet;
    let mut at = 2;
    while at < args.len() {
        let Some(value) = args.get(at + 1) else {
            return Err(error::SYNTAX.into());
        };
        kill_option(&mut doomed, args, at, value)?;
        at += 2;
    }
    Ok(doomed)
}

fn kill_option<'a>(doomed: &mut Doomed<'a>, args: Args<'a>, at: usize, value: &'a [u8]) -> Reply {
    match &args.at(at).to_ascii_lowercase()[..] {
        b"id" => {
            doomed.number = Some(number(value).ok_or("ERR client-id should be greater than 0")?)
        }
        b"type" => doomed.normal = is_normal(value)?,
        b"addr" => doomed.address = Some(value),
        b"laddr" => doomed.local_address = Some(value),
        b"user" if value == b"default" => {}
        b"user" => {
            return Err(error::quoting("ERR No such user '", value, "'"));
        }
        b"maxage" => {
            let age_s = resp::number::parse_i64(value)
                .ok_or("ERR maxage is not an integer or out of range")?;
            if age_s <= 0 {
                return Err("ERR maxage should be greater than 0".into());
            }
            doomed.age_s_min = age_s;
        }
        b"skipme" if value.eq_ignore_ascii_case(b"yes") => doomed.skip_caller = true,
        b"skipme" if value.eq_ignore_ascii_case(b"no") => doomed.skip_caller = false,
        _ => return Err(error::SYNTAX.into()),
    }
    Ok(())
}

fn check_kill(call: &mut Call<'_>) -> Reply {
    doomed(call).map(drop)
}

fn kill_part(call: &mut Call<'_>, part: &mut Part) -> Result<Progress, Error> {
    let doomed = doomed(call)?;
    let now = call.now();
    let matches = |id: ClientId, client: &Client| {
        let is_caller = call.client == Some(id);
        doomed.normal
            && client.close.is_none()
            && doomed.number.is_none_or(|number| number == client.number)
            && doomed
                .address
                .is_none_or(|address| address == client.address.as_bytes())
            && doomed
                .local_address
                .is_none_or(|address| address == client.local_address.as_bytes())
            && (now.0 - client.connected.0) / 1000 >= doomed.age_s_min
            && !(is_caller && doomed.skip_caller)
    };
    let marked: Vec<ClientId> = call
        .core
        .clients
        .iter()
        .filter(|(id, client)| matches(*id, client))
        .map(|(id, _)| id)
        .collect();
    *part = Part::Count(marked.len() as i64);
    for id in marked {
        // Who kills itself still hears that it did.
        let how = if call.client == Some(id) {
            Close::AfterReplies
        } else {
            Close::Now
        };
        call.core.clients.close(id, how);
    }
    Ok(Progress::Done)
}

fn kill_merge(call: &mut Call<'_>, parts: &mut [Part], out: &mut Writer<'_>) -> Reply {
    let count_of = |part: &Part| match part {
        Part::Count(count) => *count,
        other => unreachable!("every shard counts the clients it closes, not {other:?}"),
    };
    let killed: i64 = parts.iter().map(count_of).sum();
    if call.args.len() > 3 {
        out.int(killed);
    } else if killed == 0 {
        return Err("ERR No such client".into());
    } else {
        out.ok();
    }
    Ok(())
}

fn on_or_off(call: &Call<'_>) -> Result<bool, Error> {
    match (call.is(2, "on"), call.is(2, "off")) {
        (false, false) => Err(error::SYNTAX.into()),
        (on, _) => Ok(on),
    }
}

fn no_evict(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    caller_mut(call).no_evict = on_or_off(call)?;
    out.ok();
    Ok(())
}

fn no_touch(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    caller_mut(call).no_touch = on_or_off(call)?;
    out.ok();
    Ok(())
}

/// Only ON is answered; the server leaves out what is not to be heard.
fn reply(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let mode = if call.is(2, "on") {
        ReplyMode::On
    } else if call.is(2, "off") {
        ReplyMode::Off
    } else if call.is(2, "skip") {
        ReplyMode::SkipNext
    } else {
        return Err(error::SYNTAX.into());
    };
    let client = caller_mut(call);
    match mode {
        ReplyMode::On => out.ok(),
        ReplyMode::SkipNext if client.reply_mode == ReplyMode::Off => return Ok(()),
        _ => {}
    }
    client.reply_mode = mode;
    Ok(())
}

const OWN: Flags = Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE);
const OTHERS: Flags = OWN.and(Flags::ADMIN);
const SETS_ALL_NODES: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

const BASE: Command = Command {
    name: "",
    arity: 2,
    flags: OWN,
    keys: Keys::NONE,
    key_flags: &[],
    categories: &["connection"],
    tips: &[],
    run: Run::Container,
    doc: Doc {
        summary: "",
        since: "2.4.0",
        group: "connection",
        complexity: "O(1)",
        syntax: "",
    },
    subcommands: &[],
};

/// The rows of this family.
pub const ROWS: &[Command] = &[Command {
    name: "client",
    arity: -2,
    flags: Flags(0),
    categories: &[],
    run: Run::Container,
    doc: Doc {
        summary: "About connections: what they are, what they are called, and closing them",
        complexity: "Depends on the subcommand.",
        ..BASE.doc
    },
    subcommands: SUBCOMMANDS,
    ..BASE
}];

const SUBCOMMANDS: &[Command] = &[
    Command {
        name: "client|getname",
        run: Run::Here(getname),
        doc: Doc {
            summary: "The name this connection gave itself",
            since: "2.6.9",
            ..BASE.doc
        },
        ..BASE
    },
    Command {
        name: "client|id",
        run: Run::Here(id),
        doc: Doc {
            summary: "The number of this connection",
            since: "5.0.0",
            ..BASE.doc
        },
        ..BASE
    },
    Command {
        name: "client|info",
        tips: &["nondeterministic_output"],
        run: Run::Here(info),
        doc: Doc {
            summary: "This connection in one line, as CLIENT LIST shows it",
            since: "6.2.0",
            ..BASE.doc
        },
        ..BASE
    },
    Command {
        name: "client|kill",
        arity: -3,
        flags: OTHERS,
        run: Run::Fan(Fan {
            to: To::All,
            exclusive: false,
            check: check_kill,
            part: kill_part,
            merge: kill_merge,
            after: None,
        }),
        doc: Doc {
            summary: "Closes the connections that every given condition holds for; by default never the caller's",
            complexity: "O(N) in the number of connections.",
            syntax: "<ip:port | <[ID client-id] [TYPE <NORMAL | MASTER | REPLICA | SLAVE | PUBSUB>] [USER username] \
                     [ADDR ip:port] [LADDR ip:port] [SKIPME <YES | NO>] [MAXAGE maxage]>>",
            ..BASE.doc
        },
        ..BASE
    },
    Command {
        name: "client|list",
        arity: -2,
        flags: OTHERS,
        tips: &["nondeterministic_output"],
        run: Run::Fan(Fan {
            to: To::All,
            exclusive: false,
            check: check_list,
            part: list_part,
            merge: list_merge,
            after: None,
        }),
        doc: Doc {
            summary: "Every connection in a line of its own",
            complexity: "O(N) in the number of connections.",
            syntax: "[TYPE <NORMAL | MASTER | REPLICA | PUBSUB>] [ID client-id [client-id ...]]",
            ..BASE.doc
        },
        ..BASE
    },
    Command {
        name: "client|no-evict",
        arity: 3,
        flags: OTHERS,
        run: Run::Here(no_evict),
        doc: Doc {
            summary: "Whether this connection is spared when clients are closed to free memory",
            since: "7.0.0",
            syntax: "<ON | OFF>",
            ..BASE.doc
        },
        ..BASE
    },
    Command {
        name: "client|no-touch",
        arity: 3,
        run: Run::Here(no_touch),
        doc: Doc {
            summary: "Whether reads of this connection leave the keys' access times alone",
            since: "7.2.0",
            syntax: "<ON | OFF>",
            ..BASE.doc
        },
        ..BASE
    },
    Command {
        name: "client|reply",
        arity: 3,
        run: Run::Here(reply),
        doc: Doc {
            summary: "Whether this connection hears replies: all, none, or all but the next",
            since: "3.2.0",
            syntax: "<ON | OFF | SKIP>",
            ..BASE.doc
        },
        ..BASE
    },
    Command {
        name: "client|setinfo",
        arity: 4,
        tips: SETS_ALL_NODES,
        run: Run::Here(setinfo),
        doc: Doc {
            summary: "Names the client library of this connection, or its version",
            since: "7.2.0",
            syntax: "<LIB-NAME libname | LIB-VER libver>",
            ..BASE.doc
        },
        ..BASE
    },
    Command {
        name: "client|setname",
        arity: 3,
        tips: SETS_ALL_NODES,
        run: Run::Here(setname),
        doc: Doc {
            summary: "Names this connection; an empty name takes the name away",
            since: "2.6.9",
            syntax: "connection-name",
            ..BASE.doc
        },
        ..BASE
    },
    help_row("client|help", &["connection"], "connection", "5.0.0"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_number_is_an_integer_above_zero() {
        assert_eq!(number(b"12"), Some(12));
        for bad in [&b"0"[..], b"-1", b"x", b"", b"99999999999999999999"] {
            assert_eq!(number(bad), None);
        }
    }

    #[test]
    fn client_types_are_taken_in_any_case_and_others_refused() {
        assert_eq!(is_normal(b"NORMAL"), Ok(true));
        assert_eq!(is_normal(b"pubsub"), Ok(false));
        assert_eq!(
            is_normal(b"foo"),
            Err("ERR Unknown client type 'foo'".into())
        );
    }
}
