//! What a core does besides answering: due keys leave, freed memory goes back, limits in time are held.
//! Everything here works in bounded steps, one a turn, so that no client feels it; an idle core is woken `hz` times a second.
//! Expiry needs no list of its own: each table segment knows its earliest deadline.

use super::Driver;
use super::defrag::Defrag;
use commands::{ClientId, Core, guard::Guard, log};
use std::sync::atomic::Ordering;

/// Keys looked at in one step of expiry: about a tenth of a millisecond.
const EXPIRE_STEP_KEYS: usize = 512;
/// Entries freed in one step after a flush.
const FREE_STEP_KEYS: usize = 512;
/// Keys looked at in one step of a purge.
const PURGE_STEP_KEYS: usize = 1024;
/// Keys counted in one step of a walk that makes prefixes or lists of big keys anew.
const SURVEY_STEP_KEYS: usize = 128;
/// Buffers of clients that outlive a tick.
const POOLED_BUFFERS_IDLE: usize = 4;
/// Places of arguments that there is room for after a tick, of the commands of a turn.
const SPANS_IDLE: usize = 4096;
/// How long a listener that could not accept waits, unless a connection closes before.
const ACCEPT_RETRY_US: u64 = 1_000_000;

/// What is left to do in the background.
#[derive(Default)]
pub(super) struct Background {
    next_tick_us: u64,
    expiring: bool,
    freeing: bool,
    paying: bool,
    /// A purge that the guard asked for is under way.
    purging: bool,
    /// How many of those began here.
    purges_begun: u64,
    guard: Guard,
    /// When the limit was last looked at.
    looked_us: u64,
    releasing: bool,
    pub(super) defrag: Defrag,
    surveying: bool,
    accept_retry_us: Option<u64>,
    accept_logged_us: u64,
}

impl Background {
    pub(super) fn is_due(&self, now_us: u64) -> bool {
        self.expiring
            || self.freeing
            || self.paying
            || self.purging
            || self.releasing
            || self.surveying
            || self.defrag.is_due(now_us)
    }

    /// When there will be something to do.
    pub(super) fn next_due_us(&self) -> u64 {
        let slice_us = self.defrag.next_us().unwrap_or(u64::MAX);
        self.next_tick_us.min(slice_us)
    }

    /// A listener has stopped because there was no descriptor or memory left.
    pub(super) fn accept_failed(&mut self, errno: i32, now_us: u64) {
        self.accept_retry_us = Some(now_us + ACCEPT_RETRY_US);
        if now_us >= self.accept_logged_us + ACCEPT_RETRY_US || self.accept_logged_us == 0 {
            self.accept_logged_us = now_us;
            log::line(format_args!(
                "cannot accept connections: {}",
                std::io::Error::from_raw_os_error(errno)
            ));
        }
    }

    /// A descriptor is free again.
    pub(super) fn connection_closed(&mut self) {
        if self.accept_retry_us.is_some() {
            self.accept_retry_us = Some(0);
        }
    }
}

impl Driver {
    /// What is done `hz` times a second.
    pub(super) fn tick_when_due(&mut self) {
        if self.core.mono_us < self.background.next_tick_us {
            return;
        }
        self.background.next_tick_us =
            self.core.mono_us + 1_000_000 / u64::from(self.core.config.hz.max(1));
        self.core.stats.sample(self.core.mono_us);
        self.core.settle_lease();
        // Under load new ones come within microseconds.
        self.trim_batches();
        self.pool.trim(POOLED_BUFFERS_IDLE);
        self.group.trim_spans(SPANS_IDLE);
        self.background.releasing = true;
        self.consider_defrag();
        self.background.expiring = self.core.active_expire;
        self.background.freeing = true;
        if self
            .background
            .accept_retry_us
            .is_some_and(|at| at <= self.core.mono_us)
        {
            self.background.accept_retry_us = None;
            self.listen();
        }
        self.core.publish_bytes();
        self.background.surveying = self.core.tend();
        self.core.tend_price();
        self.core.publish_load();
        self.core.tick_curve();
        if self.core.id.0 == 0 {
            self.core.facts.lift_peak();
            if self.background.guard.is_due(self.core.mono_us) {
                self.core.facts.forget_buffers();
                let verdict = self.core.facts.hold_resident(self.core.now);
                let guard = &mut self.background.guard;
                if guard.asks_for_purge(verdict, self.core.mono_us) {
                    self.core.facts.purges_asked.fetch_add(1, Ordering::Relaxed);
                }
            }
            self.core.facts.charge_unsharded();
        }
        self.begin_purge();
        self.hold_time_limits();
        self.hold_http_time_limits();
    }

    /// Begins a purge that the guard of the resident set has asked for, unless one is under way.
    fn begin_purge(&mut self) {
        let asked = self.core.facts.purges_asked.load(Ordering::Relaxed);
        if asked > self.background.purges_begun && !self.core.shard.is_purging() {
            self.background.purges_begun = asked;
            self.background.purging = true;
            self.core.shard.purge_begin();
        }
    }

    /// Gives up every buffer that is kept for speed, and what the allocator keeps of its own.
    pub(super) fn trim(&mut self) {
        self.trim_batches();
        self.pool.trim(0);
        self.group.trim();
        memory::heap::collect(true);
    }

    pub(super) fn background_step(&mut self) {
        if self.background.expiring {
            let Core {
                shard, locks, now, ..
            } = &mut self.core;
            // A hash that is being read in steps keeps the fields that it had when that was begun.
            let is_kept = &mut |hash| locks.holds(hash);
            let expired = shard.expire_step_beside(*now, EXPIRE_STEP_KEYS, is_kept);
            self.background.expiring = expired.more;
        }
        if self.background.purging && !self.core.purge_step(PURGE_STEP_KEYS) {
            self.background.purging = false;
            self.trim();
        }
        // Every step says whether there is more: a core that owes nothing sleeps.
        let shard = &mut self.core.shard;
        self.background.freeing = shard.owes_freeing() && shard.free_step(FREE_STEP_KEYS);
        self.background.releasing = self.background.releasing && shard.release_step();
        self.background.surveying =
            self.background.surveying && shard.survey_step(SURVEY_STEP_KEYS);
        self.defrag_when_due();
    }

    /// Evicts a step of what this shard owes to the limit, and lets those go on that waited for it. Clients are settled by now.
    pub(super) fn pay_for_room(&mut self) {
        self.background.paying = self.core.pay_step();
        self.call_for_room();
        self.background.freeing |= self.core.shard.owes_freeing();
        self.background.purging |= self.core.is_relieving();
        if self.waits_for_room && self.core.may_retry() {
            self.waits_for_room = false;
            self.unlocked = true;
        }
        self.core.hold_client_memory();
        self.close_marked();
        if self.core.id.0 == 0 {
            let passed_us = self.core.mono_us - self.background.looked_us;
            self.background.looked_us = self.core.mono_us;
            let is_exceeded = self.core.is_limit_exceeded();
            self.core.stats.exceeded.note(is_exceeded, passed_us);
        }
    }

    /// Sends word to the shards that are to evict for this one.
    pub(super) fn call_for_room(&mut self) {
        if std::mem::take(&mut self.core.shortage.calls_others) {
            for shard in self.core.payers() {
                self.port.nudge(usize::from(shard.0));
            }
        }
    }

    /// Closes clients that were silent, or slow to read, for longer than the configuration allows.
    fn hold_time_limits(&mut self) {
        let config = &self.core.config;
        let (timeout_s, soft) = (config.timeout_s, config.client_output_buffer_limits.normal);
        if timeout_s == 0 && soft.soft_bytes == 0 {
            return;
        }
        for place in self.connections.places() {
            let connection = self.connections.at(place);
            if connection.dead {
                continue;
            }
            let since = connection.soft_limit_since_us;
            let slow = since > 0 && self.core.mono_us > since + soft.soft_seconds * 1_000_000;
            let silent_ms = self.core.now.0 - self.core.clients.at(ClientId(place)).last_active.0;
            let silent = timeout_s > 0 && silent_ms > i64::from(timeout_s) * 1000;
            if slow {
                self.core.stats.output_limit_disconnections += 1;
            }
            if slow || silent {
                self.kill(place);
            }
        }
        self.bury();
    }
}
