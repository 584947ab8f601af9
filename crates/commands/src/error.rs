//! Error replies: every text that clients see exists once, here or beside the one command that uses it.
//! Nothing here formats a reply; the wire form is the encoder's business.
//! The texts are Redis' own, so that clients which match on them keep working.

use std::borrow::Cow;

/// What a handler answers when a command cannot be done: the text of an error reply, without the leading dash. Bytes, because
/// some quote what the client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(pub Cow<'static, [u8]>);

/// What a handler returns; on an error everything it wrote is taken back and the error is sent instead.
pub type Reply = Result<(), Error>;

impl From<&'static str> for Error {
    fn from(text: &'static str) -> Self {
        Error(Cow::Borrowed(text.as_bytes()))
    }
}

impl From<String> for Error {
    fn from(text: String) -> Self {
        Error(Cow::Owned(text.into_bytes()))
    }
}

/// The arguments do not follow the command's grammar.
pub const SYNTAX: &str = "ERR syntax error";
/// An argument or a stored value is no 64-bit signed integer.
pub const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";
/// An argument or a stored value is no floating-point number.
pub const NOT_A_FLOAT: &str = "ERR value is not a valid float";
/// A command that may name one value many times would answer more than one value may hold.
pub const REPLY_TOO_LONG: &str = "ERR reply exceeds maximum allowed size (proto-max-bulk-len)";
/// A number is an integer but outside the range the command takes.
pub const OUT_OF_RANGE: &str = "ERR value is out of range";
/// The key holds another type than the command works on.
pub const WRONG_TYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";
/// The key must exist and does not.
pub const NO_SUCH_KEY: &str = "ERR no such key";
/// A write was refused because the memory limit is reached.
pub const OUT_OF_MEMORY: &str = "OOM command not allowed when used memory > 'maxmemory'.";
/// A command came before the password.
pub const NO_AUTH: &str = "NOAUTH Authentication required.";
/// A database index outside 0 to 15.
pub const DB_OUT_OF_RANGE: &str = "ERR DB index is out of range";
/// A handler panicked; the server lives on.
pub const INTERNAL: &str = "ERR internal error, see the server log";

/// The name was called with too few or too many arguments; `name` as in `set` or `memory|usage`.
pub fn wrong_arity(name: &str) -> Error {
    format!("ERR wrong number of arguments for '{name}' command").into()
}

/// A text with words of the client in it.
pub fn quoting(before: &str, quoted: &[u8], after: &str) -> Error {
    let parts = [before.as_bytes(), printed(quoted), after.as_bytes()];
    Error(Cow::Owned(parts.concat()))
}

/// As much of a client's word as Redis prints: what stands before a zero byte.
pub fn printed(word: &[u8]) -> &[u8] {
    let end = word
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(word.len());
    &word[..end]
}

/// Nothing of this name exists in the table; the arguments are quoted back, cut as Redis cuts them.
pub fn unknown_command(name: &[u8], arguments: impl Iterator<Item = impl AsRef<[u8]>>) -> Error {
    const QUOTED_BYTES_MAX: usize = 128;
    let mut quoted = Vec::new();
    for argument in arguments {
        if quoted.len() >= QUOTED_BYTES_MAX {
            break;
        }
        let room = QUOTED_BYTES_MAX - quoted.len();
        let argument = printed(argument.as_ref());
        quoted.push(b'\'');
        quoted.extend_from_slice(&argument[..argument.len().min(room)]);
        quoted.extend_from_slice(b"' ");
    }
    let name = printed(&name[..name.len().min(QUOTED_BYTES_MAX)]);
    Error(Cow::Owned(
        [
            b"ERR unknown command '",
            name,
            b"', with args beginning with: ",
            &quoted,
        ]
        .concat(),
    ))
}

/// A container command (`CONFIG`, `MEMORY`) has no such subcommand.
pub fn unknown_subcommand(subcommand: &[u8], container: &str) -> Error {
    const QUOTED_BYTES_MAX: usize = 128;
    let cut = &subcommand[..subcommand.len().min(QUOTED_BYTES_MAX)];
    let help = format!("'. Try {} HELP.", container.to_ascii_uppercase());
    quoting("ERR unknown subcommand '", cut, &help)
}
