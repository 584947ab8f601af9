//! Owns how the biggest keys of a shard came to be as big as they are: a history of each, for a fixed number of them.
//! Never happens here: a look at a key on the path of a command; once a minute the lists of the biggest keys are read.
//! Source: `memory::history`, on the keys that `tops` knows.
#![forbid(unsafe_code)]

use memory::history::History;

use crate::collections::heap_bytes;
use crate::shard::Shard;
use crate::tops::Member;
use crate::value::{Kind, Millis};

/// Keys of a shard whose growth is followed, the biggest: 8 KiB of histories.
pub const FOLLOWED_KEYS_MAX: usize = 16;
/// A smaller key is not worth a history.
pub const FOLLOWED_BYTES_MIN: u64 = 1 << 20;

/// A key that is followed.
#[derive(Debug)]
struct Followed {
    db: usize,
    hash: u64,
    bytes: u64,
    history: History,
}

/// The keys that are followed.
#[derive(Debug, Default)]
pub(crate) struct Growing {
    followed: Vec<Followed>,
}

/// One of the biggest keys, with how it came to be.
#[derive(Clone, PartialEq, Debug)]
pub struct FollowedKey {
    /// The key.
    pub key: Box<[u8]>,
    /// Its database.
    pub db: usize,
    /// Its type.
    pub kind: Kind,
    /// Bytes of its blocks.
    pub bytes: u64,
    /// Whether it has an expiry.
    pub has_expiry: bool,
    /// Its bytes since it is among the biggest.
    pub history: Box<History>,
}

impl Growing {
    /// Marks what the keys that are followed have become; `biggest` are all that may be followed, the biggest first.
    fn mark(&mut self, minute: u32, biggest: &[(Member, usize)]) {
        let is_it =
            |one: &Followed, member: &Member, db: usize| (one.hash, one.db) == (member.hash, db);
        self.followed.retain_mut(|one| {
            let found = biggest.iter().find(|(member, db)| is_it(one, member, *db));
            if let Some((member, _)) = found {
                one.bytes = member.bytes;
                one.history.mark(minute, member.bytes);
            }
            found.is_some()
        });
        for (member, db) in biggest.iter().take(FOLLOWED_KEYS_MAX) {
            if self.followed.iter().any(|one| is_it(one, member, *db)) {
                continue;
            }
            if self.followed.len() == FOLLOWED_KEYS_MAX {
                let bytes = self.followed.iter().map(|one| one.bytes).enumerate();
                match bytes.min_by_key(|(_, bytes)| *bytes) {
                    Some((smallest, bytes)) if bytes < member.bytes => {
                        self.followed.swap_remove(smallest);
                    }
                    _ => continue,
                }
            }
            self.followed
                .reserve_exact(FOLLOWED_KEYS_MAX - self.followed.len());
            self.followed.push(Followed {
                db: *db,
                hash: member.hash,
                bytes: member.bytes,
                history: History::since(minute, member.bytes),
            });
        }
    }

    pub(crate) fn heap_bytes(&self) -> u64 {
        heap_bytes(self.followed.capacity() * size_of::<Followed>())
    }
}

impl Shard {
    /// Marks the biggest keys at the beginning of a minute. Reads no key.
    pub(crate) fn mark_biggest(&mut self, minute: u32) {
        let mut biggest: Vec<(Member, usize)> = Vec::new();
        for (db, database) in self.databases.iter().enumerate() {
            let tops = database.ledger.tops.iter();
            let members = tops.flat_map(|tops| {
                let all = Kind::ALL.into_iter().flat_map(|kind| tops.members(kind));
                all.filter(|member| member.bytes >= FOLLOWED_BYTES_MIN)
            });
            biggest.extend(members.map(|member| (*member, db)));
        }
        biggest.sort_unstable_by_key(|(member, _)| std::cmp::Reverse(*member));
        self.growing.mark(minute, &biggest);
    }

    /// The biggest keys with how they came to be, in no order. Reads their entries.
    pub fn followed_keys(&self, now: Millis) -> Vec<FollowedKey> {
        let found = self.growing.followed.iter().filter_map(|one| {
            let entry = self.entry_of(one.db, one.hash)?;
            let footprint = entry.footprint();
            (!entry.is_expired(now)).then(|| FollowedKey {
                key: entry.key().into(),
                db: one.db,
                kind: footprint.kind,
                bytes: footprint.bytes,
                has_expiry: footprint.has_expiry,
                history: Box::new(one.history.clone()),
            })
        });
        found.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hasher::Key;
    use crate::shard::Options;
    use crate::value::{Expiry, Value};
    use memory::history::{MARK_MS, Span};

    const MIB: usize = 1 << 20;

    fn set(shard: &mut Shard, name: &str, bytes: usize) {
        let value = vec![b'v'; bytes];
        let value = Value::Bytes {
            bytes: &value,
            raw: false,
        };
        let hash = shard.hash(name.as_bytes());
        let key = Key {
            bytes: name.as_bytes(),
            hash,
        };
        shard.set(0, key, value, Expiry::Clear, Millis(0));
    }

    fn names(shard: &Shard) -> Vec<String> {
        let followed = shard.followed_keys(Millis(0)).into_iter();
        let mut names: Vec<String> = followed
            .map(|one| String::from_utf8(one.key.to_vec()).unwrap())
            .collect();
        names.sort();
        names
    }

    fn minute(shard: &mut Shard, minute: u64) {
        shard.tend_books(Millis((minute * MARK_MS) as i64));
    }

    #[test]
    fn a_big_key_is_followed_from_the_minute_it_is_big() {
        let mut shard = Shard::new(Options::default()).unwrap();
        for nth in 1..=20u64 {
            set(&mut shard, "big", nth as usize * MIB / 4);
            set(&mut shard, "small", MIB / 2);
            minute(&mut shard, nth);
            assert_eq!(names(&shard).len(), usize::from(nth > 3), "{nth}");
        }
        let followed = shard.followed_keys(Millis(0)).remove(0);
        assert_eq!((followed.kind, followed.has_expiry), (Kind::String, false));
        let trend = followed.history.trend(followed.bytes, 20 * MARK_MS);
        let growth = trend.over(Span::TenMinutes).bytes;
        assert!((growth - 10 * MIB as i64 / 4).abs() < 600_000, "{growth}");
        shard.check();
    }

    #[test]
    fn the_biggest_are_followed_and_no_more_than_there_is_room_for() {
        let mut growing = Growing::default();
        let list = |sizes: &[(u64, u64)]| -> Vec<(Member, usize)> {
            let members = sizes.iter().map(|&(hash, bytes)| Member { bytes, hash });
            let mut list: Vec<(Member, usize)> = members.map(|member| (member, 0)).collect();
            list.sort_by_key(|(member, _)| std::cmp::Reverse(*member));
            list
        };
        let followed = |growing: &Growing| {
            let mut hashes: Vec<u64> = growing.followed.iter().map(|one| one.hash).collect();
            hashes.sort_unstable();
            hashes
        };
        let mut sizes: Vec<(u64, u64)> = (0..40).map(|hash| (hash, 100 + hash)).collect();
        growing.mark(1, &list(&sizes));
        assert_eq!(followed(&growing), (24..40).collect::<Vec<_>>());
        let before = growing.heap_bytes();
        // One that outgrows the smallest takes its place, and one that goes makes room.
        sizes[0].1 = 500;
        sizes.pop();
        growing.mark(2, &list(&sizes));
        let expected: Vec<u64> = [0].into_iter().chain(24..39).collect();
        assert_eq!(followed(&growing), expected);
        sizes[1].1 = 400;
        growing.mark(3, &list(&sizes));
        let expected: Vec<u64> = [0, 1].into_iter().chain(25..39).collect();
        assert_eq!(followed(&growing), expected);
        // One that is overtaken but not replaced keeps its history.
        sizes[1].1 = 124;
        sizes[24].1 = 124;
        growing.mark(4, &list(&sizes));
        assert_eq!(followed(&growing), expected);
        assert_eq!(growing.heap_bytes(), before);
    }

    #[test]
    fn a_key_that_came_again_smaller_has_sunk() {
        let mut shard = Shard::new(Options::default()).unwrap();
        set(&mut shard, "big", 4 * MIB);
        minute(&mut shard, 1);
        set(&mut shard, "big", 2 * MIB);
        minute(&mut shard, 2);
        let followed = shard.followed_keys(Millis(0)).remove(0);
        let trend = followed.history.trend(followed.bytes, 2 * MARK_MS);
        assert!(trend.over(Span::TenMinutes).bytes < -(MIB as i64));
        shard.detach_database(0);
        assert_eq!(names(&shard), Vec::<String>::new());
        minute(&mut shard, 3);
        assert!(shard.growing.followed.is_empty());
    }
}
