//! What this server has started, and what those have started in turn, wherever it went.
//!
//! A process that calls `setsid` has left its worker's group, and one whose parent has ended has left its line of parents; both are found
//! all the same:
//!
//! - This process is a *child subreaper*: descendants whose parent ends become its own children. It reaps them, and at the end
//!   ([`end_all`]) whatever descends from it is killed.
//! - Each child gets [`MARK`] in its environment, with the number of this run and its own, which its descendants inherit. When a worker has
//!   ended, adopted processes with its mark are killed, and what descends from them ([`Member::end`]); when the supervisor is killed, the
//!   [`guard`] kills whatever has the mark of the run.
//! - A descendant whose environment was cleared is found through its parents when its worker is asked to leave ([`Member::look`]).
//!
//! - Where it may, this process is in a cgroup of its own, which nothing that it starts leaves: the guard kills what is in it ([`cgroup`]).
//!
//! What no one of the others finds, a process with a cleared environment whose parent ended before its worker did, ends with the server, and
//! survives only if the server is killed by SIGKILL and there is no cgroup.
//!
//! All of this is done by one thread, since it reads `/proc`. A pool without a server, as in tests, has none of it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, unbounded};
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use tokio::sync::oneshot;

use super::other::Other;
use super::{cgroup, guard, proc_fs};

/// The variable by which a process can be told to be of a run, and of which child of it: `<run>:<number>`.
pub(crate) const MARK: &str = "CAUSEWAY_FAMILY";

/// How often the processes of an ended worker are looked for before those that do not die are left to the end of the server.
const LOOKS: usize = 50;

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(2);

/// How long the end of a server may take to kill what is left.
const LAST_LOOKS: Duration = Duration::from_secs(2);

/// How many descendants are followed at a time: a process that forks without end must not keep the thread from its other work.
const MAX_DESCENDANTS: usize = 10_000;

static RUN: OnceLock<String> = OnceLock::new();
static BIRTHS: AtomicU64 = AtomicU64::new(0);
/// The children that were started here and have not been waited for, with the numbers of their birth.
static KNOWN: Mutex<BTreeMap<u32, u64>> = Mutex::new(BTreeMap::new());
/// How many are between their fork and their place among the known.
static STARTING: AtomicUsize = AtomicUsize::new(0);
static REAP_ASKED: AtomicBool = AtomicBool::new(false);
static ADOPTS: AtomicBool = AtomicBool::new(false);
/// At most two requests for each worker, and one to reap.
static REQUESTS: OnceLock<Sender<FamilyRequest>> = OnceLock::new();

enum FamilyRequest {
    /// Remember who descends from this child.
    Look(u32, oneshot::Sender<()>),
    /// The child has ended: kill whatever it left.
    End(u32, u64, oneshot::Sender<()>),
    /// A child has ended, perhaps an adopted one.
    Reap,
}

/// Gives this run its number. To be called before the guard is started.
pub(crate) fn name_run() {
    let _ = RUN.set(super::random_text());
}

/// The number of this run, if it has one.
pub(super) fn run() -> Option<&'static str> {
    RUN.get().map(String::as_str)
}

/// How the mark of every process of a run begins.
pub(super) fn mark_of_run(run: &str) -> String {
    format!("{MARK}={run}:")
}

/// From now on orphans of our children become our own, and are reaped. To be called once, within the runtime of the server.
///
/// # Errors
/// When there can be no more threads.
pub(crate) fn start() -> io::Result<()> {
    ADOPTS.store(true, SeqCst);
    adopt(true);
    let (requests, queue) = unbounded();
    std::thread::Builder::new().name("family".into()).spawn(move || serve(&queue))?;
    let _ = REQUESTS.set(requests);
    let mut ended = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::child())?;
    tokio::spawn(async move {
        while ended.recv().await.is_some() {
            reap_soon();
        }
    });
    Ok(())
}

fn adopt(yes: bool) {
    // SAFETY: sets a flag of the process. An old kernel without it leaves orphans to init.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, libc::c_ulong::from(yes), 0, 0, 0) };
}

fn reap_soon() {
    if let Some(requests) = REQUESTS.get()
        && !REAP_ASKED.swap(true, SeqCst)
    {
        let _ = requests.send(FamilyRequest::Reap);
    }
}

/// Whether a process is a child that was started here and has not been waited for.
pub(crate) fn is_child(pid: u32) -> bool {
    known().contains_key(&pid)
}

fn known() -> MutexGuard<'static, BTreeMap<u32, u64>> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives the guard the whole list.
pub(super) fn tell_all() -> bool {
    let known = known();
    guard::tell_list(known.keys().copied())
}

/// While it lives, orphans go to init.
pub(super) struct NotAdopting(());

impl NotAdopting {
    pub(super) fn begin() -> Self {
        adopt(false);
        Self(())
    }
}

impl Drop for NotAdopting {
    fn drop(&mut self) {
        adopt(ADOPTS.load(SeqCst));
    }
}

/// While it lives, a child that nobody knows may be one that is being started, and is not reaped.
pub(super) struct Starting(());

impl Starting {
    pub(super) fn begin() -> Self {
        STARTING.fetch_add(1, SeqCst);
        Self(())
    }

    /// The number of the next child, and its entry in the environment if this run has a number.
    pub(super) fn mark() -> (u64, Option<String>) {
        let number = BIRTHS.fetch_add(1, SeqCst);
        (number, run().map(|run| format!("{run}:{number}")))
    }

    /// The child is there.
    pub(super) fn done(self, child: u32, number: u64, ends_family: bool) -> Member {
        let mut known = known();
        known.insert(child, number);
        guard::tell(child.cast_signed());
        // Not before it is known.
        drop((known, self));
        Member { child, number, ends_family }
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        STARTING.fetch_sub(1, SeqCst);
    }
}

/// A child of ours, to be dropped when it has been waited for and its group is gone.
#[derive(Debug)]
pub(crate) struct Member {
    child: u32,
    number: u64,
    ends_family: bool,
}

impl Member {
    /// Remembers who descends from it now, for [`Member::end`]. To be called, and waited for, before it is made to end.
    pub(crate) async fn look(&self) {
        if self.ends_family {
            ask(|done| FamilyRequest::Look(self.child, done)).await;
        }
    }

    /// Kills all that it has left behind, now that it has ended.
    pub(crate) async fn end(&self) {
        if self.ends_family {
            ask(|done| FamilyRequest::End(self.child, self.number, done)).await;
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut known = known();
        known.remove(&self.child);
        guard::tell(-self.child.cast_signed());
    }
}

async fn ask(request: impl FnOnce(oneshot::Sender<()>) -> FamilyRequest) {
    let Some(requests) = REQUESTS.get() else { return };
    let (done, is_done) = oneshot::channel();
    if requests.send(request(done)).is_ok() {
        let _ = is_done.await;
    }
}

/// The thread. Requests that came meanwhile are done together, since each of them looks at the same processes.
fn serve(queue: &Receiver<FamilyRequest>) {
    let mut remembered: HashMap<u32, Vec<Other>> = HashMap::new();
    for first in queue {
        let (mut ended, mut waiting) = (HashSet::new(), Vec::new());
        let mut left = Vec::new();
        for request in std::iter::once(first).chain(queue.try_iter()) {
            match request {
                FamilyRequest::Look(child, done) => {
                    let found = descendants(vec![child], MAX_DESCENDANTS).into_iter().filter_map(Other::find);
                    remembered.entry(child).or_default().extend(found);
                    let _ = done.send(());
                }
                FamilyRequest::End(child, number, done) => {
                    ended.insert(number);
                    left.extend(remembered.remove(&child).unwrap_or_default());
                    waiting.push(done);
                }
                FamilyRequest::Reap => {}
            }
        }
        if !ended.is_empty() {
            kill_family(&ended, &left);
        }
        for done in waiting {
            let _ = done.send(());
        }
        reap();
    }
}

/// Kills those who are remembered, the adopted with a mark of the ended, and all who descend from these.
fn kill_family(ended: &HashSet<u64>, remembered: &[Other]) {
    for _ in 0..LOOKS {
        let known: HashSet<u32> = known().keys().copied().collect();
        let adopted =
            proc_fs::children(std::process::id()).into_iter().filter(|child| !known.contains(child));
        let heads = adopted.filter(|child| number_of(*child).is_some_and(|number| ended.contains(&number)));
        let remembered = remembered.iter().filter(|process| process.is_alive()).map(Other::pid);
        let heads: Vec<u32> = heads.chain(remembered).collect();
        if kill_with_descendants(&heads) == 0 {
            return;
        }
        reap();
        std::thread::sleep(PAUSE);
    }
}

/// Kills all descendants of this process. Called at the end, when nobody uses them any more.
pub(crate) fn end_all() {
    let deadline = Instant::now() + LAST_LOOKS;
    while ADOPTS.load(SeqCst) && Instant::now() < deadline {
        let strays = cgroup::kill_others(guard::pid());
        if kill_with_descendants(&proc_fs::children(std::process::id())) + strays == 0 {
            return;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Gives how many of them lived.
fn kill_with_descendants(heads: &[u32]) -> usize {
    let all = heads.iter().copied().chain(descendants(heads.to_vec(), MAX_DESCENDANTS));
    let alive: HashMap<u32, Other> = all.filter_map(|pid| Some((pid, Other::find(pid)?))).collect();
    for process in alive.values() {
        let _ = process.signal(Signal::SIGKILL);
    }
    alive.len()
}

/// Those who descend from these, which are not among them.
pub(super) fn descendants(heads: Vec<u32>, at_most: usize) -> Vec<u32> {
    let (mut next, mut found) = (heads, Vec::new());
    while let Some(pid) = next.pop() {
        let children = proc_fs::children(pid);
        found.extend(&children);
        next.extend(children);
        if found.len() >= at_most {
            found.truncate(at_most);
            break;
        }
    }
    found
}

/// The number in the mark of a process of this run.
fn number_of(pid: u32) -> Option<u64> {
    let mark = mark_of_run(run()?);
    let entries = proc_fs::environment(pid)?;
    let entry = entries.split(|byte| *byte == 0).find_map(|entry| entry.strip_prefix(mark.as_bytes()))?;
    std::str::from_utf8(entry).ok()?.parse().ok()
}

/// Reaps adopted children that have ended, and leaves those that were started here to whoever waits for them.
fn reap() {
    REAP_ASKED.store(false, SeqCst);
    loop {
        // The first one that has ended is told, and stays.
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        let ended = match waitid(Id::All, flags) {
            Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _)) => pid,
            Err(nix::errno::Errno::EINTR) => continue,
            _ => return,
        };
        // In this order: one that was being started when it was told is known by now, or has been waited for.
        if STARTING.load(SeqCst) == 0 && !known().contains_key(&ended.as_raw().cast_unsigned()) {
            let _ = waitpid(ended, Some(WaitPidFlag::WNOHANG));
            continue;
        }
        // It stands before others until it has been waited for, which takes a moment.
        later();
        return;
    }
}

/// Asks to reap again in a moment.
fn later() {
    std::thread::sleep(PAUSE);
    reap_soon();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descendants_are_found_through_their_parents() {
        let mut shell =
            std::process::Command::new("sh").args(["-c", "sh -c 'sleep 1000; true'; true"]).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        let sleeps = || {
            let found = descendants(vec![shell.id()], 10).into_iter().filter_map(Other::find);
            found
                .filter(|process| process.arguments() == ["sleep", "1000"])
                .map(|process| process.pid())
                .next()
        };
        let sleep = loop {
            assert!(Instant::now() < deadline, "there is no `sleep`");
            if let Some(sleep) = sleeps() {
                break sleep;
            }
        };
        assert!(kill_with_descendants(&[shell.id()]) >= 2);
        shell.wait().unwrap();
        while Other::find(sleep).is_some() {
            assert!(Instant::now() < deadline, "`sleep` goes on");
        }
    }
}
