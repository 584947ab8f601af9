//! Commands about the connection itself: PING, ECHO, HELLO, AUTH, SELECT, QUIT, RESET.
//! Nothing here reaches a shard's data; the client's record is all that changes.
//! Source: redis-server 7 for every text; HELLO as the RESP3 specification has it.

use crate::clients::{Close, ReplyMode};
use crate::row::{Doc, Keys};
use crate::{Call, Client, ClientId, Command, Error, Flags, Reply, Run, error, lookup};
use resp::{Proto, Writer};

/// The version of Redis that clients are told: its commands and replies are what they find here.
pub const REDIS_VERSION: &str = "7.4.0";

const WRONG_PASSWORD: &str = "WRONGPASS invalid username-password pair or user is disabled.";
const NO_PASSWORD_SET: &str = "ERR AUTH <password> called without any password configured for the default user. \
                               Are you sure your configuration is correct?";
const HELLO_WITHOUT_AUTH: &str = "NOAUTH HELLO must be called with the client already authenticated, otherwise the \
                                  HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and \
                                  select the RESP protocol version at the same time";
const BAD_NAME: &str = "ERR Client names cannot contain spaces, newlines or special characters.";

/// The caller's place among its core's clients.
///
/// # Panics
/// Where a row that runs on the connection's core was sent elsewhere.
pub fn caller(call: &Call<'_>) -> ClientId {
    call.client
        .expect("a command about the connection runs on the core that holds it")
}

/// The caller's record.
pub fn caller_mut<'c>(call: &'c mut Call<'_>) -> &'c mut Client {
    let id = caller(call);
    call.core.clients.at_mut(id)
}

/// A name that a client gives itself: visible ASCII without spaces, so that CLIENT LIST stays readable.
///
/// # Errors
/// Redis' text.
pub fn check_name(name: &[u8]) -> Reply {
    if is_plain(name) {
        Ok(())
    } else {
        Err(BAD_NAME.into())
    }
}

/// Whether every byte is a visible ASCII character.
pub fn is_plain(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_graphic)
}

fn ping(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    match call.args.len() {
        1 => out.simple("PONG"),
        2 => out.bulk(call.args.at(1)),
        _ => return Err(error::wrong_arity("ping")),
    }
    Ok(())
}

fn echo(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    out.bulk(call.args.at(1));
    Ok(())
}

fn auth(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    match call.args.len() {
        2 if call.core.config.requirepass.is_empty() => return Err(NO_PASSWORD_SET.into()),
        2 => authenticate(call, b"default", call.args.at(1))?,
        3 => authenticate(call, call.args.at(1), call.args.at(2))?,
        _ => return Err(error::SYNTAX.into()),
    }
    out.ok();
    Ok(())
}

/// Lets the caller in, if it names the one user there is and its password. Without a password any is right.
fn authenticate(call: &mut Call<'_>, user: &[u8], password: &[u8]) -> Reply {
    let secret = call.core.config.requirepass.as_bytes();
    if user != b"default" || !(secret.is_empty() || is_secret(password, secret)) {
        return Err(WRONG_PASSWORD.into());
    }
    caller_mut(call).authenticated = true;
    Ok(())
}

/// Compares without telling by the time it takes how many bytes were right.
fn is_secret(given: &[u8], secret: &[u8]) -> bool {
    let differing = secret.iter().enumerate().fold(0, |bits, (index, byte)| {
        bits | (byte ^ given.get(index).copied().unwrap_or(!*byte))
    });
    differing == 0 && given.len() == secret.len()
}

/// What HELLO's words ask for.
struct Hello<'a> {
    proto: Proto,
    login: Option<(&'a [u8], &'a [u8])>,
    name: Option<&'a [u8]>,
}

fn hello(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let wish = parse_hello(call)?;
    if let Some((user, password)) = wish.login {
        authenticate(call, user, password)?;
    }
    let client = caller_mut(call);
    if !client.authenticated {
        return Err(HELLO_WITHOUT_AUTH.into());
    }
    client.proto = wish.proto;
    if let Some(name) = wish.name {
        client.name = name.into();
    }
    let number = client.number;
    // The reply is in the protocol that was just chosen; the writer still has the one before.
    let mut reply = Vec::new();
    write_hello(&mut Writer::new(&mut reply, wish.proto), number);
    out.raw(&reply);
    Ok(())
}

fn parse_hello<'a>(call: &Call<'a>) -> Result<Hello<'a>, Error> {
    let args = call.args;
    let mut wish = Hello {
        proto: call.proto,
        login: None,
        name: None,
    };
    if let Some(version) = args.get(1) {
        wish.proto = match resp::number::parse_i64(version) {
            Some(2) => Proto::Resp2,
            Some(3) => Proto::Resp3,
            Some(_) => return Err("NOPROTO unsupported protocol version".into()),
            None => return Err("ERR Protocol version is not an integer or out of range".into()),
        };
    }
    let mut at = 2;
    while at < args.len() {
        let left = args.len() - at - 1;
        if call.is(at, "auth") && left >= 2 {
            wish.login = Some((args.at(at + 1), args.at(at + 2)));
            at += 3;
        } else if call.is(at, "setname") && left >= 1 {
            check_name(args.at(at + 1))?;
            wish.name = Some(args.at(at + 1));
            at += 2;
        } else {
            let option = args.at(at);
            return Err(error::quoting(
                "ERR Syntax error in HELLO option '",
                option,
                "'",
            ));
        }
    }
    Ok(wish)
}

fn write_hello(out: &mut Writer<'_>, number: u64) {
    let version = if out.proto() == Proto::Resp3 { 3 } else { 2 };
    out.map(7);
    out.bulk(b"server");
    out.bulk(b"redis");
    out.bulk(b"version");
    out.bulk(REDIS_VERSION.as_bytes());
    out.bulk(b"proto");
    out.int(version);
    out.bulk(b"id");
    out.int(number as i64);
    out.bulk(b"mode");
    out.bulk(b"standalone");
    out.bulk(b"role");
    out.bulk(b"master");
    out.bulk(b"modules");
    out.array(0);
}

fn select(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let db = lookup::database(call, 1)?;
    caller_mut(call).db = db as u8;
    out.ok();
    Ok(())
}

fn quit(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let id = caller(call);
    call.core.clients.close(id, Close::AfterReplies);
    out.ok();
    Ok(())
}

/// Back to what a new connection has; what the client library said of itself stays, as in Redis.
fn reset(call: &mut Call<'_>, out: &mut Writer<'_>) -> Reply {
    let no_password = call.core.config.requirepass.is_empty();
    let client = caller_mut(call);
    client.db = 0;
    client.proto = Proto::Resp2;
    client.name = Box::default();
    client.authenticated = no_password;
    client.no_evict = false;
    client.no_touch = false;
    // What was to be left out still is.
    if client.reply_mode != ReplyMode::SkipThis {
        client.reply_mode = ReplyMode::On;
    }
    out.simple("RESET");
    Ok(())
}

const EARLY: Flags = Flags::NOSCRIPT
    .and(Flags::LOADING)
    .and(Flags::STALE)
    .and(Flags::FAST)
    .and(Flags::NO_AUTH)
    .and(Flags::ALLOW_BUSY);

const BASE: Command = Command {
    name: "",
    arity: 0,
    flags: EARLY,
    keys: Keys::NONE,
    key_flags: &[],
    categories: &["connection"],
    tips: &[],
    run: Run::Container,
    doc: Doc {
        summary: "",
        since: "1.0.0",
        group: "connection",
        complexity: "O(1)",
        syntax: "",
    },
    subcommands: &[],
};

/// The rows of this family.
pub const ROWS: &[Command] = &[
    Command {
        name: "ping",
        arity: -1,
        flags: Flags::FAST,
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        run: Run::Here(ping),
        doc: Doc {
            summary: "Answers PONG, or the message it was given",
            syntax: "[message]",
            ..BASE.doc
        },
        ..BASE
    },
    Command {
        name: "echo",
        arity: 2,
        flags: Flags::LOADING.and(Flags::STALE).and(Flags::FAST),
        run: Run::Here(echo),
        doc: Doc {
            summary: "Answers the message it was given",
            syntax: "message",
            ..BASE.doc
        },
        ..BASE
    },
    Command {
        name: "hello",
        arity: -1,
        run: Run::Here(hello),
        doc: Doc {
            summary: "Chooses the protocol version, logs in and names the connection in one step",
            since: "6.0.0",
            syntax: "[protover [AUTH username password] [SETNAME clientname]]",
            ..BASE.doc
        },
        ..BASE
    },
    Command {
        name: "auth",
        arity: -2,
        run: Run::Here(auth),
        doc: Doc {
            summary: "Gives the password",
            syntax: "[username] password",
            ..BASE.doc
        },
        ..BASE
    },
    Command {
        name: "select",
        arity: 2,
        flags: Flags::LOADING.and(Flags::STALE).and(Flags::FAST),
        run: Run::Here(select),
        doc: Doc {
            summary: "Chooses the connection's database",
            syntax: "index",
            ..BASE.doc
        },
        ..BASE
    },
    Command {
        name: "quit",
        arity: -1,
        run: Run::Here(quit),
        doc: Doc {
            summary: "Closes the connection after its replies were sent",
            ..BASE.doc
        },
        ..BASE
    },
    Command {
        name: "reset",
        arity: 1,
        run: Run::Here(reset),
        doc: Doc {
            summary: "Makes the connection as it was when it was new",
            since: "6.2.0",
            ..BASE.doc
        },
        ..BASE
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_right_only_whole() {
        assert!(is_secret(b"abc", b"abc"));
        for wrong in [
            &b"ab"[..],
            b"abcd",
            b"abd",
            b"",
            b"Abc",
            &[!b'a', b'b', b'c'],
        ] {
            assert!(!is_secret(wrong, b"abc"), "{}", wrong.escape_ascii());
        }
        assert!(!is_secret(b"ab", b"ab\x00"));
    }

    #[test]
    fn names_are_visible_ascii() {
        assert_eq!(check_name(b"app:1"), Ok(()));
        assert_eq!(check_name(b""), Ok(()));
        for bad in [&b"a b"[..], b"a\n", b"\xff", b"\x7f"] {
            assert_eq!(check_name(bad), Err(BAD_NAME.into()));
        }
    }
}
