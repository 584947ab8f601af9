//! Commands on consumer groups: XGROUP and XACK, and how commands find a group.
//! Never a change before the last check.
//! Source: redis-server 7, in the order of its checks.

use super::ids;
use crate::{Call, Error, Reply, error, lookup};
use resp::Writer;
use std::borrow::Cow;
use store::{Door, Group, Kind, Stream, StreamEdit, StreamId, View};

const BUSY: &str = "BUSYGROUP Consumer Group name already exists";
const NO_KEY: &str = "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use \
the MKSTREAM option to create an empty stream automatically.";
const ENTRIES_READ: &str = "ERR value for ENTRIESREAD must be positive or -1";

const HELP: &[&str] = &[
    "XGROUP <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "CREATE <key> <group> <id|$> [MKSTREAM] [ENTRIESREAD <count>]",
    "    Makes a group that is delivered what comes after the ID; MKSTREAM makes the stream too.",
    "CREATECONSUMER <key> <group> <consumer>",
    "    Makes a consumer in the group.",
    "DELCONSUMER <key> <group> <consumer>",
    "    Removes a consumer with what it has pending.",
    "DESTROY <key> <group>",
    "    Removes the group with its consumers.",
    "SETID <key> <group> <id|$> [ENTRIESREAD <count>]",
    "    Sets up to where the group was delivered entries.",
    "HELP",
    "    Prints this text.",
];

/// A stream or a group is missing; both are quoted.
pub(super) fn no_group(key: &[u8], group: &[u8], rest: &str) -> Error {
    let parts: [&[u8]; 6] = [
        b"NOGROUP No such key '",
        error::printed(key),
        b"' or consumer group '",
        error::printed(group),
        b"'",
        rest.as_bytes(),
    ];
    Error(Cow::Owned(parts.concat()))
}

/// The stream is there, the group is not.
pub(super) fn no_such_group(key: &[u8], group: &[u8]) -> Error {
    let parts: [&[u8]; 5] = [
        b"NOGROUP No such consumer group '",
        error::printed(group),
        b"' for key name '",
        error::printed(key),
        b"'",
    ];
    Error(Cow::Owned(parts.concat()))
}

/// A known subcommand has options it does not know.
pub(super) fn subcommand_syntax(call: &Call<'_>, container: &str) -> Error {
    const QUOTED_BYTES_MAX: usize = 128;
    let subcommand = call.args.at(1);
    let cut = &subcommand[..subcommand.len().min(QUOTED_BYTES_MAX)];
    let help = format!("'. Try {container} HELP.");
    let parts: [&[u8]; 3] = [
        b"ERR unknown subcommand or wrong number of arguments for '",
        cut,
        help.as_bytes(),
    ];
    Error(Cow::Owned(parts.concat()))
}

/// Reads a group that a command needs: the key at index 1, the name at 2.
pub(super) fn read_group<'c>(call: &'c mut Call<'_>) -> Result<(&'c Stream, &'c Group), Error> {
    let (key, name) = (call.args.at(1), call.args.at(2));
    let found = {
        let key = call.key(1);
        lookup::read_as(call, key, View::stream)?
    };
    let stream = found.ok_or_else(|| no_group(key, name, ""))?;
    let index = stream
        .group_index(name)
        .ok_or_else(|| no_group(key, name, ""))?;
    Ok((stream, stream.group(index)))
}

/// Opens the stream of a group that a command needs, and tells the group's index: the key at index 1, the name at 2.
pub(super) fn open_group<'c>(call: &'c mut Call<'_>) -> Result<(StreamEdit<'c>, usize), Error> {
    let (key, name) = (call.args.at(1), call.args.at(2));
    let missing = || no_group(key, name, "");
    let found = call.key(1);
    let stream = lookup::open(call, found, Kind::Stream)?
        .ok_or_else(missing)?
        .stream();
    let index = stream.group_index(name).ok_or_else(missing)?;
    Ok((stream, index))
}

/// The options of XGROUP CREATE and SETID.
#[derive(Default)]
struct Options {
    makes_stream: bool,
    entries_read: Option<u64>,
}

impl Options {
    /// Reads them; MKSTREAM where it may stand.
    fn of(call: &Call<'_>, may_make: bool) -> Result<Options, Error> {
        let mut options = Options::default();
        let mut index = 5;
        while index < call.args.len() {
            if may_make && call.is(index, "mkstream") {
                options.makes_stream = true;
            } else if call.is(index, "entriesread") && index + 1 < call.args.len() {
                index += 1;
                options.entries_read = match call.int(index)? {
                    -1 => None,
                    number => Some(u64::try_from(number).map_err(|_| ENTRIES_READ)?),
                };
            } else {
                return Err(subcommand_syntax(call, "XGROUP"));
            }
            index += 1;
        }
        Ok(options)
    }
}

/// The stream at index 2, which must be there.
fn open_existing<'c>(call: &'c mut Call<'_>) -> Result<StreamEdit<'c>, Error> {
    let key = call.key(2);
    let door = lookup::open(call, key, Kind::Stream)?;
    door.map(Door::stream).ok_or_else(|| NO_KEY.into())
}

/// As [`open_existing`], with the index of the group at index 3, which must be there too.
fn open_existing_group<'c>(call: &'c mut Call<'_>) -> Result<(StreamEdit<'c>, usize), Error> {
    let (key, name) = (call.args.at(2), call.args.at(3));
    let stream = open_existing(call)?;
    let index = stream
        .group_index(name)
        .ok_or_else(|| no_such_group(key, name))?;
    Ok((stream, index))
}

pub(super) fn create(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    const ARGC_MAX: usize = 8;
    let options = Options::of(call, true)?;
    let (args, key) = (call.args, call.key(2));
    let too_many = (args.len() > ARGC_MAX).then(|| subcommand_syntax(call, "XGROUP"));
    let found = lookup::open(call, key, Kind::Stream)?.map(|door| door.stream().last_id());
    if found.is_none() && !options.makes_stream {
        return Err(NO_KEY.into());
    }
    if let Some(error) = too_many {
        return Err(error);
    }
    let last_id = match args.at(4) {
        b"$" => found.unwrap_or(StreamId::MIN),
        id => ids::parse(id, 0)?,
    };
    let mut stream = lookup::open_or_new(call, key, Kind::Stream)?.stream();
    if !stream.create_group(args.at(3), last_id, options.entries_read) {
        return Err(BUSY.into());
    }
    out.ok();
    Ok(())
}

pub(super) fn set_id(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    const ARGC_MAX: usize = 7;
    let options = Options::of(call, false)?;
    let args = call.args;
    let too_many = (args.len() > ARGC_MAX).then(|| subcommand_syntax(call, "XGROUP"));
    let (mut stream, index) = open_existing_group(call)?;
    if let Some(error) = too_many {
        return Err(error);
    }
    let last_id = match args.at(4) {
        b"$" => stream.last_id(),
        id => ids::parse_or_edge(id, 0)?,
    };
    stream.edit_group(index, |group| {
        group.set_last_id(last_id, options.entries_read)
    });
    out.ok();
    Ok(())
}

pub(super) fn destroy(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let name = call.args.at(3);
    let destroyed = open_existing(call)?.destroy_group(name);
    out.int(i64::from(destroyed));
    Ok(())
}

pub(super) fn create_consumer(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let (name, now) = (call.args.at(4), call.now());
    let (mut stream, index) = open_existing_group(call)?;
    let (_, is_new) = stream.edit_group(index, |group| group.open_consumer(name, now));
    out.int(i64::from(is_new));
    Ok(())
}

pub(super) fn delete_consumer(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let name = call.args.at(4);
    let (mut stream, index) = open_existing_group(call)?;
    let pending = stream.edit_group(index, |group| group.delete_consumer(name));
    out.int(pending.unwrap_or(0) as i64);
    Ok(())
}

pub(super) fn help(_: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    write_lines(out, HELP);
    Ok(())
}

/// Writes a text for people, a line an element.
pub(super) fn write_lines(out: &mut Writer<'_>, lines: &[&str]) {
    out.array(lines.len());
    lines.iter().for_each(|line| out.simple(line));
}

pub(super) fn acknowledge(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let (key, name, ids) = (call.key(1), call.args.at(2), ids::parse_rest(call, 3));
    let found = lookup::open(call, key, Kind::Stream)?.map(Door::stream);
    let group = found.and_then(|stream| stream.group_index(name).map(|index| (stream, index)));
    let Some((mut stream, index)) = group else {
        out.int(0);
        return Ok(());
    };
    let ids = ids?;
    let acknowledged = stream.edit_group(index, |group| {
        ids.into_iter().filter(|&id| group.acknowledge(id)).count()
    });
    out.int(acknowledged as i64);
    Ok(())
}
