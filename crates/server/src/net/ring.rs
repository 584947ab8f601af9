//! One io_uring per core for sockets: multishot accept and receive into provided buffers, readiness to write, and doorbells.
//! No other module knows how bytes arrive; nothing here knows what they mean. Only the core that made a ring touches it.
//! Task work is deferred to `enter` (IORING_SETUP_DEFER_TASKRUN), so completions arrive only when the core asks: see io_uring_setup(2).

use super::buffers::Buffers;
use io_uring::{IoUring, cqueue, opcode, squeue, types};
use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    time::Duration,
};

/// Submission entries: enough that a full turn seldom has to submit in between.
const SUBMISSION_ENTRIES: u32 = 256;
/// Completion entries: a core can be handed this many events before the kernel starts to keep them aside.
const COMPLETION_ENTRIES: u32 = 4096;
/// Buffer group of the provided buffers; a ring has one.
const BUFFER_GROUP: u16 = 0;

const OP_SHIFT: u32 = 56;
const OP_ACCEPT: u64 = 1;
const OP_RECEIVE: u64 = 2;
const OP_WRITABLE: u64 = 3;
const OP_CANCEL: u64 = 4;
const OP_BELL: u64 = 5;
const OP_BELL_SENT: u64 = 6;

/// What a completion says.
#[derive(Debug)]
pub enum Event {
    /// A connection was accepted or could not be.
    Accepted {
        /// Which listener.
        listener: u32,
        /// The connection, or an error number.
        result: Result<OwnedFd, i32>,
        /// Whether the listener goes on accepting.
        armed: bool,
    },
    /// Bytes arrived (their count), the peer closed (0), or receiving failed (a negative error number).
    Received {
        /// Place of the connection.
        connection: u32,
        /// Count or negative error number.
        result: i32,
        /// The provided buffer that holds the bytes.
        buffer: Option<u16>,
        /// Whether receiving goes on by itself.
        armed: bool,
    },
    /// The socket takes bytes again, or has failed: the next send tells.
    Writable {
        /// Place of the connection.
        connection: u32,
    },
    /// Another core has put something into the mesh, or a request to cancel is done.
    Nothing,
}

/// The ring and its buffers.
pub struct Ring {
    // Declared before the buffers: it is dropped first, and with it the kernel's claim on them.
    uring: IoUring,
    buffers: Buffers,
}

impl Ring {
    /// Makes a ring for the calling thread.
    ///
    /// # Errors
    /// The kernel's, where io_uring is blocked or too old, or memory cannot be locked.
    pub fn new() -> io::Result<Ring> {
        let uring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_cqsize(COMPLETION_ENTRIES)
            .setup_clamp()
            .dontfork()
            .build(SUBMISSION_ENTRIES)?;
        let buffers = Buffers::new();
        // SAFETY: the buffer ring's memory lives in `buffers`, which this struct drops after the ring that uses it.
        unsafe {
            uring.submitter().register_buf_ring_with_flags(
                buffers.ring_address(),
                buffers.entries(),
                BUFFER_GROUP,
                0,
            )?;
        }
        Ok(Ring { uring, buffers })
    }

    /// The ring's descriptor, for other cores' doorbells.
    pub fn descriptor(&self) -> RawFd {
        self.uring.as_raw_fd()
    }

    /// Accepts connections on a listening socket until that fails.
    pub fn accept(&mut self, listener: u32, descriptor: RawFd) {
        let entry = opcode::AcceptMulti::new(types::Fd(descriptor))
            .flags(libc::SOCK_CLOEXEC)
            .build();
        self.push(entry.user_data(OP_ACCEPT << OP_SHIFT | u64::from(listener)));
    }

    /// Receives from a connection until it ends, fails, is cancelled, or buffers run out.
    pub fn receive(&mut self, connection: u32, descriptor: RawFd) {
        let entry = opcode::RecvMulti::new(types::Fd(descriptor), BUFFER_GROUP).build();
        self.push(entry.user_data(OP_RECEIVE << OP_SHIFT | u64::from(connection)));
    }

    /// Stops receiving from a connection; its last `Received` follows.
    pub fn stop_receiving(&mut self, connection: u32) {
        let entry =
            opcode::AsyncCancel::new(OP_RECEIVE << OP_SHIFT | u64::from(connection)).build();
        self.push(entry.user_data(OP_CANCEL << OP_SHIFT));
    }

    /// Tells once when a connection takes bytes again.
    pub fn await_writable(&mut self, connection: u32, descriptor: RawFd) {
        let entry = opcode::PollAdd::new(types::Fd(descriptor), libc::POLLOUT as u32).build();
        self.push(entry.user_data(OP_WRITABLE << OP_SHIFT | u64::from(connection)));
    }

    /// Wakes the core whose ring has this descriptor.
    pub fn ring_bell(&mut self, ring: RawFd) {
        let entry = opcode::MsgRingData::new(types::Fd(ring), 0, OP_BELL << OP_SHIFT, None).build();
        // A bell that was heard needs no completion here.
        let entry = entry
            .flags(squeue::Flags::SKIP_SUCCESS)
            .user_data(OP_BELL_SENT << OP_SHIFT);
        self.push(entry);
    }

    fn push(&mut self, entry: squeue::Entry) {
        loop {
            // SAFETY: no entry points to memory of ours: buffers are provided through the registered ring, and
            // descriptors stay open until the last completion that names them.
            if unsafe { self.uring.submission().push(&entry) }.is_ok() {
                return;
            }
            self.enter();
        }
    }

    /// Hands entries to the kernel and lets it finish what is due. Returns without waiting; free when there is nothing to do.
    pub fn enter(&mut self) {
        let submission = self.uring.submission();
        if submission.is_empty() && !submission.taskrun() && !submission.cq_overflow() {
            return;
        }
        let count = submission.len() as u32;
        drop(submission);
        const GETEVENTS: u32 = 1;
        // SAFETY: no argument is passed, and the entries were checked when they were pushed.
        let entered = unsafe {
            self.uring
                .submitter()
                .enter::<libc::sigset_t>(count, 0, GETEVENTS, None)
        };
        if let Err(error) = entered {
            let passing = matches!(
                error.raw_os_error(),
                Some(libc::EINTR | libc::EAGAIN | libc::EBUSY)
            );
            assert!(passing, "io_uring_enter failed: {error}");
        }
    }

    /// Hands entries to the kernel and sleeps until something completes, a bell is rung, or `at_most` has passed.
    pub fn wait(&mut self, at_most: Duration) {
        let timeout = types::Timespec::from(at_most);
        let waited = self
            .uring
            .submitter()
            .submit_with_args(1, &types::SubmitArgs::new().timespec(&timeout));
        if let Err(error) = waited {
            let passing = [libc::ETIME, libc::EINTR, libc::EAGAIN, libc::EBUSY];
            let is_passing = error
                .raw_os_error()
                .is_some_and(|errno| passing.contains(&errno));
            assert!(is_passing, "io_uring_enter failed: {error}");
        }
    }

    /// Whether nothing has completed and nothing waits to be completed.
    pub fn is_quiet(&mut self) -> bool {
        self.uring.completion().is_empty() && !self.uring.submission().taskrun()
    }

    /// Takes what has completed, oldest first.
    pub fn events(&mut self, events: &mut Vec<Event>) {
        for entry in self.uring.completion() {
            events.push(event(entry.user_data(), entry.result(), entry.flags()));
        }
    }

    /// The bytes of a provided buffer.
    pub fn bytes(&self, buffer: u16, len: usize) -> &[u8] {
        self.buffers.bytes(buffer, len)
    }

    /// Gives a provided buffer back to the kernel.
    pub fn recycle(&mut self, buffer: u16) {
        self.buffers.recycle(buffer);
    }
}

fn event(user_data: u64, result: i32, flags: u32) -> Event {
    let place = user_data as u32;
    let armed = cqueue::more(flags);
    match user_data >> OP_SHIFT {
        OP_ACCEPT => Event::Accepted {
            listener: place,
            result: accepted(result),
            armed,
        },
        OP_RECEIVE => Event::Received {
            connection: place,
            result,
            buffer: cqueue::buffer_select(flags),
            armed,
        },
        OP_WRITABLE => Event::Writable { connection: place },
        _ => Event::Nothing,
    }
}

fn accepted(result: i32) -> Result<OwnedFd, i32> {
    if result < 0 {
        return Err(-result);
    }
    // SAFETY: the kernel has just made this descriptor for us, and this completion is the only one that names it.
    Ok(unsafe { OwnedFd::from_raw_fd(result) })
}
