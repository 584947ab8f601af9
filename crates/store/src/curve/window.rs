//! Owns the counts of what the sampled references met, by label, over the latest past.
//! Never happens here: which references are sampled, or what a count means.
//! Source: two half windows; the older is dropped when the younger is full.
#![forbid(unsafe_code)]

use super::SIZES;
use crate::prefixes::PREFIX_DELIMITERS_MAX;
use crate::value::Millis;

/// Labels a shard keeps counts of; the first stands for all others.
const LABELS_MAX: usize = 32;
/// Longer prefixes have no label of their own.
const LABEL_BYTES_MAX: usize = 40;
/// Half a window ends with so many sampled references and so many milliseconds, whichever row
/// is met first.
const HALVES: [(u64, i64); 3] = [(1 << 17, 60_000), (1 << 15, 3_600_000), (0, 86_400_000)];
/// A label of a smaller share of the references makes room for another.
const SHARE_MIN: f64 = 1.0 / 256.0;

/// Parts of the sample, by hash, whose differences tell how far the whole is from the truth.
pub const GROUPS: usize = 8;

/// References and hits, weighted by what each sampled key stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// References to keys.
    pub references: f64,
    /// Those that the shard itself answered with a value.
    pub hits: f64,
    /// Those that a cache of each size would have.
    pub size_hits: [f64; SIZES],
}

impl Counts {
    /// Adds another's.
    pub fn add(&mut self, other: &Counts) {
        let Counts {
            references,
            hits,
            size_hits,
        } = other;
        self.references += references;
        self.hits += hits;
        for (sum, hits) in self.size_hits.iter_mut().zip(size_hits) {
            *sum += hits;
        }
    }

    /// The sum of several.
    pub fn sum<'a>(all: impl IntoIterator<Item = &'a Counts>) -> Counts {
        let mut sum = Counts::default();
        all.into_iter().for_each(|one| sum.add(one));
        sum
    }
}

/// Counts of each part of the sample.
pub type Groups = [Counts; GROUPS];

/// The part that a key belongs to, by bits of its sampling hash that decide nothing else.
#[inline]
pub(super) fn group_of(id: u64) -> usize {
    (id >> 36) as usize % GROUPS
}

/// Half a window.
#[derive(Debug, Default)]
struct Half {
    began_ms: i64,
    sampled: u64,
    /// What the server counted when it began.
    served: Served,
    /// As many as there are names.
    labels: Vec<Groups>,
}

/// Reads that a shard answered, as INFO counts them, since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// With a value.
    pub hits: u64,
    /// With none.
    pub misses: u64,
}

/// The latest past.
#[derive(Debug)]
pub(super) struct Window {
    now: Half,
    before: Half,
    /// Names of labels; the first has none.
    names: Vec<Box<[u8]>>,
    /// What a label ends with.
    delimiters: [u8; PREFIX_DELIMITERS_MAX],
}

impl Window {
    pub(super) fn new() -> Window {
        let half = || Half {
            labels: vec![Groups::default()],
            ..Half::default()
        };
        Window {
            now: half(),
            before: half(),
            names: vec![Box::default()],
            delimiters: [b':'; PREFIX_DELIMITERS_MAX],
        }
    }

    /// Has labels end with other delimiters; those that are known become one with the rest. False
    /// if they end with these.
    pub(super) fn set_delimiters(&mut self, delimiters: [u8; PREFIX_DELIMITERS_MAX]) -> bool {
        if delimiters == self.delimiters {
            return false;
        }
        self.delimiters = delimiters;
        self.names.truncate(1);
        for half in [&mut self.now, &mut self.before] {
            let (rest, labels) = half.labels.split_at_mut(1);
            for label in labels {
                add(&mut rest[0], label);
            }
            half.labels.truncate(1);
        }
        true
    }

    /// The label of a key, a new one if there is room.
    pub(super) fn label(&mut self, key: &[u8]) -> u8 {
        let head = &key[..key.len().min(LABEL_BYTES_MAX + 1)];
        let Some(end) = head.iter().position(|byte| self.delimiters.contains(byte)) else {
            return 0;
        };
        // With its delimiter, as MEMORY PREFIXES names it.
        let name = &head[..=end];
        if let Some(label) = self.names.iter().skip(1).position(|known| **known == *name) {
            return label as u8 + 1;
        }
        if end == 0 || self.names.len() == LABELS_MAX {
            return 0;
        }
        self.names.push(name.into());
        for half in [&mut self.now, &mut self.before] {
            half.labels.push(Groups::default());
        }
        (self.names.len() - 1) as u8
    }

    /// Counts so many references; bit `n` of `present` says that the cache of size `n` hits.
    #[inline]
    pub(super) fn count(
        &mut self,
        label: u8,
        group: usize,
        weight: f64,
        times: u32,
        is_hit: bool,
        present: u16,
    ) {
        self.now.sampled += u64::from(times);
        let weight = weight * f64::from(times);
        let counts = &mut self.now.labels[usize::from(label)][group];
        counts.references += weight;
        if is_hit {
            counts.hits += weight;
        }
        for (size, hits) in counts.size_hits.iter_mut().enumerate() {
            if present >> size & 1 == 1 {
                *hits += weight;
            }
        }
    }

    /// Whether half a window is full.
    pub(super) fn is_due(&self, now: Millis) -> bool {
        let span_ms = now.0.saturating_sub(self.now.began_ms);
        HALVES
            .iter()
            .any(|&(references, least_ms)| self.now.sampled >= references && span_ms >= least_ms)
    }

    /// Begins a new half. Answers for each label which one it is from now on.
    pub(super) fn turn(&mut self, served: Served, now: Millis) -> [u8; LABELS_MAX] {
        std::mem::swap(&mut self.now, &mut self.before);
        self.now.began_ms = now.0;
        self.now.sampled = 0;
        self.now.served = served;
        self.now.labels.fill(Groups::default());
        self.drop_small_labels()
    }

    /// Forgets all counts.
    pub(super) fn begin(&mut self, served: Served, now: Millis) {
        for half in [&mut self.now, &mut self.before] {
            half.began_ms = now.0;
            half.sampled = 0;
            half.served = served;
            half.labels.fill(Groups::default());
        }
    }

    fn drop_small_labels(&mut self) -> [u8; LABELS_MAX] {
        let mut labels = [0; LABELS_MAX];
        let references = |groups: &Groups| Counts::sum(groups).references;
        let all: f64 = self.before.labels.iter().map(references).sum();
        let mut kept = 1;
        for (label, new) in labels.iter_mut().enumerate().take(self.names.len()).skip(1) {
            let counts = std::mem::take(&mut self.before.labels[label]);
            if references(&counts) >= all * SHARE_MIN && all > 0.0 {
                self.names.swap(kept, label);
                self.before.labels[kept] = counts;
                *new = kept as u8;
                kept += 1;
            } else {
                add(&mut self.before.labels[0], &counts);
            }
        }
        self.names.truncate(kept);
        self.now.labels.truncate(kept);
        self.before.labels.truncate(kept);
        labels
    }

    /// References sampled in the whole window.
    pub(super) fn sampled(&self) -> u64 {
        self.now.sampled + self.before.sampled
    }

    /// What the server counted when the window began.
    pub(super) fn served(&self) -> Served {
        if self.before.sampled > 0 {
            self.before.served
        } else {
            self.now.served
        }
    }

    /// Each label with its counts; the first has no name and stands for all others.
    pub(super) fn labels(&self) -> impl Iterator<Item = (&[u8], Groups)> {
        self.names.iter().enumerate().map(|(label, name)| {
            let mut counts = self.before.labels[label];
            add(&mut counts, &self.now.labels[label]);
            (&**name, counts)
        })
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let counts =
            (self.now.labels.capacity() + self.before.labels.capacity()) * size_of::<Groups>();
        counts + self.names.len() * (size_of::<Box<[u8]>>() + LABEL_BYTES_MAX)
    }
}

fn add(sum: &mut Groups, other: &Groups) {
    sum.iter_mut()
        .zip(other)
        .for_each(|(sum, other)| sum.add(other));
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_000_000);

    fn served(reads: u64) -> Served {
        Served {
            hits: reads,
            misses: 0,
        }
    }

    fn references(window: &Window) -> f64 {
        let references = |(_, groups): (_, Groups)| Counts::sum(&groups).references;
        window.labels().map(references).sum()
    }

    #[test]
    fn what_lies_two_halves_back_is_forgotten() {
        let mut window = Window::new();
        window.begin(served(0), NOW);
        for turn in 1..=4 {
            (0..turn).for_each(|_| window.count(0, 0, 1.0, 1, true, 0));
            window.turn(served(10 * turn), NOW);
        }
        window.count(0, 0, 1.0, 1, true, 0);
        assert_eq!(references(&window), 5.0);
        assert_eq!(window.served(), served(30));
    }

    #[test]
    fn a_half_ends_by_references_and_time_together() {
        let mut window = Window::new();
        window.begin(served(0), NOW);
        (0..1 << 15).for_each(|_| window.count(0, 0, 1.0, 1, true, 0));
        assert!(!window.is_due(NOW.plus(60_000)));
        assert!(window.is_due(NOW.plus(3_600_000)));
        (0..1 << 17).for_each(|_| window.count(0, 0, 1.0, 1, true, 0));
        assert!(window.is_due(NOW.plus(60_000)) && !window.is_due(NOW.plus(59_999)));
    }

    #[test]
    fn rare_labels_make_room_and_their_counts_stay() {
        let mut window = Window::new();
        let busy = window.label(b"busy:1");
        assert_eq!(window.label(b"busy:2"), busy);
        for other in 0..100 {
            let label = window.label(format!("rare{other}:x").as_bytes());
            window.count(label, 3, 1.0, 1, false, 0);
        }
        assert_eq!(
            window.label(b"late:1"),
            0,
            "there is no room for another label"
        );
        (0..10_000).for_each(|_| window.count(busy, 0, 1.0, 1, true, 1));
        let labels = window.turn(served(0), NOW);
        assert_eq!((labels[usize::from(busy)], labels[2]), (1, 0));
        assert_ne!(window.label(b"late:1"), 0);
        assert_eq!(references(&window), 10_100.0);
    }

    #[test]
    fn other_delimiters_make_other_labels_and_counts_stay() {
        let mut window = Window::new();
        let user = window.label(b"user:1");
        window.count(user, 0, 1.0, 1, true, 0);
        assert!(!window.set_delimiters([b':'; PREFIX_DELIMITERS_MAX]));
        assert!(window.set_delimiters([b'/', b'|', b'/', b'/']));
        assert_eq!(references(&window), 1.0);
        assert_eq!(window.label(b"user:1"), 0);
        assert_eq!(window.label(b"page|1"), 1);
        assert_eq!(window.labels().nth(1).unwrap().0, b"page|");
    }

    #[test]
    fn keys_without_a_short_prefix_have_no_label() {
        let mut window = Window::new();
        for key in [&b"plain"[..], b":x", &[b'x'; 100]] {
            assert_eq!(window.label(key), 0);
        }
    }
}
