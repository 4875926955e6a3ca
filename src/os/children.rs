//! The children that the server has started and not yet waited for.
//!
//! Each is on the guard's list while it is known here. The guard gets its records under the same lock, so that they have the order of events.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{guard_line, run};

/// By pid, with their numbers.
static CHILDREN: Mutex<BTreeMap<u32, u64>> = Mutex::new(BTreeMap::new());

/// The number of the next child.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Children that may have been forked and are not yet known.
static STARTING: AtomicUsize = AtomicUsize::new(0);

/// Whether this process is to be a child subreaper.
static ADOPTS: AtomicBool = AtomicBool::new(false);

fn children() -> MutexGuard<'static, BTreeMap<u32, u64>> {
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether `pid` is a child that was started here and has not been waited for.
pub(crate) fn is_child(pid: u32) -> bool {
    children().contains_key(&pid)
}

/// The pids of all children that were started here and have not been waited for.
pub(super) fn pids() -> HashSet<u32> {
    children().keys().copied().collect()
}

/// Whether `pid`, a child that has ended, is an adopted one, which nothing else waits for. False while a child is being started, which it
/// may be.
pub(super) fn is_adopted(pid: u32) -> bool {
    // In this order: one that was being started a moment ago is known by now, or has been waited for.
    STARTING.load(SeqCst) == 0 && !is_child(pid)
}

/// Sends the guard the whole list. False if it does not get all of it.
pub(super) fn send_list() -> bool {
    let children = children();
    guard_line::send_list(children.keys().copied())
}

/// A child that is being started. While it exists, an unknown child may be this one, and is not reaped.
pub(super) struct Starting {
    number: u64,
}

impl Starting {
    pub(super) fn begin() -> Self {
        STARTING.fetch_add(1, SeqCst);
        Self { number: NEXT.fetch_add(1, SeqCst) }
    }

    /// Its mark, if this run has an id.
    pub(super) fn mark(&self) -> Option<String> {
        run::mark(self.number)
    }

    /// The child has been forked, and has this pid.
    pub(super) fn done(self, pid: u32, ends_family: bool) -> Member {
        let number = self.number;
        let mut children = children();
        children.insert(pid, number);
        guard_line::send(pid.cast_signed());
        // Not before it is known.
        drop((children, self));
        Member { pid, number, ends_family }
    }

    /// There is no child, or no longer. If it is on the guard's list and known by its pid, that is `pid`.
    pub(super) fn failed(self, pid: Option<u32>) {
        let children = children();
        match pid {
            // Another child may have got the number by now.
            Some(pid) if children.contains_key(&pid) => {}
            Some(pid) => guard_line::send(-pid.cast_signed()),
            None if guard_line::send_list(children.keys().copied()) => {}
            None => guard_line::missed(),
        }
        drop((children, self));
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        STARTING.fetch_sub(1, SeqCst);
    }
}

/// A child that was started here. Drop it when the child has been waited for and its group is gone.
#[derive(Debug)]
pub(crate) struct Member {
    pub(super) pid: u32,
    pub(super) number: u64,
    /// Whether all that it has started ends with it.
    pub(super) ends_family: bool,
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut children = children();
        children.remove(&self.pid);
        guard_line::send(-self.pid.cast_signed());
    }
}

/// From now on this process adopts the orphans among the descendants of its children.
pub(super) fn adopt_orphans() {
    ADOPTS.store(true, SeqCst);
    set_subreaper(true);
}

/// Whether this process adopts orphans.
pub(super) fn adopts_orphans() -> bool {
    ADOPTS.load(SeqCst)
}

/// While it exists, orphans go to init.
pub(super) struct NotAdopting(());

impl NotAdopting {
    pub(super) fn begin() -> Self {
        set_subreaper(false);
        Self(())
    }
}

impl Drop for NotAdopting {
    fn drop(&mut self) {
        set_subreaper(adopts_orphans());
    }
}

fn set_subreaper(yes: bool) {
    // SAFETY: sets a flag of this process. A kernel before 3.4 does not know it and leaves orphans to init.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, libc::c_ulong::from(yes), 0, 0, 0) };
}
