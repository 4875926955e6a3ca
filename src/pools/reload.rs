//! A reload: other settings for all pools, in force as a whole or not at all.
//!
//! ```text
//!  prepare: new pools are started; of each that needs new workers, one is started for trial ──fails──▶ nothing has changed
//!  commit:  pools and routes are replaced ─▶ workers are replaced one after the other; removed pools finish what they have in hand
//! ```
//!
//! Requests that were routed before are finished by their pool. One that comes to it too late is routed again (`directory`).

use std::sync::{Arc, PoisonError};

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;

use super::directory::{Directory, Pools, Settings};
use super::named::{NamedPool, StartError};
use super::rule::Match;
use crate::pool::{Difference, Replacement, ResetError, Start, Trial};

/// What a reload does with a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Done {
    /// It goes on as it is.
    Kept,
    /// It has another size, or another queue.
    Configured,
    /// Its workers are replaced.
    WorkersReplaced,
    /// Another pool takes its place.
    Replaced,
    /// It is new.
    Added,
    /// It ends when it has finished what it has in hand.
    Removed,
}

impl Done {
    /// What has to be done with a pool so that it has these settings.
    fn to(pool: &NamedPool, start: &Start) -> Self {
        let difference = Difference::between(&pool.settings(), start);
        // One that is required from now on has to start first.
        if start.required && !pool.is_required() && !pool.is_ready() {
            return Self::Replaced;
        }
        match difference {
            // One that could not be begun yet has nothing that could go on.
            Difference::Pool | Difference::Workers if pool.started().is_none() => Self::Replaced,
            Difference::None | Difference::Pool if pool.is_mixed() => Self::WorkersReplaced,
            Difference::None => Self::Kept,
            Difference::Pool => Self::Configured,
            Difference::Workers => Self::WorkersReplaced,
            Difference::Everything => Self::Replaced,
        }
    }
}

/// Settings that can be put in force. Dropped, they are not.
#[derive(Debug)]
#[must_use = "nothing changes until it is committed"]
pub(crate) struct Prepared {
    newcomers: Newcomers,
    /// In the order of the file.
    plan: Vec<Planned>,
    matches: Vec<Match>,
}

#[derive(Debug)]
struct Planned {
    pool: Arc<NamedPool>,
    start: Start,
    done: Done,
    trial: Option<Trial>,
}

/// Pools that are started before they are in force. Those that do not come into force are let go.
#[derive(Debug)]
struct Newcomers {
    pools: Pools,
    started: Vec<Arc<NamedPool>>,
}

/// Settings that are in force.
#[derive(Debug)]
#[must_use = "the replacement of workers is not waited for"]
pub(crate) struct Committed {
    /// What is done with each pool, by name.
    pub(crate) done: Vec<(String, Done)>,
    replacements: Vec<(Arc<NamedPool>, Replacement)>,
}

impl Pools {
    /// Prepares to go on with other settings: starts pools that are new and required, and tries whether the others can go on with them.
    ///
    /// # Errors
    /// The first that cannot. Nothing has changed then.
    pub(crate) async fn prepare(&self, settings: Settings) -> Result<Prepared, StartError> {
        let matches = settings.matches();
        let mut newcomers = Newcomers { pools: self.clone(), started: Vec::new() };
        let mut plan = Vec::new();
        for start in settings.starts(&self.shared.relays) {
            plan.push(self.plan(start, &mut newcomers)?);
        }
        let mut preparing: FuturesUnordered<_> = plan.iter_mut().map(Planned::prepare).collect();
        while let Some(result) = preparing.next().await {
            result?;
        }
        drop(preparing);
        Ok(Prepared { newcomers, plan, matches })
    }

    fn plan(&self, start: Start, newcomers: &mut Newcomers) -> Result<Planned, StartError> {
        let known = self.get(&start.name);
        let done = known.as_ref().map_or(Done::Added, |pool| Done::to(pool, &start));
        let goes_on = matches!(done, Done::Kept | Done::Configured | Done::WorkersReplaced);
        let pool = if let Some(pool) = known.filter(|_| goes_on) {
            pool
        } else {
            let number = self.shared.names.number(&start.name).ok_or(StartError::TooManyNames)?;
            newcomers.add(NamedPool::new(start.clone(), number))
        };
        Ok(Planned { pool, start, done, trial: None })
    }

    /// Lets a pool that is not in force finish what it has in hand, and end.
    fn let_go(&self, pool: Arc<NamedPool>) {
        let others = || self.shared.others.lock().unwrap_or_else(PoisonError::into_inner);
        if !others().iter().any(|other| Arc::ptr_eq(other, &pool)) {
            others().push(Arc::clone(&pool));
        }
        let pools = self.clone();
        self.spawn(async move {
            pool.drain().await;
            pools.forget(&pool);
        });
    }

    /// A pool is in force, or has ended.
    fn forget(&self, pool: &Arc<NamedPool>) {
        let mut others = self.shared.others.lock().unwrap_or_else(PoisonError::into_inner);
        others.retain(|other| !Arc::ptr_eq(other, pool));
    }
}

impl Planned {
    async fn prepare(&mut self) -> Result<(), StartError> {
        match self.done {
            Done::Added | Done::Replaced if self.start.required => self.pool.start().await,
            Done::Configured | Done::WorkersReplaced => {
                if let Some(pool) = self.pool.started() {
                    let replaces = self.done == Done::WorkersReplaced;
                    self.trial = Some(self.pool.try_out(pool, &self.start, replaces).await?);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Prepared {
    /// Puts the settings in force.
    pub(crate) fn commit(mut self) -> Committed {
        let pools = self.newcomers.pools.clone();
        let plan = std::mem::take(&mut self.plan);
        let listed = plan.iter().map(|planned| Arc::clone(&planned.pool)).collect();
        let before = pools.shared.current.swap(Arc::new(Directory::new(listed, self.matches)));
        self.newcomers.are_in_force();
        let mut committed = Committed { done: Vec::new(), replacements: Vec::new() };
        for pool in &before.pools {
            let after = plan.iter().find(|planned| planned.pool.name() == pool.name());
            if after.is_none_or(|planned| !Arc::ptr_eq(&planned.pool, pool)) {
                pools.let_go(Arc::clone(pool));
            }
            if after.is_none() {
                committed.done.push((pool.name().to_owned(), Done::Removed));
            }
        }
        for Planned { pool, start, done, trial } in plan {
            let name = pool.name().to_owned();
            let is_new = matches!(done, Done::Added | Done::Replaced);
            if is_new && !start.required {
                pools.keep_starting(&pool);
            }
            pool.set_settings(start);
            if done == Done::WorkersReplaced {
                pool.set_mixed(true);
            }
            committed.replacements.extend(trial.map(|trial| (Arc::clone(&pool), trial.commit())));
            committed.done.push((name, done));
        }
        committed
    }
}

impl Committed {
    /// Waits until all workers that are to be replaced are. Returns the pools in which some were not, which go on.
    pub(crate) async fn over(self) -> Vec<(String, ResetError)> {
        let over = self.replacements.into_iter().map(|(pool, replacement)| async move {
            match replacement.over().await {
                Ok(()) => {
                    pool.set_mixed(false);
                    None
                }
                Err(error) => Some((pool.name().to_owned(), error)),
            }
        });
        join_all(over).await.into_iter().flatten().collect()
    }
}

impl Newcomers {
    fn add(&mut self, pool: NamedPool) -> Arc<NamedPool> {
        let pool = Arc::new(pool);
        self.pools.shared.others.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&pool));
        self.started.push(Arc::clone(&pool));
        pool
    }

    fn are_in_force(&mut self) {
        for pool in self.started.drain(..) {
            self.pools.forget(&pool);
        }
    }
}

impl Drop for Newcomers {
    fn drop(&mut self) {
        for pool in self.started.drain(..) {
            self.pools.let_go(pool);
        }
    }
}
