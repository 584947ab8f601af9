//! Owns the few system calls that the standard library does not offer.
//! Never here: a measurement, a socket, or a decision.
//! Source: clock_getcpuclockid(3), sched_setaffinity(2), sched(7), prctl(2).

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

fn checked(result: libc::c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// CPU nanoseconds that all threads of the process have used, ended ones too,
/// exact to the moment of the call.
pub fn process_cpu_ns(pid: u32) -> io::Result<u64> {
    let mut clock: libc::clockid_t = 0;
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: both out-pointers refer to live locals of the right type.
    let error = unsafe { libc::clock_getcpuclockid(pid as libc::pid_t, &mut clock) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    // SAFETY: as above; the clock id was written by the call before.
    checked(unsafe { libc::clock_gettime(clock, &mut time) })?;
    Ok(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// CPU nanoseconds of the calling thread.
pub fn thread_cpu_ns() -> io::Result<u64> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the out-pointer refers to a live local of the right type.
    checked(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) })?;
    Ok(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// Cores this thread may run on.
pub fn allowed_cores() -> io::Result<Vec<usize>> {
    // SAFETY: a cpu_set_t is plain bits; all zero is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is a live local and its size is what is passed.
    checked(unsafe { libc::sched_getaffinity(0, size_of_val(&set), &mut set) })?;
    let all = 0..libc::CPU_SETSIZE as usize;
    // SAFETY: CPU_ISSET reads one bit inside the set, the index is in range.
    Ok(all
        .filter(|&core| unsafe { libc::CPU_ISSET(core, &set) })
        .collect())
}

/// Binds the calling thread to these cores.
pub fn pin_thread(cores: &[usize]) -> io::Result<()> {
    // SAFETY: a cpu_set_t is plain bits; all zero is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for &core in cores {
        assert!(core < libc::CPU_SETSIZE as usize);
        // SAFETY: the index was checked to lie inside the set.
        unsafe { libc::CPU_SET(core, &mut set) };
    }
    // SAFETY: the set is a live local and its size is what is passed.
    checked(unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) })
}

/// Asks for real-time priority, so that a probe is not itself what is late.
/// Answers whether the system allowed it.
pub fn real_time_thread() -> bool {
    let priority = libc::sched_param { sched_priority: 1 };
    // SAFETY: the parameter is a live local; 0 names the calling thread.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &priority) == 0 }
}

/// Asks the process to end (SIGTERM). Only for a child that we started and
/// have not waited for, so that its number cannot have passed to another.
pub fn terminate(pid: u32) -> io::Result<()> {
    // SAFETY: kill has no memory effects in this process.
    checked(unsafe { libc::kill(pid as libc::pid_t, libc::SIGTERM) })
}

/// Makes the child end when this thread ends, however it ends.
pub fn end_with_parent(command: &mut Command) {
    // SAFETY: prctl is async-signal-safe and touches nothing of the parent.
    unsafe {
        command.pre_exec(|| {
            checked(libc::prctl(
                libc::PR_SET_PDEATHSIG,
                libc::SIGKILL as libc::c_ulong,
            ))
        });
    }
}

/// Raises the soft limit of open files to the hard one; answers the limit.
pub fn raise_open_files() -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the struct is a live local of the right type.
    checked(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: as above.
    checked(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) })?;
    Ok(limit.rlim_cur)
}

/// Makes closing the socket send a reset, so that no port waits afterwards.
pub fn reset_on_close(fd: i32) -> io::Result<()> {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    let pointer = (&raw const linger).cast();
    let bytes = size_of_val(&linger) as libc::socklen_t;
    // SAFETY: the pointer and length describe a live local.
    checked(unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, pointer, bytes) })
}
