//! Owns the keys whose prefix has no account: what they add up to, and which of them are told to who nominates the heaviest.
//! Never happens here: a choice where a key counts, beyond what is certain at once.
//! Source: systematic sampling by bytes, with gaps drawn anew, so that no order of keys hides one.
#![forbid(unsafe_code)]

use crate::random::Rng;

use super::lacking::Lacking;
use super::scan;
use super::sketch::Sketch;
use super::{Change, Sums};

/// Between two keys that are told of lies so much of all bytes that came.
const TOLD_SHARE: u64 = 128;
/// So many bytes on average at least, and so many at most.
const GAP_BYTES: [u64; 2] = [1 << 10, 32 << 10];

/// The keys of prefixes without an account.
#[derive(Debug)]
pub(super) struct Others {
    /// Names that have one, while there are keys that do not, and if one look may tell.
    at_once: Option<Box<Lacking>>,
    /// What came and is not in the sums.
    pending: Change,
    came: Turns,
    went: Turns,
    /// The same names otherwise.
    aside: Option<Box<Lacking>>,
    sums: Sums,
    sketch: Sketch,
    rng: Rng,
}

/// When the next key is told of.
#[derive(Clone, Debug, Default)]
struct Turns {
    /// Bytes until then.
    left: u64,
    gap: u64,
    /// Bytes of all gaps so far.
    told: u64,
}

impl Others {
    /// Keys of which only the sums are known.
    pub(super) fn of(sums: Sums) -> Others {
        Others {
            at_once: None,
            pending: Change::NONE,
            came: Turns::default(),
            went: Turns::default(),
            aside: None,
            sums,
            sketch: Sketch::default(),
            rng: Rng::seeded(0),
        }
    }

    pub(super) fn sums(&self) -> Sums {
        let mut sums = self.sums;
        sums.take_over(self.pending);
        sums
    }

    pub(super) fn has_none(&self) -> bool {
        self.sums.keys.wrapping_add_signed(self.pending.keys()[0]) == 0
    }

    /// Takes what came into the sums.
    pub(super) fn take_pending(&mut self) {
        self.sums.take_over(std::mem::take(&mut self.pending));
    }

    /// Whether the first segment of a key surely has no account, as far as one look tells.
    #[inline(always)]
    pub(super) fn has_at_once(&self, key: &[u8]) -> bool {
        match (&self.at_once, key.first_chunk()) {
            (Some(lacking), Some(chunk)) => lacking.has_at_once(chunk),
            (Some(lacking), None) => lacking.has_at_once(&scan::padded(key)),
            (None, _) => false,
        }
    }

    /// Whether a key surely counts here, as far as its first bytes tell.
    #[inline(always)]
    pub(super) fn has_soon(&self, key: &[u8]) -> bool {
        match (self.lacking(), key.first_chunk()) {
            (Some(lacking), Some(chunk)) => lacking.has_soon(chunk),
            (Some(lacking), None) => lacking.has_soon(&scan::padded(key)),
            (None, _) => false,
        }
    }

    /// Names that have an account, while that is asked.
    pub(super) fn lacking(&self) -> Option<&Lacking> {
        let lacking = self.at_once.as_ref().or(self.aside.as_ref());
        lacking
            .filter(|_| !self.has_none())
            .map(|lacking| &**lacking)
    }

    /// Counts a key. Whether [`Others::note_loss`] has to follow.
    #[inline(always)]
    #[must_use]
    pub(super) fn count(&mut self, change: Change) -> bool {
        self.pending.add(change);
        // What goes is more than is left of anything, as a number without a sign.
        let (left, is_due) = self.came.left.overflowing_sub(change.bytes);
        self.came.left = left;
        is_due
    }

    /// How much is to be told of a key that came, if [`Others::count`] said so, or that went, if
    /// [`Others::note_loss`] did.
    pub(super) fn told(&mut self, change: Change) -> i64 {
        if change.bytes.cast_signed() >= 0 {
            self.came.turn(&mut self.rng).cast_signed()
        } else {
            -self.went.turn(&mut self.rng).cast_signed()
        }
    }

    /// Puts right what was counted for something that came, if it went. Whether it is told of.
    #[inline(always)]
    pub(super) fn note_loss(&mut self, change: Change) -> bool {
        let bytes = change.bytes.cast_signed();
        if bytes >= 0 {
            return true;
        }
        self.came.left = self.came.left.wrapping_add(change.bytes);
        if self.has_none() {
            self.put_names_aside();
        }
        let (left, is_due) = self.went.left.overflowing_sub(bytes.unsigned_abs());
        self.went.left = left;
        is_due
    }

    #[inline(never)]
    fn put_names_aside(&mut self) {
        if self.at_once.is_some() {
            self.aside = self.at_once.take();
        }
    }

    pub(super) fn sketch(&self) -> &Sketch {
        &self.sketch
    }

    pub(super) fn sketch_mut(&mut self) -> &mut Sketch {
        &mut self.sketch
    }

    /// Whether names are to be noted before a key is counted.
    pub(super) fn wants_names(&mut self) -> bool {
        match self.aside.take() {
            Some(lacking) => self.note(lacking),
            None => return self.at_once.is_none(),
        }
        false
    }

    /// Keeps the names that have an account.
    pub(super) fn note(&mut self, lacking: Box<Lacking>) {
        if lacking.may_be_asked_at_once() {
            self.at_once = Some(lacking);
        } else {
            self.aside = Some(lacking);
        }
    }

    /// Forgets names, of which there are others now.
    pub(super) fn forget_names(&mut self) {
        debug_assert!(
            self.has_none(),
            "accounts come and go only while every key has one"
        );
        (self.at_once, self.aside) = (None, None);
    }

    /// Forgets what was told.
    pub(super) fn forget_told(&mut self) {
        self.sketch = Sketch::default();
        (self.came, self.went) = (Turns::default(), Turns::default());
    }

    /// Bytes of its own.
    pub(super) fn heap_bytes(&self) -> u64 {
        let lacking = [&self.at_once, &self.aside].into_iter().flatten().count() as u64;
        self.sketch.heap_bytes() + lacking * crate::collections::heap_bytes(size_of::<Lacking>())
    }
}

impl Turns {
    /// Begins another gap. Answers how many bytes there were since the one before began.
    fn turn(&mut self, rng: &mut Rng) -> u64 {
        let since = self.gap.wrapping_sub(self.left);
        self.told = self.told.saturating_add(since);
        let [least, most] = GAP_BYTES;
        let mean = (self.told / TOLD_SHARE).clamp(least, most);
        self.gap = 1 + rng.below(2 * mean);
        self.left = self.gap;
        since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change of so many bytes by a key that comes, or goes.
    fn change(bytes: i64) -> Change {
        Change {
            bytes: bytes as u64,
            counts: bytes.signum() as u64,
        }
    }

    fn settle(others: &mut Others, name: &str, bytes: i64) -> i64 {
        let change = change(bytes);
        if others.count(change) && others.note_loss(change) {
            let told = others.told(change);
            others.sketch_mut().change(name.as_bytes(), told);
            return told;
        }
        0
    }

    #[test]
    fn what_is_told_adds_up_to_what_came_and_to_what_went() {
        let (mut others, mut rng) = (Others::of(Sums::default()), Rng::seeded(1));
        let mut keys: Vec<i64> = Vec::new();
        let (mut came, mut went, mut told) = (0, 0, [0; 2]);
        for _ in 0..50_000 {
            if rng.below(3) > 0 || keys.is_empty() {
                let most = if rng.below(50) == 0 { 100_000 } else { 300 };
                let bytes = 1 + rng.below(most) as i64;
                keys.push(bytes);
                came += bytes;
                told[0] += settle(&mut others, "a:", bytes);
            } else {
                let bytes = keys.swap_remove(rng.below(keys.len() as u64) as usize);
                went += bytes;
                told[1] -= settle(&mut others, "a:", -bytes);
            }
        }
        for (told, all) in told.into_iter().zip([came, went]) {
            // The gap under way is still to be told of.
            assert!(
                (0..=2 * GAP_BYTES[1] as i64).contains(&(all - told)),
                "{told} of {all}"
            );
        }
        assert_eq!(others.sums().bytes as i64, came - went);
        assert_eq!(others.sums().keys, keys.len() as u64);
    }

    #[test]
    fn a_prefix_that_brings_an_eighth_is_nominated_when_as_much_again_has_come() {
        // In every order of keys, those that come as regularly as can be among them.
        let orders = [1, 2, 3, 5, 8].into_iter();
        for (every, seed) in orders.flat_map(|every| (0..20).map(move |seed| (every, seed))) {
            let mut others = Others::of(Sums::default());
            others.rng = Rng::seeded(seed);
            let mut came = 0;
            let mut light = |others: &mut Others, nth: usize| {
                came += 100;
                settle(others, &format!("light{}:", nth % 20_000), 100);
            };
            // How much there is does not matter, but that a newcomer brings an eighth of what comes then.
            let before = 1000 << (seed % 5);
            (0..before).for_each(|nth| light(&mut others, nth));
            for nth in 0..before / 8 {
                (0..7).for_each(|other| light(&mut others, before + nth * 7 + other));
                // All of its bytes in every `every`th round.
                if nth % every == 0 {
                    settle(&mut others, "heavy:", 100 * every as i64);
                }
            }
            let nominations = others.sketch().nominations();
            let heavy = nominations.iter().position(|(name, _)| name == b"heavy:");
            let heavy = heavy.expect("it is nominated");
            assert!(heavy < 3, "every {every}, seed {seed}: {heavy}");
        }
    }

    #[test]
    fn names_are_put_aside_when_the_last_key_goes_and_asked_again_with_the_next() {
        let mut others = Others::of(Sums::default());
        let delimiters = scan::Delimiters::new([b':'; 4]);
        assert!(others.wants_names());
        others.note(Lacking::of([&b"a:"[..]].into_iter(), &delimiters, true));
        for _ in 0..3 {
            assert!(!others.wants_names());
            settle(&mut others, "b:", 100);
            assert!(others.has_at_once(b"b:1") && !others.has_at_once(b"a:1"));
            settle(&mut others, "b:", -100);
            assert!(others.has_none() && !others.has_at_once(b"b:1"));
            assert!(others.lacking().is_none());
        }
        others.forget_names();
        assert!(others.wants_names());
    }
}
