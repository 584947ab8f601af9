//! COMMAND DOCS: a row's documentation as the map that redis-cli builds its hints from.
//! Nothing here is kept: every reply is made from the row.
//! Source: the reply shape of redis-server 7.

use super::syntax::{self, Argument};
use crate::Command;
use resp::Writer;

/// A command's name and the map of what there is to say about it; a pair of the map around it.
pub fn write(out: &mut Writer<'_>, row: &Command) {
    out.bulk(row.name.as_bytes());
    let map = out.deferred_map();
    let facts = [
        ("summary", row.doc.summary),
        ("since", row.doc.since),
        ("group", row.doc.group),
        ("complexity", row.doc.complexity),
    ];
    for (name, text) in facts {
        out.bulk(name.as_bytes());
        out.bulk(text.as_bytes());
    }
    let mut pairs = facts.len();
    let arguments = syntax::arguments(row);
    if !arguments.is_empty() {
        out.bulk(b"arguments");
        write_arguments(out, &arguments);
        pairs += 1;
    }
    if !row.subcommands.is_empty() {
        out.bulk(b"subcommands");
        out.map(row.subcommands.len());
        row.subcommands
            .iter()
            .for_each(|subcommand| write(out, subcommand));
        pairs += 1;
    }
    out.finish(map, pairs);
}

fn write_arguments(out: &mut Writer<'_>, arguments: &[Argument]) {
    out.array(arguments.len());
    for argument in arguments {
        write_argument(out, argument);
    }
}

fn write_argument(out: &mut Writer<'_>, argument: &Argument) {
    let map = out.deferred_map();
    let mut pairs = 2;
    out.bulk(b"name");
    out.bulk(argument.name.as_bytes());
    out.bulk(b"type");
    out.bulk(argument.kind.as_bytes());
    if let Some(place) = argument.key_spec {
        out.bulk(b"key_spec_index");
        out.int(place as i64);
        pairs += 1;
    }
    if let Some(token) = &argument.token {
        out.bulk(b"token");
        out.bulk(token.as_bytes());
        pairs += 1;
    }
    let flags = [
        ("optional", argument.optional),
        ("multiple", argument.multiple),
        ("multiple_token", argument.multiple_token),
    ];
    if flags.iter().any(|(_, set)| *set) {
        out.bulk(b"flags");
        super::write_words(
            out,
            flags.iter().filter(|(_, set)| *set).map(|(name, _)| *name),
        );
        pairs += 1;
    }
    if !argument.members.is_empty() {
        out.bulk(b"arguments");
        write_arguments(out, &argument.members);
        pairs += 1;
    }
    out.finish(map, pairs);
}
