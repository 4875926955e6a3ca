//! Locks that end with the process that owns them.
//!
//! The process names itself by its pid when it asks for the lock: a connection ends for other reasons, too, and over TCP the kernel does not
//! say whose it is. A caller that names another process only shortens its own lock.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::error::LockError;
use super::limits::{LimitReached, MAX_BYTES, MAX_ENTRIES, MAX_OWNERS, size};
use crate::os::foreign_process::ForeignProcess;

/// A resource, and the id that holds it.
pub(super) type Key = (Arc<str>, Arc<str>);

/// The locks that have an owner.
#[derive(Debug, Default)]
pub(super) struct Owners(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    watched: HashMap<u32, ForeignProcess>,
    owned: BTreeMap<Key, Owned>,
    /// What they count as.
    bytes: usize,
}

/// A lock with an owner.
#[derive(Debug)]
struct Owned {
    pid: u32,
    /// When it expires.
    until: Option<Instant>,
}

impl Owners {
    /// Makes sure that the process is watched. Returns it if its end has to be waited for from now on, after which [`Owners::bury`] is due.
    ///
    /// # Errors
    /// If there is no such process, or too many are watched.
    pub(super) fn watch(&self, pid: u32) -> Result<Option<ForeignProcess>, LockError> {
        let found = ForeignProcess::find(pid).ok_or(LockError::NoOwner(pid))?;
        let mut state = self.state();
        // One with the same pid that has ended is about to be buried.
        if let Some(known) = state.watched.get(&pid) {
            return if known.is_alive() { Ok(None) } else { Err(LockError::NoOwner(pid)) };
        }
        if state.watched.len() >= MAX_OWNERS {
            return Err(LockError::Owners);
        }
        state.watched.insert(pid, found);
        Ok(Some(found))
    }

    /// Binds a granted lock to the process.
    ///
    /// # Errors
    /// If the process has ended, or a limit is reached.
    pub(super) fn add(&self, key: Key, pid: u32, ttl: Option<Duration>) -> Result<(), LockError> {
        let mut state = self.state();
        if !state.watched.contains_key(&pid) {
            return Err(LockError::NoOwner(pid));
        }
        state.forget(&key);
        let bytes = size(&key.0, &key.1);
        if state.is_full(bytes) {
            let now = Instant::now();
            state.retain(|_, owned| owned.until.is_none_or(|until| until > now));
        }
        if state.is_full(bytes) {
            return Err(LimitReached::Entries.into());
        }
        let until = ttl.map(|ttl| deadline(Instant::now(), ttl));
        state.owned.insert(key, Owned { pid, until });
        state.bytes += bytes;
        Ok(())
    }

    /// The lock expires `ttl` from now, or never.
    pub(super) fn update(&self, resource: &str, id: &str, ttl: Option<Duration>) {
        if let Some(owned) = self.state().owned.get_mut(&(resource.into(), id.into())) {
            owned.until = ttl.map(|ttl| deadline(Instant::now(), ttl));
        }
    }

    /// The lock has no owner any more: it was released, or belongs to another claim.
    pub(super) fn forget(&self, resource: &str, id: &str) {
        let mut state = self.state();
        if !state.owned.is_empty() {
            state.forget(&(resource.into(), id.into()));
        }
    }

    /// All locks of a resource were released.
    pub(super) fn forget_all(&self, resource: &str) {
        let mut state = self.state();
        if !state.owned.is_empty() {
            state.retain(|(of, _), _| &**of != resource);
        }
    }

    /// The process has ended. Returns what it owned, without what has expired, and until when.
    pub(super) fn bury(&self, pid: u32) -> Vec<(Key, Option<Instant>)> {
        let mut state = self.state();
        state.watched.remove(&pid);
        let now = Instant::now();
        let mut ended = Vec::new();
        state.retain(|key, owned| {
            if owned.pid == pid && owned.until.is_none_or(|until| until > now) {
                ended.push((key.clone(), owned.until));
            }
            owned.pid != pid
        });
        ended
    }

    /// Whether a process has ended and was not buried yet.
    pub(super) fn has_ended(&self) -> bool {
        self.state().watched.values().any(|process| !process.is_alive())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_full(&self, bytes: usize) -> bool {
        self.owned.len() >= MAX_ENTRIES || self.bytes + bytes > MAX_BYTES
    }

    fn forget(&mut self, key: &Key) {
        if self.owned.remove(key).is_some() {
            self.bytes -= size(&key.0, &key.1);
        }
    }

    fn retain(&mut self, mut keep: impl FnMut(&Key, &Owned) -> bool) {
        self.owned.retain(|key, owned| keep(key, owned));
        self.bytes = self.owned.keys().map(|(resource, id)| size(resource, id)).sum();
    }
}

/// The time `span` later; effectively never if that is too far away.
pub(super) fn deadline(from: Instant, span: Duration) -> Instant {
    const FAR: Duration = Duration::from_hours(30 * 365 * 24);
    from + span.min(FAR)
}
