//! Limits of the process: processors, descriptors, locked memory.
//! Raises soft limits as far as the system allows; never lowers one.
//! See getrlimit(2) and sched_getaffinity(2).

use nix::{
    sched::{CpuSet, sched_getaffinity},
    sys::resource::{Resource, getrlimit, setrlimit},
    unistd::Pid,
};

/// The processors this process may run on, in order; at least one.
pub fn allowed_processors() -> Vec<usize> {
    let allowed: Vec<usize> = match sched_getaffinity(Pid::from_raw(0)) {
        Ok(set) => (0..CpuSet::count())
            .filter(|&processor| set.is_set(processor).unwrap_or(false))
            .collect(),
        Err(_) => Vec::new(),
    };
    if allowed.is_empty() { vec![0] } else { allowed }
}

/// Raises the soft limit of descriptors to `wanted`, as far as the hard limit goes (a privileged process raises that
/// too); answers what is allowed now.
pub fn raise_descriptors(wanted: u64) -> u64 {
    raise(Resource::RLIMIT_NOFILE, wanted)
}

/// Raises the soft limit of locked memory, which rings are charged to on some systems.
pub fn allow_locked_memory() {
    let Ok((_, hard)) = getrlimit(Resource::RLIMIT_MEMLOCK) else {
        return;
    };
    raise(Resource::RLIMIT_MEMLOCK, hard);
}

fn raise(resource: Resource, wanted: u64) -> u64 {
    let Ok((soft, hard)) = getrlimit(resource) else {
        return 0;
    };
    if soft >= wanted {
        return soft;
    }
    if wanted > hard && setrlimit(resource, wanted, wanted).is_ok() {
        return wanted;
    }
    let reachable = wanted.min(hard);
    if setrlimit(resource, reachable, hard).is_ok() {
        reachable
    } else {
        soft
    }
}
