//! Owns payloads that are made piece by piece: of a long string, and of a large collection, element by element.
//! Never keeps what it has written but the part of a node that is not full, and never writes another payload than at once.
//! Source: as in `encode`.

use crc::{Digest, Table};
use store::{Kind, Millis, StreamContent, StreamId, Strings};

use crate::stream_encode::{Filling, behind_entries, node};
use crate::writing::{len, string};
use crate::{CHECKSUM, VERSION, VERSION_FIELD_EXPIRIES, encode, kind, writing};

/// The checksum of a payload, to which all of it is shown piece by piece.
#[derive(Clone)]
pub struct Sealing {
    digest: Digest<'static, u64, Table<16>>,
    version: u16,
}

impl std::fmt::Debug for Sealing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealing").finish_non_exhaustive()
    }
}

impl Sealing {
    /// Of a payload that begins with this.
    pub fn of(head: &[u8]) -> Sealing {
        let mut digest = CHECKSUM.digest();
        digest.update(head);
        let version = match head.first() {
            Some(&kind::HASH_METADATA) => VERSION_FIELD_EXPIRIES,
            _ => VERSION,
        };
        Sealing { digest, version }
    }

    /// Notes the next bytes.
    pub fn note(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
    }

    /// The footer.
    pub fn end(&self) -> Vec<u8> {
        let (mut digest, mut end) = (self.digest.clone(), self.version.to_le_bytes().to_vec());
        digest.update(&end);
        end.extend_from_slice(&digest.finalize().to_le_bytes());
        end
    }
}

/// The beginning of the payload of a string of so many bytes, too many for an integer. The bytes follow as they are.
pub fn string_head(text_bytes: usize) -> Vec<u8> {
    let mut head = vec![kind::STRING];
    writing::len(text_bytes as u64, &mut head);
    head
}

/// The body of the payload of a large collection. Its head can be told when all of it is written.
#[derive(Default)]
pub struct Body {
    /// Elements, or entries of a stream.
    count: u64,
    nodes: encode::Nodes,
    /// When the first field expires, where one does.
    earliest: Option<Millis>,
    /// Entries of a stream that are not written yet.
    entries: Vec<(StreamId, Strings)>,
    filling: Filling,
    first: Option<StreamId>,
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body").finish_non_exhaustive()
    }
}

impl Body {
    /// Notes when a field of the hash expires, before the first is written.
    pub fn note_expiry(&mut self, expiry: Option<Millis>) {
        self.earliest = self.earliest.into_iter().chain(expiry).min();
    }

    /// Appends a member of a set, which has too many for a block of integers.
    pub fn member(&mut self, member: &[u8], out: &mut Vec<u8>) {
        self.count += 1;
        string(member, out);
    }

    /// Appends an element of a list, as soon as its node is full.
    pub fn element(&mut self, element: &[u8], out: &mut Vec<u8>) {
        self.nodes.push(element, out);
    }

    /// Appends a member of a sorted set.
    pub fn scored(&mut self, member: &[u8], score: f64, out: &mut Vec<u8>) {
        self.count += 1;
        encode::scored(member, score, out);
    }

    /// Appends a field of a hash.
    pub fn field(&mut self, pair: (&[u8], &[u8]), expiry: Option<Millis>, out: &mut Vec<u8>) {
        self.count += 1;
        match &self.earliest {
            Some(earliest) => encode::expiring(pair, expiry, encode::moment(earliest), out),
            None => {
                string(pair.0, out);
                string(pair.1, out);
            }
        }
    }

    /// Appends an entry of a stream, as soon as its node is full.
    pub fn entry(&mut self, entry: (StreamId, Strings), out: &mut Vec<u8>) {
        self.count += 1;
        self.first = self.first.or(Some(entry.0));
        if self.filling.overflows(&entry.1) {
            self.node(out);
        }
        self.entries.push(entry);
    }

    fn node(&mut self, out: &mut Vec<u8>) {
        self.nodes.count += 1;
        node(&self.entries, out);
        self.entries.clear();
    }

    /// Appends what is left of a collection that is no stream.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        self.nodes.end(out);
    }

    /// Appends what is left of a stream: its last node, and what it has beside its entries.
    pub fn end_stream(&mut self, beside_entries: &StreamContent, out: &mut Vec<u8>) {
        if !self.entries.is_empty() {
            self.node(out);
        }
        let all = (self.count, self.first);
        behind_entries(beside_entries, all, kind::STREAM_LISTPACKS_3, out);
    }

    /// What comes before the body, once that is written.
    pub fn head(&self, of: Kind) -> Vec<u8> {
        let (layout, count) = match of {
            Kind::List => (kind::LIST_QUICKLIST_2, self.nodes.count),
            Kind::Set => (kind::SET, self.count),
            Kind::Zset => (kind::ZSET_2, self.count),
            Kind::Hash if self.earliest.is_some() => (kind::HASH_METADATA, self.count),
            Kind::Hash => (kind::HASH, self.count),
            Kind::Stream => (kind::STREAM_LISTPACKS_3, self.nodes.count),
            Kind::String => unreachable!("a string is no collection"),
        };
        let mut head = vec![layout];
        if let (kind::HASH_METADATA, Some(earliest)) = (layout, &self.earliest) {
            head.extend_from_slice(&encode::moment(earliest).to_le_bytes());
        }
        len(count, &mut head);
        head
    }
}
