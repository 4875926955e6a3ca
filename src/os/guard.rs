//! The guard: a tiny process that outlives a killed supervisor just long enough to kill what that one left behind.
//!
//! The kernel's parent-death signal reaches a worker that is the supervisor's own child, but neither the children of that worker nor a
//! program behind a wrapper such as `sh -c`. So a process detaches itself and reads the pids of process groups from a socket. When the
//! socket ends, the supervisor is gone, however it went; the guard kills the groups on its list, and then whatever carries the mark of this
//! run in its environment or is in its cgroup (see [`family`](super::family)), such as a daemon in a session of its own.
//!
//! A worker puts its own group on the list between `fork` and `exec`, so there is no moment at which it runs and is not on it.
//!
//! The guard may be killed or stopped like any other process. A thread of the supervisor, the keeper, waits for its end, starts another one
//! and gives it the whole list. The first guard is a fork of the supervisor, made while that has one thread; later ones are this program,
//! executed under the name of [`NAME`]. The supervisor's end of the socket keeps its number for life, because a child that is being forked
//! writes to it; writing neither waits nor raises SIGPIPE.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::{ForkResult, Pid, fork, setsid};
use tracing::{error, info, warn};

use super::other::Other;
use super::{cgroup, family, proc_fs};

/// What a guard is called, by the kernel and, if it is not the first one, as its first argument.
pub(crate) const NAME: &str = "causeway-guard";

/// How long a new guard may take to say its pid, and one whose socket is full to read on.
const PATIENCE: Duration = Duration::from_secs(5);

/// The least time between two starts of a guard; a guard that cannot be started is tried again at this pace.
const PAUSE: Duration = Duration::from_secs(1);

/// Groups in one message; all messages are read into a buffer of this size.
const RECORDS: usize = 256;

/// The room of the socket in bytes, of which the kernel takes the double: some 20 records, or lists of 1,500 groups. A guard that leaves it
/// full has missed something, and gets the whole list when it reads on.
const ROOM: usize = 8 << 10;

/// How often the guard looks for processes of the run before it gives up on those that do not die.
const LOOKS: usize = 100;

/// The pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Takes every group from the list; the whole list follows.
const CLEAR: i32 = 0;

/// The supervisor's end of the socket.
static LINE: OnceLock<OwnedFd> = OnceLock::new();

/// The guard's pid.
static GUARD: AtomicU32 = AtomicU32::new(0);

/// Whether the guard has missed a record, since its socket was full.
static BEHIND: AtomicBool = AtomicBool::new(false);

/// A pipe that wakes the keeper.
static WAKE: OnceLock<OwnedFd> = OnceLock::new();

/// Forks the guard. To be called once, at the start of `serve`, before any thread exists.
///
/// # Errors
/// When a socket or a process cannot be had.
pub(crate) fn start() -> io::Result<()> {
    let (ours, theirs) = line()?;
    // SAFETY: there is only one thread, so the child may do whatever the parent may.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => {
            drop(theirs);
            nix::sys::wait::waitpid(child, None)?;
            GUARD.store(greeting(&ours)?, SeqCst);
            let _ = LINE.set(ours);
            Ok(())
        }
        ForkResult::Child => {
            drop(ours);
            guard(theirs.as_raw_fd(), family::run().unwrap_or_default(), cgroup::folder())
        }
    }
}

/// Starts the keeper, which replaces a guard that has ended or does not read any more.
///
/// # Errors
/// When there can be no more threads or descriptors.
pub(crate) fn keep() -> io::Result<()> {
    let (wake, waker) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC | nix::fcntl::OFlag::O_NONBLOCK)?;
    let _ = WAKE.set(waker);
    std::thread::Builder::new().name("guard-keeper".into()).spawn(move || keeper(&wake))?;
    Ok(())
}

/// Becomes a guard if this process was started as one, and then does not return. To be called first of all.
pub(crate) fn become_one_if_called() {
    let mut arguments = std::env::args_os();
    if arguments.next().as_deref() == Some(OsStr::new(NAME)) {
        let run = arguments.next().and_then(|run| run.into_string().ok()).unwrap_or_default();
        let folder = arguments.next().map(PathBuf::from);
        guard(0, &run, folder.as_deref());
    }
}

/// The guard's pid; zero when there is none.
pub(super) fn pid() -> u32 {
    GUARD.load(SeqCst)
}

/// The descriptor into which a new group's pid is written, if there is a guard.
pub(super) fn descriptor() -> Option<RawFd> {
    LINE.get().map(AsRawFd::as_raw_fd)
}

/// Puts a group on the list (its pid), or takes it off (its negative). The caller holds the lock on what the supervisor knows, so that
/// the order of records is that of events.
pub(super) fn tell(record: i32) {
    if let Some(line) = descriptor()
        && !write(line, &[record])
    {
        BEHIND.store(true, SeqCst);
        wake();
    }
}

/// Writes records in one message; false when that is not possible at once. Safe between `fork` and `exec`: one system call that neither
/// waits nor raises a signal, no allocation. What a child could not write its parent writes.
pub(super) fn write(line: RawFd, records: &[i32]) -> bool {
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    let length = size_of_val(records);
    // SAFETY: the buffer is valid for its length.
    let written = unsafe { libc::send(line, records.as_ptr().cast(), length, flags) };
    usize::try_from(written).is_ok_and(|written| written == length)
}

/// Both ends of a new line: messages arrive whole and in order.
fn line() -> nix::Result<(OwnedFd, OwnedFd)> {
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    nix::sys::socket::setsockopt(&ours, nix::sys::socket::sockopt::SndBuf, &ROOM)?;
    Ok((ours, theirs))
}

/// Waits for the pid that a new guard writes first.
fn greeting(line: &OwnedFd) -> io::Result<u32> {
    let patience = PollTimeout::try_from(PATIENCE).unwrap_or(PollTimeout::MAX);
    let mut bytes = [0; 4];
    if poll(&mut [PollFd::new(line.as_fd(), PollFlags::POLLIN)], patience)? == 0 {
        return Err(io::ErrorKind::TimedOut.into());
    }
    match nix::unistd::read(line, &mut bytes)? {
        4 => Ok(u32::from_ne_bytes(bytes)),
        _ => Err(io::Error::other("it ended at once")),
    }
}

fn wake() {
    if let Some(end) = WAKE.get() {
        // A full pipe wakes as well.
        let _ = nix::unistd::write(end, &[0]);
    }
}

/// Replaces guards for as long as the process lives.
fn keeper(wake: &OwnedFd) {
    let Some(line) = LINE.get() else { return };
    let mut started = Instant::now().checked_sub(PAUSE);
    loop {
        let why = wait_for_trouble(line, wake);
        if let Some(old) = Other::find(GUARD.load(SeqCst)).filter(Other::is_guard) {
            // Otherwise the end of its line would be the end of all workers.
            let _ = old.signal(Signal::SIGKILL);
            while old.is_alive() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        let mut told = false;
        loop {
            if let Some(since) = started.map(|at| at.elapsed()) {
                std::thread::sleep(PAUSE.saturating_sub(since));
            }
            started = Some(Instant::now());
            match start_another(line) {
                Ok(pid) => {
                    info!(target: "server", pid, reason = why, "guard process replaced");
                    break;
                }
                Err(error) if !told => {
                    error!(target: "server", %error, reason = why, "the guard process cannot be replaced; trying again");
                    told = true;
                }
                Err(_) => {}
            }
        }
    }
}

/// Returns when the guard has to be replaced, and says why. Gives one that has missed something the whole list.
fn wait_for_trouble(line: &OwnedFd, wake: &OwnedFd) -> &'static str {
    loop {
        let mut both =
            [PollFd::new(line.as_fd(), PollFlags::empty()), PollFd::new(wake.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut both, PollTimeout::NONE);
        if both[0].revents().is_some_and(|events| !events.is_empty()) {
            warn!(target: "server", pid = GUARD.load(SeqCst), "guard process ended");
            return "it ended";
        }
        let _ = nix::unistd::read(wake, &mut [0; 64]);
        let deadline = Instant::now() + PATIENCE;
        while BEHIND.swap(false, SeqCst) && !family::tell_all() {
            BEHIND.store(true, SeqCst);
            let left = deadline.saturating_duration_since(Instant::now());
            let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
            let writable = poll(&mut [PollFd::new(line.as_fd(), PollFlags::POLLOUT)], left);
            if matches!(writable, Ok(0)) {
                warn!(target: "server", pid = GUARD.load(SeqCst), "guard process does not read");
                return "it did not read";
            }
        }
    }
}

/// Starts a guard in place of the last one.
fn start_another(line: &OwnedFd) -> io::Result<u32> {
    let (ours, theirs) = self::line()?;
    let starting = family::Starting::begin();
    // What the middle process leaves goes to init, as with the first guard.
    let not_ours = family::NotAdopting::begin();
    let mut middle = Command::new("/proc/self/exe")
        .arg0(NAME)
        .arg(family::run().unwrap_or_default())
        .args(cgroup::folder())
        .current_dir("/")
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let ended = middle.wait();
    drop((not_ours, starting));
    ended?;
    let pid = greeting(&ours)?;
    // SAFETY: the number stays the one that `LINE` owns; only what it stands for changes, and the other one is closed.
    nix::errno::Errno::result(unsafe { libc::dup3(ours.as_raw_fd(), line.as_raw_fd(), libc::O_CLOEXEC) })?;
    GUARD.store(pid, SeqCst);
    BEHIND.store(!family::tell_all(), SeqCst);
    wake();
    Ok(pid)
}

/// Writes the whole list: these groups and no others.
pub(super) fn tell_list(groups: impl Iterator<Item = u32>) -> bool {
    let Some(line) = descriptor() else { return true };
    let mut records = vec![CLEAR];
    records.extend(groups.map(u32::cast_signed));
    records.chunks(RECORDS).all(|records| write(line, records))
}

/// Is the guard, until the other end of the line is gone.
fn guard(line: RawFd, run: &str, folder: Option<&Path>) -> ! {
    detach(line);
    let line = {
        // SAFETY: `detach` has made it descriptor 0, which nothing else owns.
        unsafe { OwnedFd::from_raw_fd(0) }
    };
    write(0, &[std::process::id().cast_signed()]);
    if let Some(folder) = folder {
        // The first guard is not in it.
        cgroup::leave(folder);
    }
    let groups = watch(&line);
    for group in groups {
        let _ = nix::sys::signal::killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
    for _ in 0..LOOKS {
        if folder.is_none_or(cgroup::end_folder) {
            break;
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    if !run.is_empty() {
        kill_marked(&family::mark_of_run(run));
    }
    // SAFETY: ends the process without running the parent's exit handlers.
    unsafe { libc::_exit(0) }
}

/// Leaves the supervisor's session, descriptors and parent, so that nothing counts the guard among the workers or waits for it. The line
/// becomes descriptor 0.
fn detach(line: RawFd) {
    let _ = setsid();
    for number in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGQUIT, Signal::SIGHUP] {
        // SAFETY: ignoring a signal installs no handler.
        let _ = unsafe { signal(number, SigHandler::SigIgn) };
    }
    // SAFETY: still one thread. The middle process ends at once, which makes the guard a child of init.
    match unsafe { fork() } {
        Ok(ForkResult::Child) => {}
        Ok(ForkResult::Parent { .. }) | Err(_) => unsafe { libc::_exit(0) },
    }
    // SAFETY: plain system calls on descriptors that nothing in this process uses any more.
    unsafe {
        libc::prctl(libc::PR_SET_NAME, c"causeway-guard".as_ptr());
        if line != 0 {
            libc::dup2(line, 0);
        }
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        libc::dup2(null, 1);
        libc::dup2(null, 2);
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0);
    }
    let _ = nix::unistd::chdir("/");
}

/// Keeps the list until the line ends, and gives what is on it then.
fn watch(line: &OwnedFd) -> Vec<i32> {
    let mut groups: Vec<i32> = Vec::new();
    let mut buffer = [0_u8; RECORDS * size_of::<i32>()];
    loop {
        let read = match nix::unistd::read(line, &mut buffer) {
            Ok(0) => return groups,
            Ok(read) => read,
            Err(nix::errno::Errno::EINTR) => continue,
            Err(_) => return groups,
        };
        let (records, _) = buffer[..read].as_chunks::<4>();
        for record in records {
            match i32::from_ne_bytes(*record) {
                CLEAR => groups.clear(),
                value => {
                    groups.retain(|group| *group != value.abs());
                    groups.extend((value > 0).then_some(value));
                }
            }
        }
    }
}

/// Kills every process that has this at the beginning of an entry of its environment, until there is none.
fn kill_marked(mark: &str) {
    for _ in 0..LOOKS {
        let marked = proc_fs::all_pids().filter(|pid| {
            proc_fs::environment(*pid).is_some_and(|entries| {
                entries.split(|byte| *byte == 0).any(|entry| entry.starts_with(OsStr::new(mark).as_bytes()))
            })
        });
        let mut left = false;
        for process in marked.filter_map(Other::find) {
            left = true;
            let _ = process.signal(Signal::SIGKILL);
        }
        if !left {
            return;
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}
