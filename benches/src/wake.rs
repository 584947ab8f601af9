//! Owns what the machine takes for waking a core that sleeps, apart from any server.
//! Never here: a server, or a figure of one.
//! Source: two pinned threads and a pipe; the sleeper's CPU by CLOCK_THREAD_CPUTIME_ID.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::sys;

/// Wakes that are measured.
const WAKES: u32 = 3000;
/// Long enough for a core without work to be put to sleep.
const BETWEEN_WAKES: Duration = Duration::from_micros(150);

/// What one wake takes, in microseconds.
pub struct Cost {
    /// Of the one who wakes: the length of its system call.
    pub waker_us: f64,
    /// Of the one who sleeps and is woken.
    pub sleeper_us: f64,
}

/// Wakes a thread that sleeps on `sleeper_core` from `waker_core` again and again.
pub fn cost(waker_core: usize, sleeper_core: usize) -> io::Result<Cost> {
    let (mut bed, mut bell) = io::pipe()?;
    let awake = AtomicU32::new(0);
    std::thread::scope(|scope| {
        let sleeper = scope.spawn(|| -> io::Result<u64> {
            sys::pin_thread(&[sleeper_core])?;
            let before_ns = sys::thread_cpu_ns()?;
            for wake in 1..=WAKES {
                bed.read_exact(&mut [0])?;
                awake.store(wake, Ordering::Release);
            }
            Ok(sys::thread_cpu_ns()? - before_ns)
        });
        sys::pin_thread(&[waker_core])?;
        let mut waker_time = Duration::ZERO;
        for wake in 1..=WAKES {
            let until = Instant::now() + BETWEEN_WAKES;
            while Instant::now() < until {
                std::hint::spin_loop();
            }
            let started = Instant::now();
            bell.write_all(&[0])?;
            waker_time += started.elapsed();
            while awake.load(Ordering::Acquire) < wake && !sleeper.is_finished() {
                std::hint::spin_loop();
            }
        }
        let sleeper_ns = sleeper
            .join()
            .map_err(|_| io::Error::other("the sleeping thread failed"))??;
        Ok(Cost {
            waker_us: waker_time.as_secs_f64() * 1e6 / f64::from(WAKES),
            sleeper_us: sleeper_ns as f64 / 1e3 / f64::from(WAKES),
        })
    })
}
