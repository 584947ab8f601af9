//! Contents of every type from a seed, small and large, easy and awkward.
//! Never one that a server could not hold.
//! Source: Marsaglia's xorshift64.

use store::{
    ConsumerContent, Content, GroupContent, Millis, PendingContent, StreamContent, StreamId,
    Strings,
};

use super::NOW;

/// Repeatable contents.
pub(super) struct Generator(u64);

impl Generator {
    pub(super) fn new(seed: u64) -> Generator {
        Generator(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number under `bound`, which is not 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        ((self.next() >> 11) % bound as u64) as usize
    }

    pub(super) fn content(&mut self) -> Content {
        match self.below(8) {
            0 => Content::String(self.text()),
            1 => self.list(),
            2 => self.set(),
            3 => self.hash(),
            4 => self.hash_with_expiries(),
            5 => self.zset(),
            _ => Content::Stream(self.stream()),
        }
    }

    /// A number of elements: mostly few, sometimes more than any compact encoding takes.
    fn count(&mut self) -> usize {
        match self.below(20) {
            0 => 200 + self.below(500),
            _ => 1 + self.below(12),
        }
    }

    /// Integers of every width, short and long texts, and bytes that are none.
    pub(super) fn text(&mut self) -> Vec<u8> {
        match self.below(10) {
            0..4 => {
                let shift = self.below(64);
                let number = self.next() as i64 >> shift;
                number.to_string().into_bytes()
            }
            4..7 => format!("text {}", self.below(40)).into_bytes(),
            7 => vec![b'a' + self.below(26) as u8; self.below(300)],
            8 => {
                let len = self.below(40);
                (0..len).map(|_| (self.next() >> 32) as u8).collect()
            }
            _ => {
                let odd: [&[u8]; 6] = [b"", b"-0", b"007", b"9223372036854775808", b"+1", b" 1"];
                odd[self.below(odd.len())].to_vec()
            }
        }
    }

    fn texts(&mut self) -> Vec<Vec<u8>> {
        let count = self.count();
        let mut texts: Vec<Vec<u8>> = (0..count).map(|_| self.text()).collect();
        if self.below(30) == 0 {
            texts[0] = vec![b'L'; 9000 + self.below(9000)];
        }
        texts
    }

    fn distinct(&mut self) -> Vec<Vec<u8>> {
        let mut texts = self.texts();
        texts.sort();
        texts.dedup();
        texts
    }

    pub(super) fn list(&mut self) -> Content {
        Content::List(strings(&self.texts()))
    }

    pub(super) fn set(&mut self) -> Content {
        let mut members = self.distinct();
        if self.below(2) == 0 {
            let shift = self.below(64);
            members = (0..self.count())
                .map(|_| (self.next() as i64 >> shift).to_string().into_bytes())
                .collect();
            members.sort();
            members.dedup();
        }
        Content::Set(strings(&members))
    }

    pub(super) fn hash(&mut self) -> Content {
        let fields = self.distinct();
        let mut pairs = Strings::default();
        for field in &fields {
            pairs.push(field);
            pairs.push(&self.text());
        }
        Content::Hash {
            pairs,
            expiries: Vec::new(),
        }
    }

    pub(super) fn hash_with_expiries(&mut self) -> Content {
        let Content::Hash { pairs, .. } = self.hash() else {
            unreachable!()
        };
        let spread = 1 + self.below(1 << 40);
        let mut expiries: Vec<_> = (0..pairs.len() / 2)
            .map(|_| (self.below(2) == 0).then(|| NOW.plus(1 + self.below(spread) as i64)))
            .collect();
        expiries[0] = Some(NOW.plus(1));
        Content::Hash { pairs, expiries }
    }

    pub(super) fn zset(&mut self) -> Content {
        let members = self.distinct();
        let scores = members.iter().map(|_| self.score()).collect();
        Content::Zset {
            members: strings(&members),
            scores,
        }
    }

    fn score(&mut self) -> f64 {
        match self.below(10) {
            0 => f64::INFINITY,
            1 => f64::NEG_INFINITY,
            2 => 0.1 * self.below(1000) as f64,
            3 => -1e300 / (1 + self.below(1000)) as f64,
            4 => 1e-300 * self.below(1000) as f64,
            5 => f64::from_bits(1 + self.below(1 << 40) as u64),
            6 => 1e17 / (1 + self.below(100)) as f64,
            _ => self.below(2000) as f64 - 1000.0,
        }
    }

    pub(super) fn stream(&mut self) -> StreamContent {
        let mut entries = Vec::new();
        let mut id = StreamId {
            ms: self.next() >> (1 + self.below(60)),
            seq: 1,
        };
        let count = if self.below(10) == 0 { 0 } else { self.count() };
        let fields = [self.text(), self.text()];
        for _ in 0..count {
            id = if self.below(2) == 0 {
                StreamId {
                    ms: id.ms + 1 + self.below(1000) as u64,
                    seq: self.below(3) as u64,
                }
            } else {
                StreamId {
                    ms: id.ms,
                    seq: id.seq + 1 + self.below(300) as u64,
                }
            };
            let mut pairs = Strings::default();
            for field in &fields[self.below(2)..] {
                if self.below(4) == 0 {
                    pairs.push(&self.text());
                } else {
                    pairs.push(field);
                }
                pairs.push(&self.text());
            }
            entries.push((id, pairs));
        }
        let groups = (0..self.below(4))
            .map(|number| self.group(number, &entries))
            .collect();
        StreamContent {
            last_id: StreamId {
                ms: id.ms,
                seq: id.seq + self.below(2) as u64,
            },
            max_deleted_id: StreamId {
                ms: id.ms / 2,
                seq: self.below(5) as u64,
            },
            entries_added: (entries.len() + self.below(100)) as u64,
            entries,
            groups,
        }
    }

    fn group(&mut self, number: usize, entries: &[(StreamId, Strings)]) -> GroupContent {
        let consumers: Vec<_> = (0..self.below(4))
            .map(|number| ConsumerContent {
                name: format!("consumer {number}").into_bytes(),
                seen: Millis(1_700_000_000_000 + self.below(1 << 30) as i64),
                active: (self.below(2) == 0).then(|| Millis(self.below(1 << 40) as i64)),
            })
            .collect();
        let mut pending = Vec::new();
        for (id, _) in entries {
            if !consumers.is_empty() && self.below(3) == 0 {
                pending.push(PendingContent {
                    id: *id,
                    consumer: self.below(consumers.len()),
                    delivered: Millis(1_700_000_000_000 + self.below(1 << 30) as i64),
                    deliveries: 1 + self.below(9) as u64,
                });
            }
        }
        GroupContent {
            name: if number == 0 {
                b"7".to_vec()
            } else {
                format!("group {number}").into_bytes()
            },
            last_id: StreamId {
                ms: self.next() >> 20,
                seq: self.below(9) as u64,
            },
            entries_read: (self.below(2) == 0).then(|| self.below(100) as u64),
            consumers,
            pending,
        }
    }
}

fn strings(texts: &[Vec<u8>]) -> Strings {
    texts.iter().map(|text| &text[..]).collect()
}
