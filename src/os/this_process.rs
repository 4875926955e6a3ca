//! What this process itself uses, for its metrics.

use std::fs;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};

use super::proc_fs::Units;

/// What this process uses and may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ThisProcess {
    /// The CPU time that it has used.
    pub(crate) cpu: Duration,
    /// Its resident memory in bytes.
    pub(crate) resident: u64,
    /// Its address space in bytes.
    pub(crate) address_space: u64,
    /// How large that may become; `u64::MAX` is no limit.
    pub(crate) max_address_space: u64,
    /// Its open files.
    pub(crate) open_files: u64,
    /// How many of these there may be; `u64::MAX` is no limit.
    pub(crate) max_open_files: u64,
    /// When it was started, since 1970.
    pub(crate) started: Duration,
}

/// Reads three small files and a folder; `None` when `/proc` does not tell.
pub(crate) fn read() -> Option<ThisProcess> {
    let units = Units::ask();
    let stat = Stat::parse(&fs::read_to_string("/proc/self/stat").ok()?)?;
    let boot = boot_time(&fs::read_to_string("/proc/stat").ok()?)?;
    // The folder that is being read is open as well, and no longer when the number is told.
    let open_files = fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
    Some(ThisProcess {
        cpu: units.time(stat.ticks),
        resident: stat.resident_pages.saturating_mul(units.page),
        address_space: stat.address_space,
        max_address_space: soft_limit(Resource::RLIMIT_AS),
        open_files: open_files as u64,
        max_open_files: soft_limit(Resource::RLIMIT_NOFILE),
        started: boot + units.time(stat.started),
    })
}

#[derive(Debug, PartialEq, Eq)]
struct Stat {
    ticks: u64,
    started: u64,
    address_space: u64,
    resident_pages: u64,
}

impl Stat {
    /// Source: proc(5): behind the last parenthesis utime and stime are the 12th and 13th field, starttime is the 20th, vsize the 21st, rss
    /// the 22nd.
    fn parse(stat: &str) -> Option<Self> {
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(Self {
            ticks: number(11)?.saturating_add(number(12)?),
            started: number(19)?,
            address_space: number(20)?,
            resident_pages: number(21)?,
        })
    }
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
    fn fields_are_counted_behind_the_name() {
        let stat = "7 (a) b)) S 1 42 7 0 -1 0 0 0 0 0 150 50 0 0 20 0 1 0 5 1000000 3 18446744073709551615";
        let expected = Stat { ticks: 200, started: 5, address_space: 1_000_000, resident_pages: 3 };
        assert_eq!(Stat::parse(stat), Some(expected));
        assert_eq!(Stat::parse("7 (a) S 1"), None);
        assert_eq!(
            boot_time("cpu 1 2\nbtime 1700000000\nprocesses 3\n"),
            Some(Duration::from_secs(1_700_000_000))
        );
        assert_eq!(boot_time("cpu 1 2\n"), None);
    }
}
