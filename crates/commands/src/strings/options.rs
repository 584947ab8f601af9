//! The options that SET and GETEX share.
//! Never looks at a key: whether a time is valid is asked when it is used, as Redis does.
//! Source: redis-server 7, asked which options exclude each other.

use crate::expiry::Meaning;
use crate::{Call, Error, error};

/// When SET goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// In any case.
    Always,
    /// NX.
    Missing,
    /// XX.
    Existing,
}

/// What becomes of the key's expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// No option says anything.
    Unchanged,
    /// KEEPTTL.
    Keep,
    /// PERSIST.
    Persist,
    /// The argument at this index, with this meaning.
    Until(usize, Meaning),
}

/// The options of one call.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// NX or XX.
    pub condition: Condition,
    /// GET.
    pub get: bool,
    /// KEEPTTL, PERSIST, or a time.
    pub lifetime: Lifetime,
}

impl Options {
    const NONE: Options = Options {
        condition: Condition::Always,
        get: false,
        lifetime: Lifetime::Unchanged,
    };

    /// The options of SET.
    ///
    /// # Errors
    /// The syntax error, for an unknown word and for options that exclude each other.
    pub fn of_set(call: &Call<'_>) -> Result<Options, Error> {
        let mut options = Options::NONE;
        let mut index = 3;
        while index < call.args.len() {
            if call.is(index, "nx") && options.condition != Condition::Existing {
                options.condition = Condition::Missing;
            } else if call.is(index, "xx") && options.condition != Condition::Missing {
                options.condition = Condition::Existing;
            } else if call.is(index, "get") {
                options.get = true;
            } else if call.is(index, "keepttl") {
                options.lifetime = options.lifetime.or(Lifetime::Keep)?;
            } else {
                index = options.time(call, index)?;
            }
            index += 1;
        }
        Ok(options)
    }

    /// The options of GETEX.
    ///
    /// # Errors
    /// As for SET.
    pub fn of_getex(call: &Call<'_>) -> Result<Options, Error> {
        let mut options = Options::NONE;
        let mut index = 2;
        while index < call.args.len() {
            if call.is(index, "persist") {
                options.lifetime = options.lifetime.or(Lifetime::Persist)?;
            } else {
                index = options.time(call, index)?;
            }
            index += 1;
        }
        Ok(options)
    }

    /// Takes the option that names a time, and answers the index of that time.
    fn time(&mut self, call: &Call<'_>, index: usize) -> Result<usize, Error> {
        const WORDS: [(&str, Meaning); 4] = [
            ("ex", Meaning::SECONDS),
            ("px", Meaning::MILLIS),
            ("exat", Meaning::UNIX_SECONDS),
            ("pxat", Meaning::UNIX_MILLIS),
        ];
        let named = WORDS.iter().find(|(word, _)| call.is(index, word));
        let (Some(&(_, meaning)), true) = (named, index + 1 < call.args.len()) else {
            return Err(error::SYNTAX.into());
        };
        self.lifetime = self.lifetime.or(Lifetime::Until(index + 1, meaning))?;
        Ok(index + 1)
    }
}

impl Lifetime {
    /// This and one option more: the same option may stand twice, and then the later one holds.
    fn or(self, next: Lifetime) -> Result<Lifetime, Error> {
        match (self, next) {
            (Lifetime::Unchanged, next) => Ok(next),
            (Lifetime::Until(_, before), Lifetime::Until(_, after)) if before == after => Ok(next),
            (before, next) if before == next => Ok(next),
            _ => Err(error::SYNTAX.into()),
        }
    }
}
