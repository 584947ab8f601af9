//! Owns what can be read about a server process from outside: CPU, memory, waiting.
//! Never here: starting or ending it, or anything it says about itself.
//! Source: proc(5), Documentation/scheduler/sched-stats.rst (run-queue delay).

use std::fs;
use std::io;

use crate::sys;

/// A running process, by its number.
#[derive(Clone, Copy)]
pub struct Process {
    /// Process number.
    pub pid: u32,
}

/// What a process has used up to one moment; windows are differences of two.
#[derive(Clone, Copy, Default)]
pub struct Usage {
    /// CPU nanoseconds of all threads, user and system.
    pub cpu_ns: u64,
    /// Nanoseconds its threads were ready to run while another ran.
    pub waited_ns: u64,
}

impl Usage {
    /// What was used after an earlier reading.
    pub fn since(self, earlier: Usage) -> Usage {
        Usage {
            cpu_ns: self.cpu_ns.saturating_sub(earlier.cpu_ns),
            waited_ns: self.waited_ns.saturating_sub(earlier.waited_ns),
        }
    }
}

impl Process {
    /// This process.
    pub fn own() -> Process {
        Process {
            pid: std::process::id(),
        }
    }

    /// CPU and run-queue delay of several up to now.
    pub fn usage_of(processes: &[Process]) -> io::Result<Usage> {
        let mut sum = Usage::default();
        for process in processes {
            let usage = process.usage()?;
            sum.cpu_ns += usage.cpu_ns;
            sum.waited_ns += usage.waited_ns;
        }
        Ok(sum)
    }

    /// CPU and run-queue delay up to now.
    pub fn usage(&self) -> io::Result<Usage> {
        Ok(Usage {
            cpu_ns: sys::process_cpu_ns(self.pid)?,
            waited_ns: self.waited_ns()?,
        })
    }

    /// Nanoseconds its threads were ready to run while another ran.
    pub fn waited_ns(&self) -> io::Result<u64> {
        let mut sum = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            // A thread may end between the listing and the reading.
            let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else {
                continue;
            };
            sum += text
                .split(' ')
                .nth(1)
                .and_then(|field| field.parse().ok())
                .unwrap_or(0);
        }
        Ok(sum)
    }

    /// Resident bytes, exact: the kernel walks the page tables, which may hold
    /// the process up, so not for use while stalls are measured.
    pub fn resident_bytes(&self) -> io::Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
        let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        kib.map(|kib| kib * 1024)
            .ok_or_else(|| io::Error::other("smaps_rollup has no Rss"))
    }
}

/// One line about the machine, to stand over the tables.
pub fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu_text = read("/proc/cpuinfo");
    let model = cpu_text
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or("?");
    let cores = cpu_text
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let huge_text = read("/sys/kernel/mm/transparent_hugepage/enabled");
    let huge = huge_text.split(['[', ']']).nth(1).unwrap_or("?");
    format!(
        "{} × {}, Linux {}, huge pages {huge}, load average {}",
        cores,
        model.trim_start_matches(['\t', ' ', ':']),
        read("/proc/sys/kernel/osrelease").trim(),
        read("/proc/loadavg").split(' ').next().unwrap_or("?"),
    )
}
