//! Owns the path: which turn to take in each node from the root down to an item or a gap.
//! Never happens here: a look at an item.
//! Source: none; it lets a search be one pass without changes, and a change one without comparisons.

/// Levels of inner nodes at most. All but those at the right edge have a dozen children, so that
/// more items than 32 bits count would still lie ten levels deep.
pub(super) const LEVELS_MAX: usize = 16;

/// The way from the root to an item, or to the gap in a leaf where one would be inserted.
#[derive(Clone, Copy, Default)]
pub(super) struct Path {
    /// Which child to take in each inner node; the last is a key's number instead, if `on_key`.
    at: [u8; LEVELS_MAX],
    pub(super) levels: u8,
    pub(super) on_key: bool,
    /// The place in the leaf, or among the few.
    pub(super) pos: u32,
}

impl Path {
    pub(super) fn push(&mut self, at: usize) {
        self.at[usize::from(self.levels)] = at as u8;
        self.levels += 1;
    }

    pub(super) fn with_pos(mut self, pos: usize) -> Path {
        self.pos = pos as u32;
        self
    }

    pub(super) fn pos(&self) -> usize {
        self.pos as usize
    }

    pub(super) fn at(&self, level: usize) -> usize {
        usize::from(self.at[level])
    }

    /// Whether the item is a key of the inner node at `level`.
    pub(super) fn is_key_at(&self, level: usize) -> bool {
        self.on_key && level + 1 == usize::from(self.levels)
    }
}
