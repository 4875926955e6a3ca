//! What the server has started, and what those processes have started in turn, wherever it has gone.
//!
//! A process that calls `setsid` has left its worker's group, and one whose parent has died has left its line of parents. Both are found all
//! the same:
//!
//! - This process is a child subreaper: descendants whose parent dies become its own children. It reaps them, and at shutdown
//!   ([`kill_remaining`]) kills everything that descends from it.
//! - Each child has the [mark of the run](run) in its environment, which its descendants inherit. When a worker has died, adopted
//!   processes with its mark are killed, with all their descendants ([`Member::kill_family`]); when the server is killed, the
//!   [`guard`] kills every process with a mark of the run.
//! - A descendant with a cleared environment is found through its parents before its worker is asked to leave
//!   ([`Member::remember_family`]).
//! - If there is a [`cgroup`] for this run, nothing leaves it: the guard kills what is in it.
//!
//! What escapes all but the first, a process with a cleared environment whose parent died before its worker did, dies with the server. It
//! survives only if the server is killed by SIGKILL and there is no cgroup.
//!
//! All of this is done by one thread, since reading `/proc` blocks. A pool without a server, as in tests, does none of it.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, unbounded};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use tokio::sync::oneshot;

use super::children::{self, Member};
use super::foreign_process::{ForeignProcess, kill_all};
use super::{cgroup, guard, proc_fs, run};

/// How often the family of a dead worker is killed before what does not die is left until shutdown, and the pause in between.
const KILL_ATTEMPTS: usize = 50;
const KILL_INTERVAL: Duration = Duration::from_millis(2);

/// How long shutdown may take to kill what is left.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(2);

/// Descendants that are followed at a time: a process that forks without end must not keep the thread from its other work.
const MAX_DESCENDANTS: usize = 10_000;

/// At most two requests for each worker, and one to reap.
static REQUESTS: OnceLock<Sender<FamilyRequest>> = OnceLock::new();

/// Whether a request to reap is on its way.
static REAP_REQUESTED: AtomicBool = AtomicBool::new(false);

enum FamilyRequest {
    /// Remember the descendants of the child with this pid.
    Remember(u32, oneshot::Sender<()>),
    /// The child with this pid and number has died: kill what it left behind.
    Kill(u32, u64, oneshot::Sender<()>),
    /// A child has died, perhaps an adopted one.
    Reap,
}

/// From now on orphans of our children become our own, and are reaped. Call it once, within the server's runtime.
///
/// # Errors
/// If no thread can be created.
pub(crate) fn start() -> io::Result<()> {
    children::adopt_orphans();
    let (requests, queue) = unbounded();
    std::thread::Builder::new().name("family".into()).spawn(move || serve(&queue))?;
    let _ = REQUESTS.set(requests);
    let mut died = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::child())?;
    tokio::spawn(async move {
        while died.recv().await.is_some() {
            request_reap();
        }
    });
    Ok(())
}

fn request_reap() {
    if let Some(requests) = REQUESTS.get()
        && !REAP_REQUESTED.swap(true, SeqCst)
    {
        let _ = requests.send(FamilyRequest::Reap);
    }
}

impl Member {
    /// Remembers its descendants for [`Member::kill_family`]. Await it before the child is made to leave.
    pub(crate) async fn remember_family(&self) {
        if self.ends_family {
            request(|done| FamilyRequest::Remember(self.pid, done)).await;
        }
    }

    /// Kills everything that it has left behind, now that it has died.
    pub(crate) async fn kill_family(&self) {
        if self.ends_family {
            request(|done| FamilyRequest::Kill(self.pid, self.number, done)).await;
        }
    }
}

async fn request(request: impl FnOnce(oneshot::Sender<()>) -> FamilyRequest) {
    let Some(requests) = REQUESTS.get() else { return };
    let (done, is_done) = oneshot::channel();
    if requests.send(request(done)).is_ok() {
        let _ = is_done.await;
    }
}

/// The thread. Takes requests that came meanwhile together, since each of them inspects the same processes.
fn serve(queue: &Receiver<FamilyRequest>) {
    let mut remembered: HashMap<u32, Vec<ForeignProcess>> = HashMap::new();
    for first in queue {
        let (mut dead, mut waiting) = (HashSet::new(), Vec::new());
        let mut left = Vec::new();
        for request in std::iter::once(first).chain(queue.try_iter()) {
            match request {
                FamilyRequest::Remember(pid, done) => {
                    let found = proc_fs::descendants(vec![pid], MAX_DESCENDANTS);
                    let found = found.into_iter().filter_map(ForeignProcess::find);
                    remembered.entry(pid).or_default().extend(found);
                    let _ = done.send(());
                }
                FamilyRequest::Kill(pid, number, done) => {
                    dead.insert(number);
                    left.extend(remembered.remove(&pid).unwrap_or_default());
                    waiting.push(done);
                }
                FamilyRequest::Reap => {}
            }
        }
        if !dead.is_empty() {
            kill_families(&dead, &left);
        }
        for done in waiting {
            let _ = done.send(());
        }
        reap();
    }
}

/// Kills the remembered processes, adopted ones with the mark of a dead child, and the descendants of both.
fn kill_families(dead: &HashSet<u64>, remembered: &[ForeignProcess]) {
    for _ in 0..KILL_ATTEMPTS {
        let own = children::pids();
        let adopted = proc_fs::children(std::process::id()).into_iter().filter(|pid| !own.contains(pid));
        let marked = adopted.filter(|pid| run::child_of(*pid).is_some_and(|child| dead.contains(&child)));
        let remembered = remembered.iter().filter(|process| process.is_alive()).map(ForeignProcess::pid);
        if kill_with_descendants(marked.chain(remembered).collect()) == 0 {
            return;
        }
        reap();
        std::thread::sleep(KILL_INTERVAL);
    }
}

/// Kills all descendants of this process, and lets the guard notice its end. Call it at shutdown, when nothing uses them any more.
pub(crate) fn kill_remaining() {
    kill_descendants();
    guard::resume();
}

fn kill_descendants() {
    let deadline = Instant::now() + SHUTDOWN_PATIENCE;
    while children::adopts_orphans() && Instant::now() < deadline {
        let strays = cgroup::kill_others(guard::pid());
        if kill_with_descendants(proc_fs::children(std::process::id())) + strays == 0 {
            return;
        }
        std::thread::sleep(KILL_INTERVAL);
    }
}

/// Kills these processes and their descendants; returns the number of those that lived.
fn kill_with_descendants(heads: Vec<u32>) -> usize {
    let descendants = proc_fs::descendants(heads.clone(), MAX_DESCENDANTS);
    kill_all(heads.into_iter().chain(descendants))
}

/// Reaps adopted children that have died, and leaves those that were started here to the tasks that wait for them.
fn reap() {
    REAP_REQUESTED.store(false, SeqCst);
    loop {
        // Reports the first child that has died, without reaping it.
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        let dead = match waitid(Id::All, flags) {
            Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _)) => pid,
            Err(nix::errno::Errno::EINTR) => continue,
            _ => return,
        };
        if children::is_adopted(dead.as_raw().cast_unsigned()) {
            let _ = waitpid(dead, Some(WaitPidFlag::WNOHANG));
            continue;
        }
        // It hides others until it has been waited for, which takes a moment.
        std::thread::sleep(KILL_INTERVAL);
        request_reap();
        return;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descendants_are_killed_with_their_ancestor() {
        let mut shell =
            std::process::Command::new("sh").args(["-c", "sh -c 'sleep 1000; true'; true"]).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        let find = || {
            let mut found =
                proc_fs::descendants(vec![shell.id()], 10).into_iter().filter_map(ForeignProcess::find);
            found.find(|process| process.arguments() == ["sleep", "1000"])
        };
        let sleep = loop {
            assert!(Instant::now() < deadline, "there is no `sleep`");
            if let Some(sleep) = find() {
                break sleep;
            }
        };
        assert!(kill_with_descendants(vec![shell.id()]) >= 2);
        shell.wait().unwrap();
        while sleep.is_alive() {
            assert!(Instant::now() < deadline, "`sleep` goes on");
        }
    }
}
