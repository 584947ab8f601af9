//! Owns the counters of allocated bytes, one account for each thread, and their sums.
//! Never happens here: a write to another thread's account, or a read-modify-write of shared memory.
//! Source: counters sharded by thread, which only their own thread writes and anybody may add up.

use std::alloc::{Layout, handle_alloc_error};
use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicPtr, AtomicU64, Ordering};

use super::mimalloc::mi_uzalloc_aligned;

/// The counters of one thread. Only that thread writes them; anybody may read them.
///
/// An account outlives its thread: what a thread allocated and did not free still exists. Two
/// cache lines wide, so that a reader never takes the line from a neighbouring writer.
#[repr(align(128))]
struct Account {
    allocated_bytes: AtomicI64,
    foreign_freed_bytes: AtomicU64,
    /// What was handed over to other threads less what was taken over from them.
    handed_over_bytes: AtomicI64,
    is_shard: AtomicBool,
    next: *const Account,
}

impl Account {
    fn allocated_bytes(&self) -> i64 {
        self.allocated_bytes.load(Ordering::Relaxed)
    }
}

static ACCOUNTS: AtomicPtr<Account> = AtomicPtr::new(ptr::null_mut());

thread_local! {
    static ACCOUNT: Cell<*const Account> = const { Cell::new(ptr::null()) };
}

/// The calling thread's account, opened on its first allocation.
#[inline(always)]
fn account() -> &'static Account {
    let account = ACCOUNT.get();
    if account.is_null() {
        return open_account();
    }
    // SAFETY: a non-null pointer here was made by `open_account` and accounts are never freed.
    unsafe { &*account }
}

#[cold]
#[inline(never)]
fn open_account() -> &'static Account {
    let layout = Layout::new::<Account>();
    let mut block_bytes = 0usize;
    // SAFETY: plain calls of the allocator; neither re-enters this module.
    let block = unsafe { mi_uzalloc_aligned(layout.size(), layout.align(), &mut block_bytes) };
    if block.is_null() {
        handle_alloc_error(layout);
    }
    let account = block.cast::<Account>();
    let mut head = ACCOUNTS.load(Ordering::Acquire);
    // SAFETY: the block is fresh, large enough and aligned; nobody else knows it until the
    // exchange below publishes it.
    unsafe {
        account.write(Account {
            // The account's own block is on the books like any other.
            allocated_bytes: AtomicI64::new(block_bytes as i64),
            foreign_freed_bytes: AtomicU64::new(0),
            handed_over_bytes: AtomicI64::new(0),
            is_shard: AtomicBool::new(false),
            next: head,
        });
    }
    while let Err(newer) =
        ACCOUNTS.compare_exchange_weak(head, account, Ordering::AcqRel, Ordering::Acquire)
    {
        head = newer;
        // SAFETY: still unpublished, so still ours alone.
        unsafe { (*account).next = head };
    }
    ACCOUNT.set(account);
    // SAFETY: published accounts are never freed nor mutated but through their atomics.
    unsafe { &*account }
}

/// Adds to the calling thread's counter. A plain load and store: no other thread writes it.
#[inline(always)]
pub(super) fn settle(delta_bytes: i64) {
    add(&account().allocated_bytes, delta_bytes);
}

/// Takes bytes off the calling thread's counter that another thread is to take over.
pub(super) fn hand_over(bytes: i64) {
    let account = account();
    add(&account.handed_over_bytes, bytes);
    add(&account.allocated_bytes, -bytes);
}

#[inline(always)]
fn add(counter: &AtomicI64, delta_bytes: i64) {
    counter.store(
        counter.load(Ordering::Relaxed).wrapping_add(delta_bytes),
        Ordering::Relaxed,
    );
}

/// Makes the calling thread a shard's.
pub(super) fn mark_shard() {
    account().is_shard.store(true, Ordering::Relaxed);
}

/// Bytes the calling thread allocated less those it freed, as whole blocks.
///
/// Negative on a thread that frees what others allocated; only the sum over threads has a meaning
/// of its own. Costs two loads.
#[inline]
pub fn thread_allocated_bytes() -> i64 {
    account().allocated_bytes.load(Ordering::Relaxed)
}

/// Bytes allocated in the whole process: the sum over all threads that ever were.
///
/// Exact when nobody allocates meanwhile; otherwise off by what moves during the walk.
pub fn process_allocated_bytes() -> u64 {
    // Below zero only between a foreign free that was read and its allocation that was not.
    sum_accounts(Account::allocated_bytes).max(0) as u64
}

/// Bytes allocated less those freed by all threads that are no shard's, those that ended too.
///
/// Below zero when they freed more of what shards allocated than they hold themselves. A thread
/// is a shard's from its first [`crate::heap::charge_thread_to`] on.
pub fn unsharded_allocated_bytes() -> i64 {
    sum_accounts(|account| {
        if account.is_shard.load(Ordering::Relaxed) {
            return 0;
        }
        account.allocated_bytes()
    })
}

/// Bytes that shards' threads have allocated less those they freed, with what is on its way between them.
pub fn sharded_allocated_bytes() -> i64 {
    sum_accounts(|account| {
        if account.is_shard.load(Ordering::Relaxed) {
            return account.allocated_bytes() + account.handed_over_bytes.load(Ordering::Relaxed);
        }
        0
    })
}

fn sum_accounts(bytes_of: impl Fn(&Account) -> i64) -> i64 {
    let mut sum_bytes = 0i64;
    let mut next = ACCOUNTS.load(Ordering::Acquire).cast_const();
    while !next.is_null() {
        // SAFETY: the list holds published accounts only, and those are never freed.
        let account = unsafe { &*next };
        sum_bytes = sum_bytes.wrapping_add(bytes_of(account));
        next = account.next;
    }
    sum_bytes
}

/// Notes that the calling thread freed `bytes` that another thread had allocated.
///
/// The allocator cannot tell whose block it frees without a second look at its page on every
/// free, so whoever frees what came from another shard says so here.
pub fn note_foreign_free(bytes: usize) {
    let counter = &account().foreign_freed_bytes;
    counter.store(
        counter.load(Ordering::Relaxed).wrapping_add(bytes as u64),
        Ordering::Relaxed,
    );
}

/// Bytes noted by [`note_foreign_free`] on the calling thread; only grows.
pub fn thread_foreign_freed_bytes() -> u64 {
    account().foreign_freed_bytes.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_frees_are_counted_as_they_are_noted() {
        let before = thread_foreign_freed_bytes();
        note_foreign_free(100);
        note_foreign_free(28);
        assert_eq!(thread_foreign_freed_bytes() - before, 128);
    }
}
