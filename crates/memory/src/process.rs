//! Owns the figures read once for the process: resident set, limits around it, start-up bytes, and the peak.
//! Never happens here: a figure of one shard, or a ratio.
//! Source: proc(5) for statm, smaps_rollup and meminfo; cgroups(7) for the limits of a container.

#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::heap;
use crate::pages::kernel_page_bytes;

/// Share of the machine's or container's memory that a limit chosen by itself takes, in percent.
/// The rest is for the page tables, socket buffers and the other processes of the machine.
pub const LIMIT_AUTO_PERCENT: u64 = 80;

/// Figures of the whole process, each read once for a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessMemory {
    /// Read once: resident set, in bytes; 0 where `/proc` cannot be read.
    pub resident_bytes: u64,
    /// Read once: the part of the resident set that belongs to files and shared memory.
    pub file_backed_bytes: u64,
    /// Read once: bytes allocated less those freed by threads that are no shard's. What shards
    /// hold they report themselves.
    pub heap_unsharded_bytes: i64,
    /// Read once: bytes of free blocks in heap pages that no thread holds.
    pub heap_abandoned_slack_bytes: u64,
    /// Read once: bytes allocated when the start was complete.
    pub startup_bytes: u64,
    /// Read once: the largest total ever seen.
    pub peak_bytes: u64,
}

impl ProcessMemory {
    /// Reads all figures, in a few microseconds.
    pub fn read() -> ProcessMemory {
        let Resident {
            resident_bytes,
            file_backed_bytes,
        } = resident();
        ProcessMemory {
            resident_bytes,
            file_backed_bytes,
            heap_unsharded_bytes: heap::unsharded_allocated_bytes(),
            heap_abandoned_slack_bytes: heap::abandoned_areas().slack_bytes(),
            startup_bytes: startup_allocated_bytes(),
            peak_bytes: peak_bytes(),
        }
    }
}

/// The resident set of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resident {
    /// All of it, in bytes.
    pub resident_bytes: u64,
    /// What of it belongs to files and shared memory, in bytes.
    pub file_backed_bytes: u64,
}

/// Reads the resident set, by one read of a descriptor that stays open. All zero without `/proc`.
pub fn resident() -> Resident {
    static STATM: OnceLock<Option<File>> = OnceLock::new();
    let Some(statm) = STATM.get_or_init(|| File::open("/proc/self/statm").ok()) else {
        return Resident::default();
    };
    // Seven decimal numbers.
    let mut text = [0u8; 160];
    let len = statm.read_at(&mut text, 0).unwrap_or(0);
    parse_statm(&text[..len], kernel_page_bytes()).unwrap_or_default()
}

fn parse_statm(text: &[u8], page_bytes: u64) -> Option<Resident> {
    let text = std::str::from_utf8(text).ok()?;
    let mut columns = text.split_ascii_whitespace().skip(1);
    let resident_pages: u64 = columns.next()?.parse().ok()?;
    let shared_pages: u64 = columns.next()?.parse().ok()?;
    Some(Resident {
        resident_bytes: resident_pages * page_bytes,
        file_backed_bytes: shared_pages * page_bytes,
    })
}

/// What `smaps_rollup` says in detail, in bytes. Walks the page tables of the process: for reports
/// on demand, never for a tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResidentDetail {
    /// Resident set.
    pub resident_bytes: u64,
    /// Proportional set: shared pages divided by who shares them.
    pub proportional_bytes: u64,
    /// Anonymous memory: heap, slab, stacks.
    pub anonymous_bytes: u64,
    /// Pages of this process alone that differ from their file, or have none.
    pub private_dirty_bytes: u64,
    /// Anonymous memory in huge pages.
    pub huge_bytes: u64,
    /// Swapped out.
    pub swapped_bytes: u64,
}

/// Reads the detail of the resident set.
///
/// # Errors
/// When `/proc/self/smaps_rollup` cannot be read (a kernel before 4.14, or no `/proc`).
pub fn resident_detail() -> io::Result<ResidentDetail> {
    Ok(parse_rollup(&fs::read_to_string(
        "/proc/self/smaps_rollup",
    )?))
}

fn parse_rollup(text: &str) -> ResidentDetail {
    let bytes_of = |name| kib_line(text, name).unwrap_or(0);
    ResidentDetail {
        resident_bytes: bytes_of("Rss:"),
        proportional_bytes: bytes_of("Pss:"),
        anonymous_bytes: bytes_of("Anonymous:"),
        private_dirty_bytes: bytes_of("Private_Dirty:"),
        huge_bytes: bytes_of("AnonHugePages:"),
        swapped_bytes: bytes_of("Swap:"),
    }
}

/// The bytes of a line `Name:   123 kB`.
fn kib_line(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number = line.split_ascii_whitespace().next()?;
    number.parse::<u64>().ok()?.checked_mul(1024)
}

/// Memory of the machine in bytes; `None` without `/proc/meminfo`.
pub fn machine_memory_bytes() -> Option<u64> {
    kib_line(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")
}

/// A memory limit that the system sets around this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerLimit {
    /// The limit.
    pub bytes: u64,
    /// The file that says so.
    pub source: PathBuf,
}

/// The lowest memory limit of the control groups this process is in; `None` when there is none.
///
/// Both versions of control groups are asked, each group and every group above it.
pub fn container_limit() -> Option<ContainerLimit> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    container_limit_in(&groups, &mounts, |path| fs::read_to_string(path).ok())
}

fn container_limit_in(
    groups: &str,
    mounts: &str,
    read: impl Fn(&Path) -> Option<String>,
) -> Option<ContainerLimit> {
    let mut lowest: Option<ContainerLimit> = None;
    for group in groups.lines() {
        // hierarchy:controllers:path
        let mut columns = group.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (columns.next(), columns.next()) else {
            continue;
        };
        let (kind, file) = if controllers.is_empty() {
            (GroupKind::Unified, "memory.max")
        } else if controllers.split(',').any(|name| name == "memory") {
            (GroupKind::Memory, "memory.limit_in_bytes")
        } else {
            continue;
        };
        let Some((mount_point, mount_root)) = mount_of(mounts, kind) else {
            continue;
        };
        // Inside a container the mount may show only a subtree of the hierarchy.
        let below = Path::new(path)
            .strip_prefix(&mount_root)
            .or_else(|_| Path::new(path).strip_prefix("/"))
            .unwrap_or(Path::new(""));
        let mut directory = mount_point.join(below);
        while directory.starts_with(&mount_point) {
            let source = directory.join(file);
            let bytes = read(&source).and_then(|text| parse_limit(&text));
            if let Some(bytes) = bytes
                && lowest.as_ref().is_none_or(|limit| bytes < limit.bytes)
            {
                lowest = Some(ContainerLimit { bytes, source });
            }
            if !directory.pop() {
                break;
            }
        }
    }
    lowest
}

#[derive(Clone, Copy, PartialEq)]
enum GroupKind {
    /// Version 2: one hierarchy of all controllers.
    Unified,
    /// Version 1: the hierarchy of the memory controller.
    Memory,
}

/// Where a hierarchy is mounted, and which of its groups shows there as the root.
fn mount_of(mounts: &str, kind: GroupKind) -> Option<(PathBuf, PathBuf)> {
    mounts.lines().find_map(|line| {
        let (place, system) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3);
        let root = place.next()?;
        let point = place.next()?;
        let mut system = system.split(' ');
        let system_kind = system.next()?;
        let options = system.nth(1).unwrap_or("");
        let wanted = match kind {
            GroupKind::Unified => system_kind == "cgroup2",
            GroupKind::Memory => {
                system_kind == "cgroup" && options.split(',').any(|option| option == "memory")
            }
        };
        wanted.then(|| (PathBuf::from(point), PathBuf::from(root)))
    })
}

/// Version 1 says "no limit" as the largest number of whole pages; anything near it is that.
const V1_UNLIMITED_BYTES: u64 = 1 << 62;

fn parse_limit(text: &str) -> Option<u64> {
    let bytes: u64 = text.trim().parse().ok()?;
    (bytes < V1_UNLIMITED_BYTES).then_some(bytes)
}

/// The limit an instance takes when told to choose one, and the reason in words for the log.
///
/// 80 % of the container's limit or the machine's memory, whichever is smaller; 0 (no limit) when
/// neither can be read.
pub fn memory_limit_auto() -> (u64, String) {
    limit_auto_of(container_limit(), machine_memory_bytes())
}

fn limit_auto_of(container: Option<ContainerLimit>, machine: Option<u64>) -> (u64, String) {
    let (bytes, of) = match (container, machine) {
        (Some(limit), machine) if machine.is_none_or(|machine| limit.bytes < machine) => (
            limit.bytes,
            format!(
                "the container's limit of {} bytes ({})",
                limit.bytes,
                limit.source.display()
            ),
        ),
        (_, Some(machine)) => (machine, format!("the machine's memory of {machine} bytes")),
        (_, None) => {
            let reason = "no limit: neither a container's limit nor the machine's memory is known";
            return (0, reason.to_owned());
        }
    };
    // In this order nothing overflows, and the hundredth lost is a few bytes.
    let limit_bytes = bytes / 100 * LIMIT_AUTO_PERCENT;
    (limit_bytes, format!("{LIMIT_AUTO_PERCENT} % of {of}"))
}

static STARTUP_BYTES: AtomicU64 = AtomicU64::new(0);
static PEAK_BYTES: AtomicU64 = AtomicU64::new(0);

/// Records that the start is complete: what is allocated now is there before any data. Only the
/// first call counts.
pub fn mark_startup() {
    let bytes = heap::process_allocated_bytes();
    let _first = STARTUP_BYTES.compare_exchange(0, bytes, Ordering::Relaxed, Ordering::Relaxed);
}

/// Bytes that were allocated when the start was complete; 0 before that.
pub fn startup_allocated_bytes() -> u64 {
    STARTUP_BYTES.load(Ordering::Relaxed)
}

/// Lifts the peak to `used_bytes` if that is more, and returns the peak. Called on a tick, and
/// whenever a report is taken, so that no report shows a peak below its total.
pub fn lift_peak(used_bytes: u64) -> u64 {
    PEAK_BYTES
        .fetch_max(used_bytes, Ordering::Relaxed)
        .max(used_bytes)
}

/// The largest total ever seen, in bytes.
pub fn peak_bytes() -> u64 {
    PEAK_BYTES.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn the_resident_set_of_this_process_is_plausible() {
        let figures = resident();
        assert!(figures.resident_bytes > 100 * 1024);
        assert!(figures.file_backed_bytes < figures.resident_bytes);
        assert_eq!(figures.resident_bytes % 4096, 0);
    }

    #[test]
    fn touching_memory_shows_in_the_resident_set_again_and_again() {
        let before = resident().resident_bytes;
        let block = vec![1u8; 64 << 20];
        let after = resident().resident_bytes;
        // The kernel batches its counters, so a few MiB may be missing; other tests run too.
        assert!(after >= before + (32 << 20), "{before} then {after}");
        drop(std::hint::black_box(block));
    }

    #[test]
    fn the_detail_agrees_with_the_resident_set() {
        let detail = resident_detail().unwrap();
        assert!(detail.resident_bytes > 0);
        assert!(detail.anonymous_bytes <= detail.resident_bytes);
    }

    #[test]
    fn statm_is_read_by_columns() {
        let figures = parse_statm(b"1000 300 40 5 0 60 0\n", 4096).unwrap();
        assert_eq!(figures.resident_bytes, 300 * 4096);
        assert_eq!(figures.file_backed_bytes, 40 * 4096);
        assert!(parse_statm(b"", 4096).is_none());
        assert!(parse_statm(b"1000 x", 4096).is_none());
    }

    #[test]
    fn a_rollup_is_read_by_names() {
        let text = "55e-7ff ---p 0 0:0 0 [rollup]\nRss:      900 kB\nPss:  800 kB\n\
                    Pss_Anon: 1 kB\nPrivate_Dirty:  500 kB\nAnonymous: 600 kB\n\
                    AnonHugePages: 2048 kB\nSwap:  7 kB\nSwapPss: 3 kB\n";
        let detail = parse_rollup(text);
        assert_eq!(detail.resident_bytes, 900 << 10);
        assert_eq!(detail.proportional_bytes, 800 << 10);
        assert_eq!(detail.private_dirty_bytes, 500 << 10);
        assert_eq!(detail.anonymous_bytes, 600 << 10);
        assert_eq!(detail.huge_bytes, 2 << 20);
        assert_eq!(detail.swapped_bytes, 7 << 10);
    }

    #[test]
    fn the_machine_has_memory() {
        assert!(machine_memory_bytes().unwrap() > 100 << 20);
    }

    const MOUNTS_V2: &str = "25 30 0:23 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n\
                             30 1 8:1 / / rw - ext4 /dev/sda1 rw\n";

    fn files<'a>(known: &'a [(&'a str, &'a str)]) -> impl Fn(&Path) -> Option<String> + 'a {
        move |path| {
            let text = known.iter().find(|(name, _)| Path::new(name) == path)?.1;
            Some(format!("{text}\n"))
        }
    }

    #[test]
    fn the_lowest_limit_on_the_way_to_the_root_counts() {
        let known = [
            ("/sys/fs/cgroup/a/b/c/memory.max", "max"),
            ("/sys/fs/cgroup/a/b/memory.max", "3000000"),
            ("/sys/fs/cgroup/a/memory.max", "2000000"),
        ];
        let limit = container_limit_in("0::/a/b/c\n", MOUNTS_V2, files(&known)).unwrap();
        assert_eq!(limit.bytes, 2_000_000);
        assert_eq!(limit.source, Path::new("/sys/fs/cgroup/a/memory.max"));
    }

    #[test]
    fn no_limit_anywhere_is_none() {
        let known = [("/sys/fs/cgroup/a/memory.max", "max")];
        assert_eq!(
            container_limit_in("0::/a\n", MOUNTS_V2, files(&known)),
            None
        );
        assert_eq!(container_limit_in("", "", files(&[])), None);
    }

    #[test]
    fn a_container_that_sees_itself_as_the_root_finds_its_limit() {
        let known = [("/sys/fs/cgroup/memory.max", "536870912")];
        let limit = container_limit_in("0::/\n", MOUNTS_V2, files(&known)).unwrap();
        assert_eq!(limit.bytes, 512 << 20);
        // Without a namespace of its own, the path is that of the host and the mount a subtree.
        let mounts = "25 30 0:23 /docker/xyz /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
        let limit = container_limit_in("0::/docker/xyz\n", mounts, files(&known)).unwrap();
        assert_eq!(limit.bytes, 512 << 20);
    }

    #[test]
    fn version_1_limits_are_found_and_its_unlimited_is_none() {
        let mounts = "40 30 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      41 30 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let groups = "5:cpu:/x\n4:hugetlb,memory:/lxc/one\n";
        let known = [
            (
                "/sys/fs/cgroup/memory/lxc/one/memory.limit_in_bytes",
                "1073741824",
            ),
            (
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "9223372036854771712",
            ),
        ];
        let limit = container_limit_in(groups, mounts, files(&known)).unwrap();
        assert_eq!(limit.bytes, GIB);
        assert_eq!(container_limit_in(groups, mounts, files(&known[1..])), None);
    }

    #[test]
    fn the_limit_chosen_by_itself_is_of_the_smaller_and_says_why() {
        let container = |bytes| {
            Some(ContainerLimit {
                bytes,
                source: PathBuf::from("/sys/fs/cgroup/memory.max"),
            })
        };
        let (bytes, reason) = limit_auto_of(container(GIB), Some(4 * GIB));
        assert_eq!(bytes, GIB / 100 * 80);
        assert!(
            reason.contains("container") && reason.contains("memory.max"),
            "{reason}"
        );
        let (bytes, reason) = limit_auto_of(container(8 * GIB), Some(4 * GIB));
        assert_eq!(bytes, 4 * GIB / 100 * 80);
        assert!(reason.contains("machine"), "{reason}");
        assert_eq!(limit_auto_of(None, Some(GIB)).0, GIB / 100 * 80);
        assert_eq!(limit_auto_of(container(GIB), None).0, GIB / 100 * 80);
        assert_eq!(limit_auto_of(None, None).0, 0);
        assert!(memory_limit_auto().0 > 0);
    }

    #[test]
    fn the_peak_only_rises_and_the_first_start_counts() {
        let first = lift_peak(1000);
        assert!(first >= 1000);
        assert!(lift_peak(10) >= first);
        assert_eq!(peak_bytes().max(1000), peak_bytes());

        let (held, _) = heap::alloc_block(100_000);
        mark_startup();
        let marked = startup_allocated_bytes();
        assert!(marked > 0);
        let (more, _) = heap::alloc_block(100_000);
        mark_startup();
        assert_eq!(startup_allocated_bytes(), marked);
        for block in [held, more] {
            std::hint::black_box(block);
        }
    }
}
