//! The COMMAND family and every HELP: the table, told to clients.
//! Nothing here knows a command by name but SET, whose key flags depend on its words; all is read from the rows.
//! Source: the reply shapes of redis-server 7, which redis-cli and client libraries parse.

mod docs;
mod key_specs;
mod reference;
mod syntax;

pub use reference::printed_reference;

use crate::row::{Doc, Keys, Movable};
use crate::{Call, Command, Error, Flags, Reply, Run, Table, error, glob, reply_limit::ReplyLimit};
use key_specs::key_specs;
use resp::Writer;

/// ACL categories in the order Redis lists them.
const CATEGORIES: [&str; 21] = [
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
];

/// The ACL categories of a command: those of its row and those that follow from its flags.
fn categories(row: &Command) -> impl Iterator<Item = &'static str> + use<> {
    let (flags, own) = (row.flags, row.categories);
    let follows = move |category: &str| match category {
        "write" => flags.has(Flags::WRITE),
        "read" => flags.has(Flags::READONLY),
        "admin" => flags.has(Flags::ADMIN),
        "dangerous" => flags.has(Flags::ADMIN),
        "fast" => flags.has(Flags::FAST),
        "slow" => !flags.has(Flags::FAST),
        _ => false,
    };
    CATEGORIES
        .into_iter()
        .filter(move |category| own.contains(category) || follows(category))
}

/// The row of `name` or `container|name`.
fn find(name: &[u8]) -> Option<&'static Command> {
    let table = Table::instance();
    let (container, subcommand) = match name.iter().position(|&byte| byte == b'|') {
        Some(bar) => (&name[..bar], Some(&name[bar + 1..])),
        None => (name, None),
    };
    let mut id = table.by_name(container)?;
    if let Some(subcommand) = subcommand {
        id = table.subcommand(id, subcommand)?;
    }
    Some(table.row(id))
}

fn write_words<'w>(out: &mut Writer<'_>, words: impl Iterator<Item = &'w str>) {
    let set = out.deferred_set();
    let count = words.map(|word| out.simple(word)).count();
    out.finish(set, count);
}

/// One command as COMMAND INFO shows it.
fn write_info(out: &mut Writer<'_>, row: &Command) {
    out.array(10);
    out.bulk(row.name.as_bytes());
    out.int(row.arity.into());
    let flags = Flags::NAMES.iter().enumerate();
    let movable = row.keys.moves().then_some("movablekeys");
    write_words(
        out,
        flags
            .filter(|(bit, _)| row.flags.has(Flags(1 << bit)))
            .map(|(_, name)| *name)
            .chain(movable),
    );
    out.int(row.keys.first.into());
    out.int(row.keys.last.into());
    out.int(row.keys.step.into());
    let set = out.deferred_set();
    let count = categories(row)
        .map(|category| out.simple(&format!("@{category}")))
        .count();
    out.finish(set, count);
    out.array(row.tips.len());
    row.tips.iter().for_each(|tip| out.bulk(tip.as_bytes()));
    let specs = key_specs(row);
    out.array(specs.len());
    specs.iter().for_each(|spec| spec.write(out));
    out.array(row.subcommands.len());
    row.subcommands
        .iter()
        .for_each(|subcommand| write_info(out, subcommand));
}

fn command(_: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let commands = Table::instance().commands();
    out.array(commands.len());
    commands.iter().for_each(|row| write_info(out, row));
    Ok(())
}

fn count(_: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    out.int(Table::instance().commands().len() as i64);
    Ok(())
}

fn info(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    if call.args.len() == 2 {
        return command(call, out);
    }
    let (limit, start) = (ReplyLimit::of(call), out.len());
    out.array(call.args.len() - 2);
    for name in call.args.from(2).iter() {
        match find(name) {
            Some(row) => write_info(out, row),
            None => out.null_array(),
        }
        limit.check(out.len() - start)?;
    }
    Ok(())
}

fn docs(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    if call.args.len() == 2 {
        let commands = Table::instance().commands();
        out.map(commands.len());
        commands.iter().for_each(|row| docs::write(out, row));
    } else {
        let found: Vec<&Command> = call.args.from(2).iter().filter_map(find).collect();
        let (limit, start) = (ReplyLimit::of(call), out.len());
        out.map(found.len());
        for row in found {
            docs::write(out, row);
            limit.check(out.len() - start)?;
        }
    }
    Ok(())
}

fn list(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let keep: Filter<'_> = match call.args.len() {
        2 => Box::new(|_| true),
        5 if call.is(2, "filterby") => filter(call)?,
        _ => return Err(error::SYNTAX.into()),
    };
    let array = out.deferred_array();
    let kept = Table::instance().rows().filter(|(_, row)| keep(row));
    let count = kept.map(|(_, row)| out.bulk(row.name.as_bytes())).count();
    out.finish(array, count);
    Ok(())
}

/// Whether COMMAND LIST shows a row.
type Filter<'a> = Box<dyn Fn(&Command) -> bool + 'a>;

/// What COMMAND LIST FILTERBY keeps; there are no modules, so nothing of any.
fn filter<'a>(call: &Call<'a>) -> Result<Filter<'a>, Error> {
    let wanted = call.args.at(4);
    if call.is(3, "module") {
        Ok(Box::new(|_| false))
    } else if call.is(3, "aclcat") {
        Ok(Box::new(move |row| {
            categories(row).any(|category| wanted.eq_ignore_ascii_case(category.as_bytes()))
        }))
    } else if call.is(3, "pattern") {
        Ok(Box::new(move |row| {
            glob::matches_ignoring_case(wanted, row.name.as_bytes())
        }))
    } else {
        Err(error::SYNTAX.into())
    }
}

/// The row of the command that stands after COMMAND GETKEYS, its arity checked.
fn inner(call: &Call<'_>) -> Result<&'static Command, Error> {
    let words = call.args.from(2);
    let table = Table::instance();
    let named = table
        .by_name(words.at(0))
        .and_then(|id| match table.row(id) {
            row if row.subcommands.is_empty() || words.len() == 1 => Some(row),
            _ => table.subcommand(id, words.at(1)).map(|id| table.row(id)),
        });
    let row = named.ok_or("ERR Invalid command specified")?;
    if !row.keys.any() {
        return Err("ERR The command has no key arguments".into());
    }
    let (arity, argc) = (row.arity, words.len() as i32);
    if (arity > 0 && argc != arity) || argc < -arity {
        return Err("ERR Invalid number of arguments specified for command".into());
    }
    let must_find = matches!(
        row.keys.movable,
        Movable::Counted { .. } | Movable::Half { .. }
    );
    if must_find && row.keys.moved(&words).is_empty() {
        return Err("ERR Invalid arguments specified for command".into());
    }
    Ok(row)
}

fn getkeys(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let row = inner(call)?;
    let words = call.args.from(2);
    let indexes = row.keys.indexes(&words);
    out.array(indexes.clone().count());
    indexes.for_each(|index| out.bulk(words.at(index)));
    Ok(())
}

fn getkeysandflags(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let row = inner(call)?;
    let words = call.args.from(2);
    let (specs, moved) = (key_specs(row), row.keys.moved(&words));
    let indexes = row.keys.indexes(&words);
    out.array(indexes.clone().count());
    for (nth, index) in indexes.enumerate() {
        out.array(2);
        out.bulk(words.at(index));
        let last = specs.len() - 1;
        let spec = if moved.contains(&index) { last } else { nth };
        let flags = specs[spec.min(last)].flags;
        let flags = if flags.contains(&"variable_flags") {
            flags_of_set(words)
        } else {
            flags
        };
        write_words(out, flags.iter().copied());
    }
    Ok(())
}

/// SET reads its key only where GET is among its words.
fn flags_of_set(words: resp::Args<'_>) -> &'static [&'static str] {
    let reads = words
        .from(3)
        .iter()
        .any(|word| word.eq_ignore_ascii_case(b"get"));
    if reads {
        &["RW", "access", "update"]
    } else {
        &["OW", "update"]
    }
}

/// The answer to HELP of any command that has subcommands: each one's syntax and what it does, from its row.
pub fn help(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let table = Table::instance();
    let id = table
        .by_name(call.args.at(0))
        .expect("a command that runs has a row");
    let row = table.row(id);
    let name = row.name.to_ascii_uppercase();
    let array = out.deferred_array();
    out.simple(&format!(
        "{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    ));
    let mut lines = 1;
    if !matches!(row.run, Run::Container) {
        out.simple("(no subcommand)");
        out.simple(&format!("    {}", row.doc.summary));
        lines += 2;
    }
    for subcommand in row.subcommands {
        let word = subcommand.name[row.name.len() + 1..].to_ascii_uppercase();
        out.simple(format!("{word} {}", subcommand.doc.syntax).trim_end());
        out.simple(&format!("    {}", subcommand.doc.summary));
        lines += 2;
    }
    out.finish(array, lines);
    Ok(())
}

/// The row of a HELP subcommand.
pub const fn help_row(
    name: &'static str,
    categories: &'static [&'static str],
    group: &'static str,
    since: &'static str,
) -> Command {
    Command {
        name,
        arity: 2,
        flags: Flags::LOADING.and(Flags::STALE),
        keys: Keys::NONE,
        key_flags: &[],
        categories,
        tips: &[],
        run: Run::Here(help),
        doc: Doc {
            summary: "Prints these lines",
            since,
            group,
            complexity: "O(1)",
            syntax: "",
        },
        subcommands: &[],
    }
}

const BASE: Command = Command {
    name: "",
    arity: -2,
    flags: Flags::LOADING.and(Flags::STALE),
    keys: Keys::NONE,
    key_flags: &[],
    categories: &["connection"],
    tips: &[],
    run: Run::Container,
    doc: Doc {
        summary: "",
        since: "2.8.13",
        group: "server",
        complexity: "O(N) in the number of commands.",
        syntax: "",
    },
    subcommands: &[],
};

/// The rows of this family.
pub const ROWS: &[Command] = &[Command {
    name: "command",
    arity: -1,
    tips: &["nondeterministic_output_order"],
    run: Run::Here(command),
    doc: Doc {
        summary: "Facts of every command: arity, flags, keys, categories, tips",
        ..BASE.doc
    },
    subcommands: SUBCOMMANDS,
    ..BASE
}];

const SUBCOMMANDS: &[Command] = &[
    Command {
        name: "command|count",
        arity: 2,
        run: Run::Here(count),
        doc: Doc {
            summary: "How many commands there are, subcommands not counted",
            complexity: "O(1)",
            ..BASE.doc
        },
        ..BASE
    },
    Command {
        name: "command|docs",
        tips: &["nondeterministic_output_order"],
        run: Run::Here(docs),
        doc: Doc {
            summary: "The documentation of the named commands, or of all",
            since: "7.0.0",
            syntax: "[command-name [command-name ...]]",
            ..BASE.doc
        },
        ..BASE
    },
    Command {
        name: "command|getkeys",
        arity: -4,
        run: Run::Here(getkeys),
        doc: Doc {
            summary: "The keys of a command that is written out behind it",
            complexity: "O(N) in the number of words.",
            syntax: "command [arg [arg ...]]",
            ..BASE.doc
        },
        ..BASE
    },
    Command {
        name: "command|getkeysandflags",
        arity: -4,
        run: Run::Here(getkeysandflags),
        doc: Doc {
            summary: "The keys of a command that is written out behind it, and how it uses each",
            since: "7.0.0",
            complexity: "O(N) in the number of words.",
            syntax: "command [arg [arg ...]]",
            ..BASE.doc
        },
        ..BASE
    },
    Command {
        name: "command|info",
        tips: &["nondeterministic_output_order"],
        run: Run::Here(info),
        doc: Doc {
            summary: "Facts of the named commands, or of all",
            syntax: "[command-name [command-name ...]]",
            ..BASE.doc
        },
        ..BASE
    },
    Command {
        name: "command|list",
        tips: &["nondeterministic_output_order"],
        run: Run::Here(list),
        doc: Doc {
            summary: "The names of all commands and subcommands, or of those that a filter keeps",
            since: "7.0.0",
            syntax: "[FILTERBY <MODULE module-name | ACLCAT category | PATTERN pattern>]",
            ..BASE.doc
        },
        ..BASE
    },
    help_row("command|help", &["connection"], "server", "5.0.0"),
];
