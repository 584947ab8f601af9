//! Owns the row: a short array with a length, which is a leaf, and the keys of an inner node.
//! Never happens here: an allocation, an order.
//! Source: the nodes of a B-tree, whose neighbours trade over the key between them.

/// Up to `N` items in turn.
pub(super) struct Row<T, const N: usize> {
    len: u32,
    pub(super) items: [T; N],
}

impl<T: Copy + Default, const N: usize> Row<T, N> {
    pub(super) fn new() -> Self {
        Row {
            len: 0,
            items: [T::default(); N],
        }
    }

    pub(super) fn of(items: &[T]) -> Self {
        let mut row = Row::new();
        row.items[..items.len()].copy_from_slice(items);
        row.len = items.len() as u32;
        row
    }

    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    pub(super) fn as_slice(&self) -> &[T] {
        &self.items[..self.len()]
    }

    pub(super) fn insert(&mut self, at: usize, item: T) {
        let len = self.len();
        self.items.copy_within(at..len, at + 1);
        self.items[at] = item;
        self.len += 1;
    }

    pub(super) fn remove(&mut self, at: usize) -> T {
        let len = self.len();
        let item = self.items[at];
        self.items.copy_within(at + 1..len, at);
        self.len -= 1;
        item
    }

    /// Cuts the row at the item `cut`, which it returns with what lies behind.
    pub(super) fn split(&mut self, cut: usize) -> (T, Self) {
        let right = Row::of(&self.as_slice()[cut + 1..]);
        self.len = cut as u32;
        (self.items[cut], right)
    }

    /// Moves items over `key` between two neighbours until the left one has `left_len`.
    pub(super) fn level(left: &mut Self, key: &mut T, right: &mut Self, left_len: usize) {
        let (from, to) = (left.len(), left_len);
        let right_len = right.len();
        if to > from {
            let moved = to - from;
            left.items[from] = *key;
            left.items[from + 1..to].copy_from_slice(&right.items[..moved - 1]);
            *key = right.items[moved - 1];
            right.items.copy_within(moved..right_len, 0);
        } else if to < from {
            let moved = from - to;
            right.items.copy_within(..right_len, moved);
            right.items[moved - 1] = *key;
            right.items[..moved - 1].copy_from_slice(&left.items[to + 1..from]);
            *key = left.items[to];
        }
        left.len = to as u32;
        right.len = (right_len + from - to) as u32;
    }

    /// Appends `key` and all of `right`.
    pub(super) fn join(&mut self, key: T, right: &Self) {
        let len = self.len();
        self.items[len] = key;
        self.items[len + 1..len + 1 + right.len()].copy_from_slice(right.as_slice());
        self.len += 1 + right.len;
    }
}
