//! The little of `/proc` that is needed: who is whose child, and what processes use.

use std::fs;
use std::sync::LazyLock;
use std::time::Duration;

/// What one process uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its process group.
    pub(crate) group: u32,
    /// Its resident memory in bytes.
    pub(crate) resident: u64,
    /// The CPU time that it has used.
    pub(crate) cpu: Duration,
}

/// All processes that can be seen. Reads one small file for each.
pub(crate) fn processes() -> Vec<Process> {
    let units = Units::ask();
    all_pids()
        .filter_map(|pid| parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?, units))
        .collect()
}

/// The pids of all processes that can be seen.
pub(crate) fn all_pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The children of a process, those that have ended and are not reaped included. Reads one small file for each of its threads; on a kernel
/// without these files (`CONFIG_PROC_CHILDREN`), one for each process of the system.
pub(super) fn children(pid: u32) -> Vec<u32> {
    static HAS_FILES: LazyLock<bool> = LazyLock::new(|| {
        let own = std::process::id();
        fs::exists(format!("/proc/{own}/task/{own}/children")).unwrap_or(false)
    });
    if !*HAS_FILES {
        return all_pids()
            .filter(|child| parent_and_group(*child).is_some_and(|(parent, _)| parent == pid))
            .collect();
    }
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// The environment of a process as it was started, its entries separated by zeros; `None` when there is no such process, or it is not for
/// us to see.
pub(super) fn environment(pid: u32) -> Option<Vec<u8>> {
    fs::read(format!("/proc/{pid}/environ")).ok()
}

/// The units of `/proc/PID/stat`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Units {
    /// Bytes per page.
    pub(super) page: u64,
    ticks_per_second: u64,
}

impl Units {
    pub(super) fn ask() -> Self {
        // SAFETY: asks for two constants of the system.
        let (page, ticks) = unsafe { (libc::sysconf(libc::_SC_PAGESIZE), libc::sysconf(libc::_SC_CLK_TCK)) };
        let positive = |number: libc::c_long, usual| u64::try_from(number).unwrap_or(usual).max(1);
        Self { page: positive(page, 4096), ticks_per_second: positive(ticks, 100) }
    }

    /// How long so many ticks are.
    pub(super) fn time(self, ticks: u64) -> Duration {
        Duration::from_millis(ticks.saturating_mul(1000) / self.ticks_per_second)
    }
}

/// Source: proc(5): behind the last parenthesis `state ppid pgrp ...`, with utime and stime as the 12th and 13th field there, and rss, in
/// pages, as the 22nd.
fn parse(stat: &str, units: Units) -> Option<Process> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let ticks = number(11)?.saturating_add(number(12)?);
    Some(Process {
        group: fields.get(2)?.parse().ok()?,
        resident: number(21)?.saturating_mul(units.page),
        cpu: units.time(ticks),
    })
}

/// The parent and the group of a process, from `/proc/PID/stat`; `None` when there is no such process.
///
/// Source: proc(5): `pid (comm) state ppid pgrp ...`; `comm` may hold blanks and parentheses, so reading starts behind the last one.
pub(crate) fn parent_and_group(pid: u32) -> Option<(u32, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(1);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// When a process was started, in the kernel's own unit; `None` when there is no such process, or it has ended and is not reaped.
///
/// Source: proc(5): `starttime` is the 20th field behind the last parenthesis, the state the first one.
pub(crate) fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    if matches!(*fields.first()?, "Z" | "X") { None } else { fields.get(19)?.parse().ok() }
}

/// Whether `pid` is `ancestor` itself, a descendant of it, or a member of the group that it leads.
pub(crate) fn belongs_to(pid: u32, ancestor: u32) -> bool {
    lineage(pid).contains(&ancestor)
}

/// All to whom a process belongs: itself, its ancestors but for init, and the leaders of their groups; nearest first.
///
/// Groups count because a wrapper that has exited leaves its children to init: the chain of parents is broken, the group is not.
pub(crate) fn lineage(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut current = pid;
    // The depth is bounded so that pids that are reused while we walk cannot make a circle.
    for _ in 0..64 {
        let Some((parent, group)) = parent_and_group(current) else { break };
        found.push(group);
        if parent <= 1 {
            break;
        }
        found.push(parent);
        current = parent;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_belongs_to_itself_and_to_its_parent() {
        let own = std::process::id();
        assert!(belongs_to(own, own));
        let (parent, _) = parent_and_group(own).unwrap();
        assert!(parent <= 1 || belongs_to(own, parent));
    }

    #[test]
    fn what_a_process_uses_is_read_behind_its_name() {
        let units = Units { page: 4096, ticks_per_second: 100 };
        let stat = "7 (a) b)) S 1 42 7 0 -1 0 0 0 0 0 150 50 0 0 20 0 1 0 5 1000000 3 18446744073709551615";
        let parsed = parse(stat, units).unwrap();
        assert_eq!(parsed, Process { group: 42, resident: 3 * 4096, cpu: Duration::from_secs(2) });
        assert_eq!(parse("7 (a) S 1", units), None);
        assert!(processes().iter().any(|process| process.resident > 0));
    }

    #[test]
    fn a_stranger_belongs_to_nobody() {
        assert!(!belongs_to(1, std::process::id()));
        assert!(!belongs_to(u32::MAX, std::process::id()));
    }
}
