//! The locks as methods use them, with either driver.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

use super::claim::{Claim, Token};
use super::config::{Config, Driver as Kind};
use super::error::LockError;
use super::memory::Table;
use super::owners::{Key, Owners};
use super::redis::{self, Redis};
use crate::compat::Compat;
use crate::os::foreign_process::ForeignProcess;

/// Locks that are released before other tasks get a turn.
const RELEASES: usize = 64;

/// How often [`Locks::finish`] looks whether it is done.
const LOOK: Duration = Duration::from_millis(5);

/// All locks.
#[derive(Debug, Clone)]
pub struct Locks(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    driver: Driver,
    owners: Owners,
}

#[derive(Debug)]
enum Driver {
    Memory(Table),
    Redis(Redis),
}

/// Redis cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("lock.config.addrs: lock redis: {0}")]
pub struct OpenError(String);

impl From<redis::Error> for OpenError {
    fn from(error: redis::Error) -> Self {
        Self(error.to_string())
    }
}

impl Locks {
    /// Locks in this process's memory; none yet.
    pub fn in_memory(rules: Compat) -> Self {
        Self::new(Driver::Memory(Table::new(rules)))
    }

    /// Locks as they are configured. Those in Redis may be held already.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn open(config: Option<&Config>, rules: Compat) -> Result<Self, OpenError> {
        match config {
            Some(Config { driver: Some(Kind::Redis), config }) => {
                Ok(Self::new(Driver::Redis(Redis::open(config).await?)))
            }
            _ => Ok(Self::in_memory(rules)),
        }
    }

    fn new(driver: Driver) -> Self {
        Self(Arc::new(Inner { driver, owners: Owners::default() }))
    }

    /// The number of resources that are locked in this process's memory, which ends with it.
    pub(crate) fn in_memory_now(&self) -> usize {
        match &self.0.driver {
            Driver::Memory(table) => table.resources(),
            Driver::Redis(_) => 0,
        }
    }

    /// Acquires a lock within the time that the claim may wait, and returns its token (0 if the claim wants none). `None` when that passes,
    /// or when its id holds the lock already. The lock ends with the process `owner`, if there is one.
    ///
    /// Dropping the future ends the wait, and releases a lock that was granted but not yet reported.
    ///
    /// # Errors
    /// See [`LockError`].
    pub(crate) async fn lock(&self, claim: Claim, owner: Option<u32>) -> Result<Option<Token>, LockError> {
        let Inner { driver, owners } = &*self.0;
        if let Some(pid) = owner
            && let Some(process) = owners.watch(pid)?
        {
            tokio::spawn(release_at_the_end_of(process, Arc::downgrade(&self.0)));
        }
        let key: Key = (claim.resource.as_str().into(), claim.id.as_str().into());
        let ttl = claim.ttl;
        let granted = match driver {
            Driver::Memory(table) => table.lock(claim).await?,
            Driver::Redis(redis) => redis.lock(claim).await?,
        };
        // Nothing is waited for from here on, so that a lock that was granted is known to be owned.
        if granted.is_some() {
            match owner {
                Some(pid) => {
                    if let Err(error) = owners.add(key.clone(), pid, ttl) {
                        driver
                            .release_later(key, ttl.map(|ttl| super::owners::deadline(Instant::now(), ttl)));
                        return Err(error);
                    }
                }
                None => owners.forget(&key.0, &key.1),
            }
        }
        Ok(granted)
    }

    /// Releases the lock of one owner; false when it has none. `patience` limits how long Redis may take.
    ///
    /// # Errors
    /// If Redis cannot be asked.
    pub(crate) async fn release(
        &self,
        resource: &str,
        id: &str,
        patience: Option<Duration>,
    ) -> Result<bool, LockError> {
        let released = match &self.0.driver {
            Driver::Memory(table) => table.release(resource, id),
            Driver::Redis(redis) => redis.release(resource, id, patience).await?,
        };
        self.0.owners.forget(resource, id);
        Ok(released)
    }

    /// Releases all locks of a resource; false when there are none.
    ///
    /// # Errors
    /// If Redis cannot be asked.
    pub(crate) async fn force_release(
        &self,
        resource: &str,
        patience: Option<Duration>,
    ) -> Result<bool, LockError> {
        let released = match &self.0.driver {
            Driver::Memory(table) => table.force_release(resource),
            Driver::Redis(redis) => redis.force_release(resource, patience).await?,
        };
        self.0.owners.forget_all(resource);
        Ok(released)
    }

    /// Whether an owner holds a resource; for `*`, whether any owner does.
    ///
    /// # Errors
    /// If Redis cannot be asked.
    pub(crate) async fn exists(
        &self,
        resource: &str,
        id: &str,
        patience: Option<Duration>,
    ) -> Result<bool, LockError> {
        match &self.0.driver {
            Driver::Memory(table) => Ok(table.exists(resource, id)),
            Driver::Redis(redis) => Ok(redis.exists(resource, id, patience).await?),
        }
    }

    /// Lets a lock expire `ttl` from now, or never. False when there is no such lock.
    ///
    /// # Errors
    /// If Redis cannot be asked.
    pub(crate) async fn update_ttl(
        &self,
        resource: &str,
        id: &str,
        ttl: Option<Duration>,
        patience: Option<Duration>,
    ) -> Result<bool, LockError> {
        let updated = match &self.0.driver {
            Driver::Memory(table) => table.update_ttl(resource, id, ttl),
            Driver::Redis(redis) => redis.update_ttl(resource, id, ttl, patience).await?,
        };
        if updated {
            self.0.owners.update(resource, id, ttl);
        }
        Ok(updated)
    }

    /// Waits until the locks of processes that have ended are released, no longer than `patience`. Other locks in Redis stay.
    pub async fn finish(&self, patience: Duration) {
        let Driver::Redis(redis) = &self.0.driver else { return };
        let deadline = Instant::now() + patience;
        while (self.0.owners.has_ended() || redis.is_releasing()) && Instant::now() < deadline {
            sleep(LOOK).await;
        }
    }
}

impl Driver {
    /// Releases a lock whose owner has ended, even if that is not possible at once.
    fn release_later(&self, (resource, id): Key, until: Option<Instant>) {
        match self {
            Self::Memory(table) => drop(table.release(&resource, &id)),
            Self::Redis(redis) => redis.release_later((resource, id), until),
        }
    }
}

async fn release_at_the_end_of(process: ForeignProcess, locks: Weak<Inner>) {
    process.ended().await;
    let Some(locks) = locks.upgrade() else { return };
    for (number, (key, until)) in (1..).zip(locks.owners.bury(process.pid())) {
        locks.driver.release_later(key, until);
        if number % RELEASES == 0 {
            yield_now().await;
        }
    }
}
