//! Digests of values and of the whole keyspace: equal for equal data, whatever the order and the encoding.
//! Nothing here is for security, and nothing is compared with another server's digests.
//! Source: after DEBUG DIGEST of Redis: elements of sets and hashes are mixed by exclusive or, those of lists in order.

use sha1::{Digest as _, Sha1};
use store::{Content, Millis, StreamContent};

/// Bytes of a digest.
pub const DIGEST_BYTES: usize = 20;

/// A digest that others are mixed into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest([u8; DIGEST_BYTES]);

impl Digest {
    /// The digest of some parts, each told from the next by its length.
    fn of(parts: &[&[u8]]) -> Digest {
        let mut hash = Sha1::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Digest(hash.finalize().into())
    }

    /// Mixes another one in; the order of several does not matter.
    pub fn mix(&mut self, other: Digest) {
        self.0
            .iter_mut()
            .zip(other.0)
            .for_each(|(mine, theirs)| *mine ^= theirs);
    }

    /// 40 hexadecimal digits.
    pub fn text(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The digest of a value.
pub fn of_value(content: &Content) -> Digest {
    let mut mixed = Digest::default();
    match content {
        Content::String(text) => return Digest::of(&[b"string", text]),
        Content::List(elements) => {
            for (place, element) in elements.iter().enumerate() {
                mixed.mix(Digest::of(&[&place.to_le_bytes(), element]));
            }
        }
        Content::Set(members) => members
            .iter()
            .for_each(|member| mixed.mix(Digest::of(&[member]))),
        Content::Hash { pairs, expiries } => {
            for index in 0..pairs.len() / 2 {
                let expiry = expiries.get(index).copied().flatten().map_or(0, |at| at.0);
                let (field, value) = (pairs.at(2 * index), pairs.at(2 * index + 1));
                mixed.mix(Digest::of(&[field, value, &expiry.to_le_bytes()]));
            }
        }
        Content::Zset { members, scores } => {
            for (member, score) in members.iter().zip(scores) {
                mixed.mix(Digest::of(&[member, &score.to_le_bytes()]));
            }
        }
        Content::Stream(stream) => mixed = of_stream(stream),
    }
    Digest::of(&[content.kind().name().as_bytes(), &mixed.0])
}

fn of_stream(stream: &StreamContent) -> Digest {
    let mut mixed = Digest::default();
    for (id, fields) in &stream.entries {
        let id = [id.ms.to_le_bytes(), id.seq.to_le_bytes()].concat();
        let mut parts: Vec<&[u8]> = vec![&id];
        parts.extend(fields.iter());
        mixed.mix(Digest::of(&parts));
    }
    mixed
}

/// The digest of a key with its value, as the keyspace is the mixture of.
pub fn of_key(db: usize, key: &[u8], content: &Content, expiry: Option<Millis>) -> Digest {
    let value = of_value(content);
    let expires = [u8::from(expiry.is_some())];
    Digest::of(&[&db.to_le_bytes(), key, &value.0, &expires])
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::Strings;

    fn strings(all: &[&str]) -> Strings {
        all.iter().map(|one| one.as_bytes()).collect()
    }

    #[test]
    fn the_order_matters_for_lists_and_not_for_sets() {
        let list = |all: &[&str]| of_value(&Content::List(strings(all)));
        let set = |all: &[&str]| of_value(&Content::Set(strings(all)));
        assert_ne!(list(&["a", "b"]), list(&["b", "a"]));
        assert_eq!(set(&["a", "b"]), set(&["b", "a"]));
        assert_ne!(set(&["a", "b"]), set(&["a", "c"]));
        assert_ne!(list(&["a"]), set(&["a"]));
    }
}
