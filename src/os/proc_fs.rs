//! The little of `/proc` that is needed: who is whose child, and what processes use.
//!
//! By hand: the crate `procfs` would replace [`Stat`] and [`Units`], some forty lines, at the price of three more crates.

use std::fmt;
use std::fs;
use std::sync::LazyLock;
use std::time::Duration;

use nix::sys::signal::Signal;

/// What `/proc/PID/stat` says about a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    /// `S`, `R`, `Z` and so on.
    state: char,
    parent: u32,
    group: u32,
    /// CPU time in user and kernel mode, in [`Units`].
    pub(super) cpu: u64,
    /// When it was started, in ticks since boot.
    pub(super) started: u64,
    /// Bytes of address space.
    pub(super) address_space: u64,
    /// Resident memory in pages.
    pub(super) resident: u64,
}

impl Stat {
    /// Reads it for a pid, or for `self`; `None` if there is no such process.
    pub(super) fn read(pid: impl fmt::Display) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Source: proc(5): `pid (comm) state ppid pgrp ...`, with utime, stime, starttime, vsize and rss as fields 12, 13, 20, 21 and 22 after
    /// `comm`, which itself may contain blanks and parentheses.
    fn parse(stat: &str) -> Option<Self> {
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(Self {
            state: fields.first()?.chars().next()?,
            parent: fields.get(1)?.parse().ok()?,
            group: fields.get(2)?.parse().ok()?,
            cpu: number(11)?.saturating_add(number(12)?),
            started: number(19)?,
            address_space: number(20)?,
            resident: number(21)?,
        })
    }
}

/// The units of [`Stat`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Units {
    page: u64,
    ticks_per_second: u64,
}

impl Units {
    pub(super) fn get() -> Self {
        // SAFETY: reads two constants of the system.
        let (page, ticks) = unsafe { (libc::sysconf(libc::_SC_PAGESIZE), libc::sysconf(libc::_SC_CLK_TCK)) };
        let positive = |number: libc::c_long, usual| u64::try_from(number).unwrap_or(usual).max(1);
        Self { page: positive(page, 4096), ticks_per_second: positive(ticks, 100) }
    }

    /// Pages in bytes.
    pub(super) fn bytes(self, pages: u64) -> u64 {
        pages.saturating_mul(self.page)
    }

    /// Ticks as a time.
    pub(super) fn time(self, ticks: u64) -> Duration {
        Duration::from_millis(ticks.saturating_mul(1000) / self.ticks_per_second)
    }
}

/// What one process uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its number.
    pub(crate) pid: u32,
    /// Its parent's number.
    pub(crate) parent: u32,
    /// Its process group.
    pub(crate) group: u32,
    /// Its resident memory in bytes.
    pub(crate) resident: u64,
    /// The CPU time that it has used.
    pub(crate) cpu: Duration,
}

/// All visible processes. Reads one small file for each.
pub(crate) fn processes() -> Vec<Process> {
    let units = Units::get();
    let process = |pid| {
        let stat = Stat::read(pid)?;
        Some(Process {
            pid,
            parent: stat.parent,
            group: stat.group,
            resident: units.bytes(stat.resident),
            cpu: units.time(stat.cpu),
        })
    };
    all_pids().filter_map(process).collect()
}

/// The pids of all visible processes.
pub(crate) fn all_pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The children of a process, including zombies. Reads one small file for each of its threads; on a kernel without these files
/// (`CONFIG_PROC_CHILDREN`), one for each process of the system.
pub(super) fn children(pid: u32) -> Vec<u32> {
    static HAS_FILES: LazyLock<bool> = LazyLock::new(|| {
        let own = std::process::id();
        fs::exists(format!("/proc/{own}/task/{own}/children")).unwrap_or(false)
    });
    if !*HAS_FILES {
        return all_pids().filter(|child| Stat::read(child).is_some_and(|stat| stat.parent == pid)).collect();
    }
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// What a process is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Activity {
    /// The kernel's word for its state.
    pub(crate) state: &'static str,
    /// The function of the kernel in which it waits, where the kernel says so.
    pub(crate) wchan: Option<String>,
    /// The system call that it is in, where we may know.
    pub(crate) syscall: Option<String>,
}

impl Activity {
    /// Whether a signal with a handler makes no system call fail in which it waits. Those that wait for several things fail even with
    /// `SA_RESTART`.
    ///
    /// Source: signal(7).
    pub(crate) fn survives_signals(&self) -> bool {
        match self.syscall.as_deref() {
            Some(call) => {
                !matches!(call, "epoll_pwait" | "epoll_wait" | "poll" | "ppoll" | "pselect6" | "select")
            }
            None => self.state == "running",
        }
    }
}

/// What a process is doing; `None` if there is no such process.
pub(crate) fn activity(pid: u32) -> Option<Activity> {
    let state = match Stat::read(pid)?.state {
        'R' => "running",
        'S' => "sleeping",
        'D' => "in uninterruptible sleep",
        'T' | 't' => "stopped",
        'Z' | 'X' => "dead",
        _ => "idle",
    };
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).ok();
    // It is 0 for a process that runs, and for those whom the kernel hides it from.
    let wchan = read("wchan").filter(|wchan| !matches!(&**wchan, "" | "0"));
    let syscall = read("syscall").and_then(|syscall| {
        let number: libc::c_long = syscall.split_ascii_whitespace().next()?.parse().ok()?;
        // Between two calls it is -1.
        (number >= 0).then(|| syscall_name(number).map_or_else(|| number.to_string(), str::to_owned))
    });
    Some(Activity { state, wchan, syscall })
}

/// The names of system calls that wait.
fn syscall_name(number: libc::c_long) -> Option<&'static str> {
    let known = [
        (libc::SYS_accept4, "accept4"),
        (libc::SYS_clock_nanosleep, "clock_nanosleep"),
        (libc::SYS_connect, "connect"),
        (libc::SYS_epoll_pwait, "epoll_pwait"),
        (libc::SYS_fcntl, "fcntl"),
        (libc::SYS_fdatasync, "fdatasync"),
        (libc::SYS_flock, "flock"),
        (libc::SYS_fsync, "fsync"),
        (libc::SYS_futex, "futex"),
        (libc::SYS_nanosleep, "nanosleep"),
        (libc::SYS_openat, "openat"),
        (libc::SYS_ppoll, "ppoll"),
        (libc::SYS_pselect6, "pselect6"),
        (libc::SYS_read, "read"),
        (libc::SYS_recvfrom, "recvfrom"),
        (libc::SYS_recvmsg, "recvmsg"),
        (libc::SYS_restart_syscall, "restart_syscall"),
        (libc::SYS_sendmsg, "sendmsg"),
        (libc::SYS_sendto, "sendto"),
        (libc::SYS_wait4, "wait4"),
        (libc::SYS_waitid, "waitid"),
        (libc::SYS_write, "write"),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_epoll_wait, "epoll_wait"),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_poll, "poll"),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_select, "select"),
    ];
    known.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
}

/// Whether a process has a handler for this signal, so that it does not die of it.
pub(crate) fn catches(pid: u32, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    is_caught(&status, signal)
}

/// Source: proc(5): `SigCgt` is a mask in hexadecimal, its lowest bit is signal 1.
fn is_caught(status: &str, signal: Signal) -> bool {
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    caught.is_some_and(|mask| mask >> (signal as i32 - 1) & 1 == 1)
}

/// At most `at_most` descendants of some processes, without these.
pub(super) fn descendants(of: Vec<u32>, at_most: usize) -> Vec<u32> {
    let (mut next, mut found) = (of, Vec::new());
    while let Some(pid) = next.pop() {
        let children = children(pid);
        found.extend(&children);
        next.extend(children);
        if found.len() >= at_most {
            found.truncate(at_most);
            break;
        }
    }
    found
}

/// The environment with which a process was started, its entries separated by zeros; `None` if there is no such process, or it is hidden
/// from us.
pub(super) fn environment(pid: u32) -> Option<Vec<u8>> {
    fs::read(format!("/proc/{pid}/environ")).ok()
}

/// When a process was started, in ticks since boot; `None` if there is no such process, or it is a zombie.
pub(crate) fn started(pid: u32) -> Option<u64> {
    Stat::read(pid).filter(|stat| !matches!(stat.state, 'Z' | 'X')).map(|stat| stat.started)
}

/// Whether `pid` is `ancestor` itself, a descendant of it, or a member of the group that it leads.
pub(crate) fn belongs_to(pid: u32, ancestor: u32) -> bool {
    lineage(pid).contains(&ancestor)
}

/// The processes that a process belongs to, nearest first: itself, its ancestors except init, and the leaders of their groups.
///
/// Groups count because a wrapper that has exited leaves its children to init: the chain of parents is broken, the group is not.
pub(crate) fn lineage(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut current = pid;
    // Bounded, since pids that are reused meanwhile could make a circle.
    for _ in 0..64 {
        let Some(Stat { parent, group, .. }) = Stat::read(current) else { break };
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
        let Stat { parent, .. } = Stat::read(own).unwrap();
        assert!(parent <= 1 || belongs_to(own, parent));
    }

    #[test]
    fn a_process_does_not_belong_to_a_stranger() {
        assert!(!belongs_to(1, std::process::id()));
        assert!(!belongs_to(u32::MAX, std::process::id()));
    }

    #[test]
    fn it_is_known_which_signals_a_process_catches() {
        let status = "Name:\tphp\nSigIgn:\t0000000000001000\nSigCgt:\t0000000000000a00\n";
        let caught =
            [Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGTERM].map(|signal| is_caught(status, signal));
        assert_eq!(caught, [true, true, false]);
        assert!(!is_caught("", Signal::SIGUSR1));
        assert!(!catches(std::process::id(), Signal::SIGUSR2));
    }

    #[test]
    fn a_process_that_waits_for_several_things_or_nobody_knows_for_what_does_not_survive_signals() {
        let survives = |state, syscall: Option<&str>| {
            Activity { state, wchan: None, syscall: syscall.map(str::to_owned) }.survives_signals()
        };
        assert!(survives("running", None) && survives("sleeping", Some("read")));
        assert!(!survives("sleeping", None) && !survives("sleeping", Some("pselect6")));
    }

    #[test]
    fn a_process_that_waits_says_in_which_call() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let waits = || {
            activity(child.id()).is_some_and(|activity| {
                let syscall = activity.syscall.as_deref();
                activity.state == "sleeping" && syscall.is_none_or(|call| call.ends_with("nanosleep"))
            })
        };
        while !waits() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(activity(child.id()), None);
    }

    #[test]
    fn fields_are_counted_from_behind_the_name() {
        let stat = "7 (a) b)) S 1 42 7 0 -1 0 0 0 0 0 150 50 0 0 20 0 1 0 5 1000000 3 18446744073709551615";
        let (state, address_space) = ('S', 1_000_000);
        let expected = Stat { state, parent: 1, group: 42, cpu: 200, started: 5, address_space, resident: 3 };
        assert_eq!(Stat::parse(stat), Some(expected));
        assert_eq!(Stat::parse("7 (a) S 1"), None);
        let units = Units { page: 4096, ticks_per_second: 100 };
        assert_eq!((units.bytes(3), units.time(200)), (3 * 4096, Duration::from_secs(2)));
        assert!(processes().iter().any(|process| process.resident > 0));
    }
}
