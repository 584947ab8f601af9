//! Commands about the server as a whole: INFO, TIME, LOLWUT, SHUTDOWN.
//! Nothing here is measured: INFO shows what the cores counted and what the memory report says.
//! Source: redis-server 7.2 for the names of INFO's fields; a field stands there only where it is true here.

mod info;
mod lolwut;

use crate::row::{Doc, Fan, Keys, To};
use crate::{Call, Command, Flags, Reply, Run, error};
use resp::Writer;

fn time(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let now_ms = call.now().0;
    out.array(2);
    out.bulk_int(now_ms / 1000);
    out.bulk_int(now_ms % 1000 * 1000);
    Ok(())
}

/// Ends the server without a reply. There is nothing to save to, so whoever asks for that is told, unless by force.
fn shutdown(call: &mut Call<'_>, _: &mut Writer<'_>) -> Reply {
    let (mut save, mut nosave, mut now, mut force, mut abort) = (false, false, false, false, false);
    for index in 1..call.args.len() {
        let word = ["save", "nosave", "now", "force", "abort"]
            .into_iter()
            .position(|word| call.is(index, word));
        let flag = match word {
            Some(0) => &mut save,
            Some(1) => &mut nosave,
            Some(2) => &mut now,
            Some(3) => &mut force,
            Some(_) => &mut abort,
            None => return Err(error::SYNTAX.into()),
        };
        *flag = true;
    }
    if (save && nosave) || (abort && (save || nosave || now || force)) {
        return Err(error::SYNTAX.into());
    }
    if abort {
        return Err("ERR No shutdown in progress.".into());
    }
    if save && !force {
        return Err("ERR Errors trying to SHUTDOWN. Check logs.".into());
    }
    call.core.shutdown = true;
    Ok(())
}

const BASE: Command = Command {
    name: "",
    arity: -1,
    flags: Flags::LOADING.and(Flags::STALE),
    keys: Keys::NONE,
    key_flags: &[],
    categories: &[],
    tips: &[],
    run: Run::Container,
    doc: Doc {
        summary: "",
        since: "1.0.0",
        group: "server",
        complexity: "O(1)",
        syntax: "",
    },
    subcommands: &[],
};

/// The rows of this family.
pub const ROWS: &[Command] = &[
    Command {
        name: "info",
        categories: &["dangerous"],
        tips: &[
            "nondeterministic_output",
            "request_policy:all_shards",
            "response_policy:special",
        ],
        run: Run::Fan(Fan {
            to: To::All,
            exclusive: false,
            check: |_| Ok(()),
            part: info::part,
            merge: info::merge,
            after: None,
        }),
        doc: Doc {
            summary: "Figures of the server, its clients, memory, traffic and keys, by section",
            syntax: "[section [section ...]]",
            ..BASE.doc
        },
        ..BASE
    },
    Command {
        name: "time",
        arity: 1,
        flags: BASE.flags.and(Flags::FAST),
        tips: &["nondeterministic_output"],
        run: Run::Here(time),
        doc: Doc {
            summary: "The server's time: seconds since 1970, and microseconds, which step by thousands",
            since: "2.6.0",
            ..BASE.doc
        },
        ..BASE
    },
    Command {
        name: "lolwut",
        flags: Flags::READONLY.and(Flags::FAST),
        run: Run::Here(lolwut::lolwut),
        doc: Doc {
            summary: "Draws a pine, never the same one, and tells the version",
            since: "5.0.0",
            syntax: "[VERSION version] [height]",
            ..BASE.doc
        },
        ..BASE
    },
    Command {
        name: "shutdown",
        flags: Flags::ADMIN
            .and(Flags::NOSCRIPT)
            .and(Flags::LOADING)
            .and(Flags::STALE)
            .and(Flags::NO_MULTI)
            .and(Flags::ALLOW_BUSY),
        run: Run::Here(shutdown),
        doc: Doc {
            summary: "Ends the server; SAVE is refused without FORCE, since there is nothing to save to",
            syntax: "[NOSAVE | SAVE] [NOW] [FORCE] [ABORT]",
            ..BASE.doc
        },
        ..BASE
    },
];
