//! What this process uses, for its metrics, and whether it depends on a terminal.

use std::fs;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};

use super::proc_fs::{Stat, Units};

/// What this process uses and may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ThisProcess {
    /// The CPU time that it has used.
    pub(crate) cpu: Duration,
    /// Its resident memory in bytes.
    pub(crate) resident: u64,
    /// Its address space in bytes.
    pub(crate) address_space: u64,
    /// The limit on it; `u64::MAX` if there is none.
    pub(crate) max_address_space: u64,
    /// Its open files.
    pub(crate) open_files: u64,
    /// The limit on them; `u64::MAX` if there is none.
    pub(crate) max_open_files: u64,
    /// When it was started, since 1970.
    pub(crate) started: Duration,
}

/// Reads three small files and a folder; `None` if `/proc` lacks any of them.
pub(crate) fn read() -> Option<ThisProcess> {
    let units = Units::get();
    let stat = Stat::read("self")?;
    let boot = boot_time(&fs::read_to_string("/proc/stat").ok()?)?;
    // Reading the folder takes a descriptor itself.
    let open_files = fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
    Some(ThisProcess {
        cpu: units.time(stat.cpu),
        resident: units.bytes(stat.resident),
        address_space: stat.address_space,
        max_address_space: soft_limit(Resource::RLIMIT_AS),
        open_files: open_files as u64,
        max_open_files: soft_limit(Resource::RLIMIT_NOFILE),
        started: boot + units.time(stat.started),
    })
}

/// Whether it has a controlling terminal. It has none any more when that has been closed.
pub(crate) fn has_terminal() -> bool {
    fs::File::open("/dev/tty").is_ok()
}

/// Whether SIGHUP is ignored, as with `nohup`. Source: proc(5), the bit 0 of `SigIgn` is signal 1.
pub(crate) fn ignores_hangup() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

/// When the system was started, since 1970. Source: proc(5), `btime` of `/proc/stat`, in seconds.
fn boot_time(stat: &str) -> Option<Duration> {
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok().map(Duration::from_secs)
}

/// Source: getrlimit(2); `RLIM_INFINITY` is `u64::MAX`.
fn soft_limit(resource: Resource) -> u64 {
    getrlimit(resource).map_or(u64::MAX, |(soft, _)| soft)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn this_process_uses_something_and_was_started_in_the_past() {
        let before = read().unwrap();
        assert!(before.resident > 0 && before.address_space > before.resident, "{before:?}");
        assert!(before.open_files >= 3 && before.open_files < before.max_open_files, "{before:?}");
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        // The clock may have been set since; a day is more than that.
        assert!(before.started < now + Duration::from_hours(24), "{before:?}");
        assert!(before.started + Duration::from_hours(24) > now, "{before:?}");
    }

    #[test]
    fn the_boot_time_is_found_among_other_lines() {
        let boot = boot_time("cpu 1 2\nbtime 1700000000\nprocesses 3\n");
        assert_eq!(boot, Some(Duration::from_secs(1_700_000_000)));
        assert_eq!(boot_time("cpu 1 2\n"), None);
    }
}
