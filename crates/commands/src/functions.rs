//! FUNCTION, as a server without libraries answers it: there is nothing to list and nothing to delete.
//! Never pretends to load one.
//! Source: redis-server 7 for the texts.

use crate::introspection::help_row;
use crate::row::{Doc, Keys};
use crate::{Call, Command, Flags, Reply, Run, error};
use resp::Writer;

const FLUSH_WORDS: &str = "ERR FUNCTION FLUSH only supports SYNC|ASYNC option";

fn flush(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    match call.args.len() {
        2 => {}
        3 if call.is(2, "sync") || call.is(2, "async") => {}
        _ => return Err(FLUSH_WORDS.into()),
    }
    out.ok();
    Ok(())
}

fn list(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let mut index = 2;
    while index < call.args.len() {
        if call.is(index, "libraryname") && index + 1 < call.args.len() {
            index += 1;
        } else if !call.is(index, "withcode") {
            let word = call.args.at(index);
            return Err(error::quoting("ERR Unknown argument ", word, ""));
        }
        index += 1;
    }
    out.array(0);
    Ok(())
}

const BASE: Command = Command {
    name: "",
    arity: -2,
    flags: Flags::NOSCRIPT,
    keys: Keys::NONE,
    key_flags: &[],
    categories: &["scripting"],
    tips: &[],
    run: Run::Container,
    doc: Doc {
        summary: "",
        since: "7.0.0",
        group: "scripting",
        complexity: "O(1)",
        syntax: "",
    },
    subcommands: &[],
};

/// The rows of this family.
pub const ROWS: &[Command] = &[Command {
    name: "function",
    flags: Flags(0),
    categories: &[],
    doc: Doc {
        summary: "Libraries of functions, of which there are none",
        complexity: "Depends on subcommand.",
        ..BASE.doc
    },
    subcommands: &[
        Command {
            name: "function|flush",
            flags: Flags::WRITE.and(Flags::NOSCRIPT),
            tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
            run: Run::Here(flush),
            doc: Doc {
                summary: "Deletes all libraries: there are none",
                syntax: "[ASYNC | SYNC]",
                ..BASE.doc
            },
            ..BASE
        },
        Command {
            name: "function|list",
            tips: &["nondeterministic_output_order"],
            run: Run::Here(list),
            doc: Doc {
                summary: "All libraries: an empty list",
                syntax: "[LIBRARYNAME library-name-pattern] [WITHCODE]",
                ..BASE.doc
            },
            ..BASE
        },
        help_row("function|help", &["scripting"], "scripting", "7.0.0"),
    ],
    ..BASE
}];
