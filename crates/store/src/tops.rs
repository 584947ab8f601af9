//! Owns which keys of a database are the biggest of their kind, exactly, as they grow and shrink.
//! Never happens here: a key's name, which the index knows; a walk, which `survey` makes when too many have gone.
//! Source: a top-k list with a floor; a key is looked for only if its bytes reach the floor.
#![forbid(unsafe_code)]

use crate::account::Footprint;
use crate::value::{KINDS, Kind};

/// Keys of each kind that are known as its biggest.
pub const TOP_KEYS_MAX: usize = 128;
/// With fewer than this left the others are looked for.
const REFILL_BELOW: usize = TOP_KEYS_MAX / 2;
/// Bits of the filter that says which keys are surely not among the biggest.
const FILTER_BITS: usize = 4096;

/// A key among the biggest of its kind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Member {
    pub(crate) bytes: u64,
    pub(crate) hash: u64,
}

/// The biggest keys of one kind. Every key of more bytes than the floor is here, and none of fewer.
#[derive(Debug)]
struct Top {
    members: Vec<Member>,
    floor_bytes: u64,
    filter: [u64; FILTER_BITS / 64],
}

/// The biggest keys of every kind.
#[derive(Debug)]
pub(crate) struct Tops {
    /// From so many bytes on a key enters, so many bytes had a key that may leave; by kind.
    enter_bytes: [u64; KINDS],
    floor_bytes: [u64; KINDS],
    kinds: [Option<Box<Top>>; KINDS],
}

impl Tops {
    pub(crate) fn new() -> Tops {
        Tops {
            enter_bytes: [0; KINDS],
            floor_bytes: [0; KINDS],
            kinds: [const { None }; KINDS],
        }
    }

    /// Settles a change of a key.
    #[inline(always)]
    pub(crate) fn settle(
        &mut self,
        hash: u64,
        before: Option<Footprint>,
        after: Option<Footprint>,
    ) {
        let reaches = |one: Option<Footprint>, bytes: &[u64; KINDS]| {
            one.is_some_and(|one| one.bytes >= bytes[one.kind as usize])
        };
        if reaches(before, &self.floor_bytes) || reaches(after, &self.enter_bytes) {
            self.change(hash, before, after);
        }
    }

    #[inline(never)]
    fn change(&mut self, hash: u64, before: Option<Footprint>, after: Option<Footprint>) {
        if let (Some(before), Some(after)) = (before, after)
            && before.kind == after.kind
            && (before.bytes == after.bytes || self.resize(after.kind, hash, after.bytes))
        {
            return;
        }
        if let Some(before) = before
            && before.bytes >= self.floor_bytes[before.kind as usize]
        {
            self.leave(before.kind, hash);
        }
        if let Some(after) = after
            && after.bytes >= self.enter_bytes[after.kind as usize]
        {
            self.enter(after.kind, hash, after.bytes);
        }
    }

    /// Gives a key that stays among the biggest its new size; whether it is one.
    fn resize(&mut self, kind: Kind, hash: u64, bytes: u64) -> bool {
        let stays = bytes >= self.floor_bytes[kind as usize]
            && self.kinds[kind as usize]
                .as_deref_mut()
                .is_some_and(|top| top.may_hold(hash) && top.resize(hash, bytes));
        if stays {
            self.note_floor(kind);
        }
        stays
    }

    fn leave(&mut self, kind: Kind, hash: u64) {
        if let Some(top) = &mut self.kinds[kind as usize]
            && top.may_hold(hash)
        {
            top.leave(hash);
            self.note_floor(kind);
        }
    }

    fn enter(&mut self, kind: Kind, hash: u64, bytes: u64) {
        let top = self.kinds[kind as usize].get_or_insert_with(Top::new);
        top.enter(Member { bytes, hash });
        self.note_floor(kind);
    }

    fn note_floor(&mut self, kind: Kind) {
        if let Some(top) = &self.kinds[kind as usize] {
            let is_full = top.members.len() == TOP_KEYS_MAX;
            self.floor_bytes[kind as usize] = top.floor_bytes;
            self.enter_bytes[kind as usize] = top.floor_bytes + u64::from(is_full);
        }
    }

    /// The biggest keys of a kind, in no order.
    pub(crate) fn members(&self, kind: Kind) -> &[Member] {
        let top = self.kinds[kind as usize].as_deref();
        top.map_or(&[], |top| &top.members)
    }

    /// Keys of a kind with more bytes than this are all known.
    pub(crate) fn floor_bytes(&self, kind: Kind) -> u64 {
        self.floor_bytes[kind as usize]
    }

    /// Whether so many of the biggest have gone that the next ones should be looked for.
    pub(crate) fn wants_refill(&self) -> bool {
        let is_wanting = |top: &Top| top.floor_bytes > 0 && top.members.len() < REFILL_BELOW;
        self.kinds.iter().flatten().any(|top| is_wanting(top))
    }

    /// Bytes of its own.
    pub(crate) fn heap_bytes(&self) -> u64 {
        let heap_bytes = crate::collections::heap_bytes;
        let members = TOP_KEYS_MAX * size_of::<Member>();
        let one = heap_bytes(size_of::<Top>()) + heap_bytes(members);
        heap_bytes(size_of::<Tops>()) + self.kinds.iter().flatten().count() as u64 * one
    }

    /// Asserts that of these keys the biggest are here.
    pub(crate) fn check(&self, keys: impl Iterator<Item = (u64, Footprint)>) {
        let mut found = [0; KINDS];
        for (hash, Footprint { kind, bytes, .. }) in keys {
            let members = self.members(kind);
            let is_member = members.contains(&Member { hash, bytes });
            found[kind as usize] += usize::from(is_member);
            let floor_bytes = self.floor_bytes(kind);
            assert!(
                is_member || bytes <= floor_bytes,
                "{bytes} above {floor_bytes}"
            );
        }
        for kind in Kind::ALL {
            let members = self.members(kind);
            assert_eq!(members.len(), found[kind as usize], "{kind:?}");
            assert!(members.len() <= TOP_KEYS_MAX);
            let floor_bytes = self.floor_bytes(kind);
            assert!(members.iter().all(|member| member.bytes >= floor_bytes));
        }
    }
}

impl Top {
    #[cold]
    fn new() -> Box<Top> {
        Box::new(Top {
            members: Vec::with_capacity(TOP_KEYS_MAX),
            floor_bytes: 0,
            filter: [0; FILTER_BITS / 64],
        })
    }

    fn enter(&mut self, member: Member) {
        if self.members.len() == TOP_KEYS_MAX {
            let smallest = self.smallest();
            self.members.swap_remove(smallest);
            self.members.push(member);
            self.rebuild_filter();
        } else {
            self.members.push(member);
            self.mark(member.hash);
        }
        if self.members.len() == TOP_KEYS_MAX {
            self.floor_bytes = self.members[self.smallest()].bytes;
        }
    }

    fn leave(&mut self, hash: u64) {
        if let Some(place) = self.members.iter().position(|one| one.hash == hash) {
            self.members.swap_remove(place);
        }
    }

    /// Gives a member that stays one its new size; whether it is one.
    fn resize(&mut self, hash: u64, bytes: u64) -> bool {
        let Some(place) = self.members.iter().position(|one| one.hash == hash) else {
            return false;
        };
        // One that changes will change again: it is found at once then.
        self.members.swap(0, place);
        let before_bytes = std::mem::replace(&mut self.members[0].bytes, bytes);
        if before_bytes == self.floor_bytes && self.members.len() == TOP_KEYS_MAX {
            self.floor_bytes = self.members[self.smallest()].bytes;
        }
        true
    }

    fn smallest(&self) -> usize {
        let bytes = self.members.iter().map(|member| member.bytes).enumerate();
        bytes
            .min_by_key(|(_, bytes)| *bytes)
            .map_or(0, |(place, _)| place)
    }

    fn rebuild_filter(&mut self) {
        self.filter.fill(0);
        for place in 0..self.members.len() {
            self.mark(self.members[place].hash);
        }
    }

    fn mark(&mut self, hash: u64) {
        let bit = filter_bit(hash);
        self.filter[bit / 64] |= 1 << (bit % 64);
    }

    fn may_hold(&self, hash: u64) -> bool {
        let bit = filter_bit(hash);
        self.filter[bit / 64] >> (bit % 64) & 1 != 0
    }
}

/// Bits of the hash that place no key anywhere else.
fn filter_bit(hash: u64) -> usize {
    (hash >> 16) as usize % FILTER_BITS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Rng;
    use std::collections::HashMap;

    fn footprint(kind: Kind, bytes: u64) -> Footprint {
        Footprint {
            kind,
            bytes,
            has_expiry: false,
            has_field_expiry: false,
        }
    }

    #[test]
    fn the_biggest_are_known_whatever_comes_and_goes() {
        for spread in [3, 200, 100_000] {
            let (mut tops, mut rng) = (Tops::new(), Rng::seeded(spread));
            let mut keys: HashMap<u64, Footprint> = HashMap::new();
            for step in 0..20_000 {
                let hash = rng.below(700) << 16;
                let before = keys.get(&hash).copied();
                let kind = Kind::ALL[rng.below(2) as usize];
                let after = (rng.below(3) > 0).then(|| footprint(kind, 1 + rng.below(spread)));
                tops.settle(hash, before, after);
                match after {
                    Some(after) => keys.insert(hash, after),
                    None => keys.remove(&hash),
                };
                if step % 100 == 0 {
                    tops.check(keys.iter().map(|(hash, one)| (*hash, *one)));
                }
            }
        }
    }

    #[test]
    fn equal_keys_beyond_the_list_are_not_looked_for() {
        let mut tops = Tops::new();
        let one = footprint(Kind::String, 100);
        (0..200u64).for_each(|key| tops.settle(key << 16, None, Some(one)));
        assert_eq!(tops.members(Kind::String).len(), TOP_KEYS_MAX);
        assert_eq!(tops.members(Kind::String)[127].hash, 127 << 16);
        // One that goes makes room for the next of the same size.
        tops.settle(5 << 16, Some(one), None);
        tops.settle(500 << 16, None, Some(one));
        assert!(
            tops.members(Kind::String)
                .iter()
                .any(|one| one.hash == 500 << 16)
        );
    }

    #[test]
    fn a_list_that_lost_half_wants_to_be_refilled() {
        let mut tops = Tops::new();
        let one = |key: u64| footprint(Kind::Hash, 100 + key);
        (0..200u64).for_each(|key| tops.settle(key << 16, None, Some(one(key))));
        assert!(!tops.wants_refill());
        (130..200u64).for_each(|key| tops.settle(key << 16, Some(one(key)), None));
        assert!(tops.wants_refill());
        assert_eq!(tops.members(Kind::Hash).len(), 58);
        assert_eq!(tops.floor_bytes(Kind::Hash), 172);
    }
}
