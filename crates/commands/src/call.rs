//! One call of one command on one core: what a handler may see.
//! A call never outlives its arguments' buffer and never crosses a thread.
//! Placement and table use different bits of one hash, unless the key has a hash tag.

use crate::{ClientId, Core, Error, ShardId, error};
use resp::{Args, Proto};
use store::{Key, Millis};

/// A command's call as its handler sees it.
pub struct Call<'a> {
    /// The core it runs on.
    pub core: &'a mut Core,
    /// The whole command, its name first.
    pub args: Args<'a>,
    /// The client's database, 0 to 15.
    pub db: usize,
    /// Protocol of the client.
    pub proto: Proto,
    /// Hash of the first key, where the command has keys and runs at their owner.
    pub hash: u64,
    /// The client, on the core that holds its connection; `None` elsewhere.
    pub client: Option<ClientId>,
    /// Whether reads leave the access metadata alone (CLIENT NO-TOUCH).
    pub no_touch: bool,
}

impl<'a> Call<'a> {
    /// The time of this call, in Unix milliseconds; the same for everything a core does in one round.
    pub fn now(&self) -> Millis {
        self.core.now
    }

    /// The first key with the hash that came with the call.
    pub fn key(&self, index: usize) -> Key<'a> {
        Key {
            bytes: self.args.at(index),
            hash: self.hash,
        }
    }

    /// Any other key; hashes it.
    pub fn other_key(&self, index: usize) -> Key<'a> {
        let bytes = self.args.at(index);
        Key {
            bytes,
            hash: self.core.shard.hash(bytes),
        }
    }

    /// Whether the key at `index` lies on this core's shard.
    pub fn owns(&self, index: usize) -> bool {
        self.core.owner(self.args.at(index)) == self.core.id
    }

    /// Argument `index` as a 64-bit signed integer.
    pub fn int(&self, index: usize) -> Result<i64, Error> {
        resp::number::parse_i64(self.args.at(index)).ok_or_else(|| error::NOT_AN_INTEGER.into())
    }

    /// Whether argument `index` is this word, in any case.
    pub fn is(&self, index: usize, word: &str) -> bool {
        self.args
            .get(index)
            .is_some_and(|argument| argument.eq_ignore_ascii_case(word.as_bytes()))
    }
}

/// The shard that owns a key: by the hash of its hash tag where it has one, of the whole key otherwise.
pub fn place(hash: u64, shards: u16) -> ShardId {
    // Bits 16 to 47 choose the shard: the table uses the highest bits for its directory and the lowest 16 for its tags.
    ShardId(((((hash >> 16) & 0xffff_ffff) * u64::from(shards)) >> 32) as u16)
}

/// The part of a key that places it: what stands between the first `{` and the next `}`, unless that is empty.
pub fn hash_tag(key: &[u8]) -> Option<&[u8]> {
    let open = key.iter().position(|&byte| byte == b'{')?;
    let rest = &key[open + 1..];
    let close = rest.iter().position(|&byte| byte == b'}')?;
    (close > 0).then(|| &rest[..close])
}

/// Whether there is a `{` anywhere. Most keys have none, and so no tag either, which is known then without a look at each byte:
/// sixteen are compared at once, and the first and the last sixteen are all of most keys, some of them looked at twice.
#[inline]
pub(crate) fn has_brace(key: &[u8]) -> bool {
    // Without a branch a byte, so that the compiler makes one comparison of it.
    let brace_in = |bytes: &[u8; 16]| bytes.iter().fold(false, |any, &byte| any | (byte == b'{'));
    match (key.first_chunk(), key.last_chunk()) {
        (Some(first), Some(last)) => {
            brace_in(first)
                || key.len() > 16
                    && (brace_in(last) || key.len() > 32 && key.as_chunks().0.iter().any(brace_in))
        }
        _ => short_has_brace(key),
    }
}

/// As [`has_brace`] of less than sixteen bytes; eight at a time (Mycroft's test for a zero byte).
#[inline]
fn short_has_brace(key: &[u8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let braces = |word: &[u8; 8]| {
        let zero_where_brace = u64::from_ne_bytes(*word) ^ (ONES * b'{' as u64);
        zero_where_brace.wrapping_sub(ONES) & !zero_where_brace & (ONES * 0x80)
    };
    match (key.first_chunk(), key.last_chunk()) {
        (Some(first), Some(last)) => braces(first) | braces(last) != 0,
        _ => key.contains(&b'{'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_placed_by_what_stands_in_its_first_braces() {
        for (key, tag) in [
            (&b"{user:1}:name"[..], Some(&b"user:1"[..])),
            (b"a{b}{c}", Some(b"b")),
            (b"name:of:{u}", Some(b"u")),
            (b"{}{a}", None),
            (b"{a", None),
            (b"a}b{", None),
            (b"", None),
        ] {
            assert_eq!(hash_tag(key), tag, "{}", key.escape_ascii());
        }
    }

    #[test]
    fn a_brace_is_seen_wherever_it_stands_and_nothing_else_is_taken_for_one() {
        for len in 0..40 {
            for byte in 0..=255 {
                let mut key = vec![byte; len];
                assert_eq!(has_brace(&key), len > 0 && byte == b'{');
                for place in 0..len {
                    let before = std::mem::replace(&mut key[place], b'{');
                    assert!(has_brace(&key), "{byte} at {place} of {len}");
                    key[place] = before;
                }
            }
        }
    }
}
