//! Owns what the accounts of a tree held at past minutes: one history for each, made and marked on the tick.
//! Never happens here: anything on the path of a write, but for an account that begins or is joined with others.
//! Source: `memory::history`.
#![forbid(unsafe_code)]

use memory::history::{History, MARK_MS, Trend};

use crate::collections::heap_bytes;

/// The histories of a tree's accounts, by number.
#[derive(Debug, Default)]
pub(super) struct Past {
    histories: Vec<Option<Box<History>>>,
    other: Option<Box<History>>,
    /// The latest minute that was begun to be marked; none before the first.
    minute: Option<u32>,
    /// From when on a prefix without an account is known to have had no keys; none before the first minute.
    absent_since: Option<u32>,
    /// The account that is to be marked next.
    next: usize,
}

impl Past {
    /// Of a tree over keys that were not counted before this minute; `other_bytes` are theirs.
    pub(super) fn unknown_before(minute: u32, other_bytes: u64) -> Past {
        Past {
            other: Some(Box::new(History::since(minute, other_bytes))),
            minute: Some(minute),
            absent_since: Some(minute),
            next: usize::MAX,
            ..Past::default()
        }
    }

    /// Begins to mark a minute; `has_others` if there are keys without an account of their prefix.
    pub(super) fn begin(&mut self, minute: u32, has_others: bool, other_bytes: u64) {
        let before = self.before(minute);
        self.minute = Some(minute);
        self.next = 0;
        let begun = *self.absent_since.get_or_insert(before);
        if has_others || self.other.is_some() {
            let history = self
                .other
                .get_or_insert_with(|| Box::new(History::of_nothing(begun, before)));
            history.mark(minute, other_bytes);
        }
        if has_others {
            self.absent_since = Some(minute);
        }
    }

    /// Marks so many of the accounts whose bytes these are, from where the last step ended. Whether there are more.
    pub(super) fn step(&mut self, bytes: impl ExactSizeIterator<Item = u64>, count: usize) -> bool {
        let Some(minute) = self.minute else {
            return false;
        };
        let (first, accounts) = (self.next.min(bytes.len()), bytes.len());
        let end = first.saturating_add(count).min(accounts);
        for (number, bytes) in bytes.enumerate().take(end).skip(first) {
            self.mark(number, minute, bytes);
        }
        self.next = end;
        end < accounts
    }

    fn mark(&mut self, number: usize, minute: u32, bytes: u64) {
        if self.histories.len() <= number {
            self.histories.resize_with(number + 1, || None);
        }
        if let Some(history) = &mut self.histories[number] {
            return history.mark(minute, bytes);
        }
        // An account that holds nothing and never did needs none.
        if bytes > 0 {
            let mut history = self.absent();
            history.mark(minute, bytes);
            self.histories[number] = Some(Box::new(history));
        }
    }

    /// The history of a prefix that had no keys at any minute that was marked.
    fn absent(&self) -> History {
        let minute = self.minute.unwrap_or(0);
        let begun = self.absent_since.unwrap_or(minute);
        // The minute under way is marked after this.
        History::of_nothing(begun, minute.saturating_sub(1).max(begun))
    }

    fn before(&self, minute: u32) -> u32 {
        self.minute.unwrap_or(minute.saturating_sub(1))
    }

    /// An account goes, and its number may be another's.
    pub(super) fn forget(&mut self, number: u16) {
        if let Some(history) = self.histories.get_mut(usize::from(number)) {
            *history = None;
        }
    }

    /// Whether an account held anything in the time that is told of.
    pub(super) fn remembers(&self, number: u16) -> bool {
        let history = self.of(number);
        history.is_some_and(|history| !history.is_of_nothing())
    }

    /// An account is joined with another and goes.
    pub(super) fn join(&mut self, from: u16, into: u16) {
        let Some(joined) = self
            .histories
            .get_mut(usize::from(from))
            .and_then(Option::take)
        else {
            return;
        };
        let into = usize::from(into);
        if self.histories.len() <= into {
            self.histories.resize_with(into + 1, || None);
        }
        match &mut self.histories[into] {
            Some(history) => history.merge(&joined),
            none => *none = Some(joined),
        }
    }

    /// Takes over the history of an account from the tree before, where it had one; otherwise it begins now.
    pub(super) fn inherit(&mut self, number: u16, bytes: u64, former: Option<(&mut Past, u16)>) {
        let known = former.and_then(|(past, number)| {
            let history = past.histories.get_mut(usize::from(number))?;
            history.take()
        });
        let minute = self.minute.unwrap_or(0);
        let number = usize::from(number);
        if self.histories.len() <= number {
            self.histories.resize_with(number + 1, || None);
        }
        self.histories[number] =
            Some(known.unwrap_or_else(|| Box::new(History::since(minute, bytes))));
    }

    fn of(&self, number: u16) -> Option<&History> {
        self.histories.get(usize::from(number))?.as_deref()
    }

    /// How an account has grown to these bytes.
    pub(super) fn trend(&self, number: u16, bytes: u64, elapsed_ms: u64) -> Trend {
        self.trend_of(self.of(number), bytes, elapsed_ms)
    }

    /// How what has no account has grown.
    pub(super) fn trend_of_other(&self, bytes: u64, elapsed_ms: u64) -> Trend {
        self.trend_of(self.other.as_deref(), bytes, elapsed_ms)
    }

    fn trend_of(&self, history: Option<&History>, bytes: u64, elapsed_ms: u64) -> Trend {
        match history {
            Some(history) => history.trend(bytes, elapsed_ms),
            None if self.minute.is_some() => self.absent().trend(bytes, elapsed_ms),
            None => {
                let minute = (elapsed_ms / MARK_MS) as u32;
                History::since(minute, 0).trend(bytes, elapsed_ms)
            }
        }
    }

    /// A copy of an account's history, where it has one.
    pub(super) fn copy(&self, number: u16) -> Option<Box<History>> {
        self.of(number).cloned().map(Box::new)
    }

    /// Bytes of its own.
    pub(super) fn heap_bytes(&self) -> u64 {
        let kept = self.histories.iter().flatten().count() + self.other.iter().count();
        heap_bytes(self.histories.capacity() * size_of::<Option<Box<History>>>())
            + kept as u64 * heap_bytes(size_of::<History>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use memory::history::Span;

    fn marked(past: &mut Past, minute: u32, bytes: &[u64], step: usize) {
        past.begin(minute, false, 0);
        while past.step(bytes.iter().copied(), step) {}
    }

    #[test]
    fn marking_in_steps_is_marking_at_once() {
        let (mut one, mut other) = (Past::default(), Past::default());
        for minute in 1..=70 {
            let bytes: Vec<u64> = (0..100).map(|nth| nth * u64::from(minute)).collect();
            marked(&mut one, minute, &bytes, 7);
            marked(&mut other, minute, &bytes, 1000);
        }
        for number in 0..100 {
            assert_eq!(one.of(number), other.of(number));
        }
        let trend = one.trend(50, 50 * 71, 71 * MARK_MS - 1);
        assert_eq!(trend.over(Span::TenMinutes).bytes, 550);
        assert!(one.of(0).is_none(), "it never held anything");
    }

    #[test]
    fn an_account_that_comes_later_has_grown_from_nothing() {
        let mut past = Past::default();
        for minute in 1..=20 {
            marked(&mut past, minute, &[10], 100);
        }
        let trend = past.trend(1, 500, 21 * MARK_MS - 1);
        assert_eq!(trend.over(Span::TenMinutes).bytes, 500);
        assert!(trend.over(Span::TenMinutes).covered_ms >= 10 * MARK_MS);
        marked(&mut past, 21, &[10, 500], 100);
        assert_eq!(
            past.trend(1, 500, 21 * MARK_MS).over(Span::Minute).bytes,
            500
        );
    }

    #[test]
    fn while_there_are_others_a_new_account_may_have_been_among_them() {
        let mut past = Past::default();
        for minute in 1..=20 {
            past.begin(minute, minute < 15, 100);
            past.step([10].into_iter(), 100);
        }
        let trend = past.trend(1, 500, 21 * MARK_MS - 1);
        assert_eq!(
            trend.over(Span::TenMinutes).covered_ms,
            21 * MARK_MS - 1 - 14 * MARK_MS
        );
    }

    #[test]
    fn joined_accounts_have_a_joined_past() {
        let mut past = Past::default();
        for minute in 1..=20 {
            marked(&mut past, minute, &[100, u64::from(minute)], 100);
        }
        past.join(1, 0);
        past.forget(1);
        assert!(past.of(1).is_none() && past.remembers(0));
        let trend = past.trend(0, 120, 20 * MARK_MS);
        assert_eq!(trend.over(Span::TenMinutes).bytes, 10);
    }
}
