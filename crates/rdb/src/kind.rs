//! Owns the numbers by which a payload says what type of value it holds and how that is laid out.
//! Never here: types that only a file on disk has, and those of modules.
//! Source: the RDB format.

pub(crate) const STRING: u8 = 0;
pub(crate) const LIST: u8 = 1;
pub(crate) const SET: u8 = 2;
/// Scores as text.
pub(crate) const ZSET: u8 = 3;
pub(crate) const HASH: u8 = 4;
/// Scores as binary doubles.
pub(crate) const ZSET_2: u8 = 5;
pub(crate) const HASH_ZIPMAP: u8 = 9;
pub(crate) const LIST_ZIPLIST: u8 = 10;
pub(crate) const SET_INTSET: u8 = 11;
pub(crate) const ZSET_ZIPLIST: u8 = 12;
pub(crate) const HASH_ZIPLIST: u8 = 13;
/// Nodes that are ziplists.
pub(crate) const LIST_QUICKLIST: u8 = 14;
pub(crate) const STREAM_LISTPACKS: u8 = 15;
pub(crate) const HASH_LISTPACK: u8 = 16;
pub(crate) const ZSET_LISTPACK: u8 = 17;
/// Nodes that are listpacks or single elements.
pub(crate) const LIST_QUICKLIST_2: u8 = 18;
/// With the largest deleted ID, and with counts of entries added and read.
pub(crate) const STREAM_LISTPACKS_2: u8 = 19;
pub(crate) const SET_LISTPACK: u8 = 20;
/// With the time a consumer was last active.
pub(crate) const STREAM_LISTPACKS_3: u8 = 21;
/// Field expiries as they were written before the release of 7.4.
pub(crate) const HASH_METADATA_EARLY: u8 = 22;
/// Field expiries in a listpack as they were written before the release of 7.4.
pub(crate) const HASH_LISTPACK_EX_EARLY: u8 = 23;
/// Field expiries from the earliest of them on.
pub(crate) const HASH_METADATA: u8 = 24;
/// Field, value and expiry in turn, the earliest expiry in front.
pub(crate) const HASH_LISTPACK_EX: u8 = 25;

/// First two bits of a length: what the other six are.
pub(crate) const LEN_6_BITS: u8 = 0b00;
/// The high bits of fourteen.
pub(crate) const LEN_14_BITS: u8 = 0b01;
/// Not a length: one of the `STRING_*` encodings.
pub(crate) const LEN_SPECIAL: u8 = 0b11;
/// The whole first byte of a length of 32 bits.
pub(crate) const LEN_32_BITS: u8 = 0x80;
/// The whole first byte of a length of 64 bits.
pub(crate) const LEN_64_BITS: u8 = 0x81;

pub(crate) const STRING_INT_8: u8 = 0;
pub(crate) const STRING_INT_16: u8 = 1;
pub(crate) const STRING_INT_32: u8 = 2;
pub(crate) const STRING_LZF: u8 = 3;

/// A list's node that is one element by itself.
pub(crate) const NODE_PLAIN: u64 = 1;
/// A list's node that is a listpack.
pub(crate) const NODE_PACKED: u64 = 2;

/// An entry of a stream that was deleted and still lies in its node.
pub(crate) const ENTRY_DELETED: i64 = 1;
/// An entry of a stream whose fields are those of its node.
pub(crate) const ENTRY_SAME_FIELDS: i64 = 2;

/// The latest time a field may expire, in Unix milliseconds: 48 bits, less the one that says never.
pub(crate) const FIELD_EXPIRY_MAX: u64 = (1 << 48) - 2;
