//! The guard: a small process that outlives a killed server just long enough to kill what it left behind.
//!
//! The kernel's parent-death signal reaches a worker that is the server's own child, but neither that worker's children nor a program behind
//! a wrapper such as `sh -c`. So a detached process reads the pids of process groups from a socket ([`guard_line`]). When the socket
//! closes, the server is gone, however it went: the guard kills the groups on its list, then everything in the run's [`cgroup`], then
//! every process with the [mark of the run](run), such as a daemon in a session of its own. A guard that has got no record yet is not in
//! use: the server gave it up, and it kills nothing.
//!
//! A worker puts its own group on the list between `fork` and `exec`, so at no moment does it run without being on it.
//!
//! The guard may be killed or stopped like any other process. A thread of the server, the keeper, waits for its end, starts another one
//! and sends it the whole list. A stopped guard goes on when the server is gone: the kernel sends it SIGCONT when the server's end of a pipe
//! closes, the [lifeline](Lifeline). The first guard is a fork of the server, made while that has a single thread; later ones execute this
//! program under the name [`NAME`].

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{ForkResult, Pid, fork, setsid};
use tracing::{error, info, warn};

use super::children::{self, NotAdopting, Starting};
use super::foreign_process::{ForeignProcess, kill_all};
use super::{cgroup, guard_line, proc_fs, run};

/// The guard's name: to the kernel and, unless it is the first one, as its first argument.
pub(crate) const NAME: &str = "causeway-guard";

/// How long a new guard may take to send its pid, and one whose socket is full to read on.
const PATIENCE: Duration = Duration::from_secs(5);

/// The least time between two starts of a guard; a guard that cannot be started is retried at this pace.
const RESTART_INTERVAL: Duration = Duration::from_secs(1);

/// How often the guard kills what it finds before it gives up on processes that do not die, and the pause in between.
const KILL_ATTEMPTS: usize = 100;
const KILL_INTERVAL: Duration = Duration::from_millis(5);

/// The guard's pid.
static GUARD: AtomicU32 = AtomicU32::new(0);

/// The server's end of the guard's [`Lifeline`].
static LIFELINE: Mutex<Option<OwnedFd>> = Mutex::new(None);

/// `F_SETSIG` of fcntl(2), which libc does not have for every target.
const F_SETSIG: libc::c_int = 10;

/// A pipe to which nothing is written. When the server is gone, its end is closed, and the kernel continues the guard.
struct Lifeline {
    ours: OwnedFd,
    theirs: OwnedFd,
}

impl Lifeline {
    fn new() -> nix::Result<Self> {
        let (theirs, ours) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
        Ok(Self { ours, theirs })
    }
}

fn hold(lifeline: OwnedFd) {
    *LIFELINE.lock().unwrap_or_else(PoisonError::into_inner) = Some(lifeline);
}

/// Forks the guard. Call it once, at the start of `serve`, before any thread exists.
///
/// # Errors
/// If no socket or process can be created.
pub(crate) fn start() -> io::Result<()> {
    let (ours, theirs) = guard_line::open()?;
    let lifeline = Lifeline::new()?;
    // SAFETY: there is only one thread, so the child may do whatever the parent may.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => {
            drop(theirs);
            let greeting = greeting(&ours);
            end_middle(child)?;
            GUARD.store(greeting?, SeqCst);
            guard_line::write(ours.as_raw_fd(), &[guard_line::CLEAR]);
            guard_line::use_first(ours);
            hold(lifeline.ours);
            Ok(())
        }
        ForkResult::Child => {
            drop((ours, lifeline.ours));
            guard(
                theirs.as_raw_fd(),
                lifeline.theirs.as_raw_fd(),
                run::id().unwrap_or_default(),
                cgroup::folder(),
            )
        }
    }
}

/// Starts the keeper, which replaces a guard that has ended or no longer reads.
///
/// # Errors
/// If no thread or pipe can be created.
pub(crate) fn keep() -> io::Result<()> {
    let (wake, waker) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC | nix::fcntl::OFlag::O_NONBLOCK)?;
    guard_line::set_waker(waker);
    std::thread::Builder::new().name("guard-keeper".into()).spawn(move || keeper(&wake))?;
    Ok(())
}

/// Becomes a guard if this process was started as one, and then never returns. Call it before anything else.
pub(crate) fn become_one_if_called() {
    let mut arguments = std::env::args_os();
    if arguments.next().as_deref() == Some(OsStr::new(NAME)) {
        let run = arguments.next().and_then(|run| run.into_string().ok()).unwrap_or_default();
        let folder = arguments.next().map(PathBuf::from);
        guard(0, 1, &run, folder.as_deref());
    }
}

/// The guard's pid; zero if there is none.
pub(super) fn pid() -> u32 {
    GUARD.load(SeqCst)
}

/// Lets a guard that is stopped go on, to notice the end of the server.
pub(super) fn resume() {
    if let Some(guard) = ForeignProcess::find(pid()).filter(is_guard) {
        let _ = guard.signal(Signal::SIGCONT);
    }
}

/// Waits for the pid that a new guard sends first.
fn greeting(line: &OwnedFd) -> io::Result<u32> {
    let patience = PollTimeout::try_from(PATIENCE).unwrap_or(PollTimeout::MAX);
    let mut bytes = [0; 4];
    if poll(&mut [PollFd::new(line.as_fd(), PollFlags::POLLIN)], patience)? == 0 {
        return Err(io::ErrorKind::TimedOut.into());
    }
    match nix::unistd::read(line, &mut bytes)? {
        4 => Ok(u32::from_ne_bytes(bytes)),
        _ => Err(io::Error::other("it exited at once")),
    }
}

/// Waits for the process that has forked a guard. It exits at once; by now nothing is lost if it has to be killed, as when it is stopped.
fn end_middle(middle: Pid) -> io::Result<()> {
    nix::sys::signal::kill(middle, Signal::SIGKILL)?;
    nix::sys::wait::waitpid(middle, None)?;
    Ok(())
}

/// Replaces guards for as long as the server lives.
fn keeper(wake: &OwnedFd) {
    let Some(line) = guard_line::line() else { return };
    let mut started = Instant::now().checked_sub(RESTART_INTERVAL);
    loop {
        let reason = wait_for_trouble(line, wake);
        if let Some(old) = ForeignProcess::find(GUARD.load(SeqCst)).filter(is_guard) {
            // It would take the end of its line for the end of the server, and kill all workers.
            let _ = old.signal(Signal::SIGKILL);
            while old.is_alive() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        let mut is_reported = false;
        loop {
            if let Some(since) = started.map(|at| at.elapsed()) {
                std::thread::sleep(RESTART_INTERVAL.saturating_sub(since));
            }
            started = Some(Instant::now());
            match start_another() {
                Ok(pid) => {
                    info!(target: "server", pid, reason, "guard process replaced");
                    break;
                }
                Err(error) if !is_reported => {
                    error!(target: "server", %error, reason, "cannot replace the guard process, retrying");
                    is_reported = true;
                }
                Err(_) => {}
            }
        }
    }
}

/// Whether a process is a guard, by its name.
fn is_guard(process: &ForeignProcess) -> bool {
    process.name().as_deref() == Some(NAME)
}

/// Returns why the guard has to be replaced, once it has to. Until then, sends it the whole list whenever it has missed a record.
fn wait_for_trouble(line: &OwnedFd, wake: &OwnedFd) -> &'static str {
    loop {
        let mut both =
            [PollFd::new(line.as_fd(), PollFlags::empty()), PollFd::new(wake.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut both, PollTimeout::NONE);
        if both[0].revents().is_some_and(|events| !events.is_empty()) {
            warn!(target: "server", pid = GUARD.load(SeqCst), "guard process exited");
            return "exited";
        }
        let _ = nix::unistd::read(wake, &mut [0; 64]);
        let deadline = Instant::now() + PATIENCE;
        while guard_line::take_missed() && !children::send_list() {
            guard_line::set_missed();
            let left = deadline.saturating_duration_since(Instant::now());
            let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
            let writable = poll(&mut [PollFd::new(line.as_fd(), PollFlags::POLLOUT)], left);
            if matches!(writable, Ok(0)) {
                warn!(target: "server", pid = GUARD.load(SeqCst), "guard process not reading");
                return "not reading";
            }
        }
    }
}

/// Starts a guard in place of the last one; returns its pid.
fn start_another() -> io::Result<u32> {
    let (ours, theirs) = guard_line::open()?;
    let lifeline = Lifeline::new()?;
    let starting = Starting::begin();
    // What the middle process leaves behind goes to init, as with the first guard.
    let not_adopting = NotAdopting::begin();
    let middle = Command::new("/proc/self/exe")
        .arg0(NAME)
        .arg(run::id().unwrap_or_default())
        .args(cgroup::folder())
        .current_dir("/")
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::from(lifeline.theirs))
        .stderr(Stdio::null())
        .spawn()?;
    let greeting = greeting(&ours);
    let ended = end_middle(Pid::from_raw(middle.id().cast_signed()));
    drop((not_adopting, starting));
    ended?;
    let pid = greeting?;
    guard_line::replace(&ours)?;
    hold(lifeline.ours);
    GUARD.store(pid, SeqCst);
    // What was missed until now is on the list; what is missed from now on is not.
    guard_line::take_missed();
    if !children::send_list() {
        guard_line::missed();
    }
    Ok(pid)
}

/// The guard's life: watches until the other end of the line is gone, then kills.
fn guard(line: RawFd, lifeline: RawFd, run: &str, folder: Option<&Path>) -> ! {
    detach(line, lifeline);
    let line = {
        // SAFETY: `detach` has made it descriptor 0, which nothing else owns.
        unsafe { OwnedFd::from_raw_fd(0) }
    };
    guard_line::write(line.as_raw_fd(), &[std::process::id().cast_signed()]);
    if let Some(folder) = folder {
        // Only the first guard is outside already.
        cgroup::leave(folder);
    }
    if let Some(groups) = watch(&line) {
        kill_what_is_left(&groups, run, folder);
    }
    // SAFETY: ends the process without running the server's exit handlers.
    unsafe { libc::_exit(0) }
}

/// The server is gone: nothing of its run may be left.
fn kill_what_is_left(groups: &[i32], run: &str, folder: Option<&Path>) {
    for group in groups {
        let _ = nix::sys::signal::killpg(Pid::from_raw(*group), Signal::SIGKILL);
    }
    if let Some(folder) = folder {
        until(|| cgroup::destroy(folder));
    }
    if !run.is_empty() {
        until(|| kill_marked(run) == 0);
    }
}

/// Repeats this until it is done, or given up.
fn until(mut is_done: impl FnMut() -> bool) {
    for _ in 0..KILL_ATTEMPTS {
        if is_done() {
            return;
        }
        std::thread::sleep(KILL_INTERVAL);
    }
}

/// Leaves the server's session, descriptors and parent, so that nothing counts the guard among the workers or waits for it. The line
/// becomes descriptor 0, and the lifeline 1.
fn detach(line: RawFd, lifeline: RawFd) {
    let _ = setsid();
    for number in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGQUIT, Signal::SIGHUP] {
        // SAFETY: ignoring a signal installs no handler.
        let _ = unsafe { signal(number, SigHandler::SigIgn) };
    }
    // SAFETY: there is still only one thread. The middle process exits at once, which makes the guard a child of init.
    match unsafe { fork() } {
        Ok(ForkResult::Child) => {}
        // SAFETY: ends the process without running the server's exit handlers.
        Ok(ForkResult::Parent { .. }) | Err(_) => unsafe { libc::_exit(0) },
    }
    // SAFETY: plain system calls on descriptors that nothing in this process uses any more.
    unsafe {
        libc::prctl(libc::PR_SET_NAME, c"causeway-guard".as_ptr());
        if line != 0 {
            libc::dup2(line, 0);
        }
        if lifeline != 1 {
            libc::dup2(lifeline, 1);
        }
        libc::fcntl(1, libc::F_SETOWN, libc::getpid());
        libc::fcntl(1, F_SETSIG, libc::SIGCONT);
        libc::fcntl(1, libc::F_SETFL, libc::O_ASYNC);
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        libc::dup2(null, 2);
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0);
    }
    let _ = nix::unistd::chdir("/");
}

/// Keeps the list until the line ends; returns what is on it then, or `None` if there never was one.
fn watch(line: &OwnedFd) -> Option<Vec<i32>> {
    let mut list = None;
    let mut buffer = [0_u8; guard_line::RECORDS * size_of::<i32>()];
    loop {
        let read = match nix::unistd::read(line, &mut buffer) {
            Ok(0) => return list,
            Ok(read) => read,
            Err(nix::errno::Errno::EINTR) => continue,
            Err(_) => return list,
        };
        guard_line::apply(&buffer[..read], list.get_or_insert_default());
    }
}

/// Kills every process with a mark of this run; returns their number.
fn kill_marked(run: &str) -> usize {
    kill_all(proc_fs::all_pids().filter(|pid| run::is_marked(*pid, run)))
}
