//! Other settings for a pool that goes on: what they touch, and whether a worker starts with them, before the actor puts them in force.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::change::{Change, scaling};
use super::core::ResetEnd;
use super::handle::{Pool, Start, StartError};
use super::mailbox::Message;
use super::operations::ResetError;
use super::recipe::Recipe;
use super::{Config, handle};
use crate::worker::{BootError, Booted, Command, Driver, Launcher, Notice};

/// What the difference between two settings of a pool touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Difference {
    /// They are the same.
    None,
    /// How many workers there are, or how requests wait for them.
    Pool,
    /// What workers are started from or live by.
    Workers,
    /// What a pool cannot change while it runs: another one takes its place.
    Everything,
}

impl Difference {
    /// What is touched when `new` replaces `old`.
    pub(crate) fn between(old: &Start, new: &Start) -> Self {
        let (a, b) = (&old.pool, &new.pool);
        let is_other_kind = a.debug != b.debug || b.debug && a.num_workers != b.num_workers;
        if is_other_kind || old.server.relay != new.server.relay {
            Self::Everything
        } else if old.command() != new.command()
            || of_workers(a) != of_workers(b)
            || old.server.of_each_worker() != new.server.of_each_worker()
            || old.environment != new.environment
        {
            Self::Workers
        } else if a == b {
            Self::None
        } else {
            Self::Pool
        }
    }
}

impl Start {
    /// What its workers run.
    pub(crate) fn command(&self) -> &Command {
        self.pool.command.as_ref().unwrap_or(&self.server.command)
    }
}

/// The settings that workers live by; what only the pool itself does is the same in all of these.
fn of_workers(config: &Config) -> Config {
    Config {
        num_workers: 0,
        max_queue_size: 0,
        allocate_timeout: Duration::ZERO,
        reset_timeout: Duration::ZERO,
        command: None,
        watch: Vec::new(),
        dynamic_allocator: None,
        ..config.clone()
    }
}

/// Settings with which a worker has become ready, to be put in force.
#[derive(Debug)]
#[must_use = "nothing changes until the settings are put in force"]
pub(crate) struct Trial {
    pool: Pool,
    change: Change,
    replaces: bool,
}

/// The replacement of workers by those of new settings, if there is one.
#[derive(Debug)]
#[must_use = "it is not waited for"]
pub(crate) struct Replacement(Option<(oneshot::Receiver<ResetEnd>, Duration)>);

impl Pool {
    /// Prepares to go on with the settings `new` instead of `old`. If that `replaces` workers or takes more of them, one is started for trial,
    /// and leaves again.
    ///
    /// # Errors
    /// When it does not become ready, or the pool has shut down. Nothing has changed then.
    pub(crate) async fn try_out(
        &self,
        old: &Start,
        new: &Start,
        replaces: bool,
    ) -> Result<Trial, StartError> {
        let gone = || StartError::Boot("the server is shutting down".into());
        let launcher = self.launcher.upgrade().ok_or_else(gone)?;
        let recipe = handle::recipe(new, &launcher, &self.parts.counters)?;
        if replaces || new.pool.num_workers > old.pool.num_workers {
            start_one(&launcher, &recipe).await.map_err(|error| StartError::Boot(error.to_string()))?;
        }
        let (before, now) = (old.pool.num_workers, new.pool.num_workers);
        let target = Some(now).filter(|_| before != now && !new.pool.debug);
        let change = Change { recipe, target, scaling: scaling(&new.pool), replaced: None };
        Ok(Trial { pool: self.clone(), change, replaces })
    }
}

impl Trial {
    /// Puts the settings in force.
    pub(crate) fn commit(mut self) -> Replacement {
        let (reply, end) = oneshot::channel();
        self.change.replaced = Some(reply).filter(|_| self.replaces);
        let replacement = self.replaces.then_some((end, self.change.recipe.reset_timeout));
        self.pool.parts.mailbox.send(Message::Configure(Box::new(self.change)));
        Replacement(replacement)
    }
}

impl Replacement {
    /// Waits until all workers are new.
    ///
    /// # Errors
    /// When some are not replaced, which go on; see [`ResetError`].
    pub(crate) async fn over(self) -> Result<(), ResetError> {
        match self.0 {
            None => Ok(()),
            Some((end, limit)) => ResetError::of(end.await, limit),
        }
    }
}

/// Starts a worker, waits until it is ready, and lets it leave.
async fn start_one(launcher: &Launcher, recipe: &Recipe) -> Result<(), BootError> {
    let (_call_off, called_off) = oneshot::channel();
    let Booted { process, exchange, numbered } = launcher.boot(&recipe.launch, called_off).await?;
    process.stop(Some(exchange), recipe.destroy_timeout);
    let driver = numbered.map(|numbered| numbered.driver);
    tokio::spawn(async move {
        let status = Arc::clone(process.status());
        tokio::select! {
            () = drive(driver) => {}
            _ = status.exited() => {}
        }
        // Its handle is kept until then: dropped, it kills the process.
        status.exited().await;
        drop(process);
    });
    Ok(())
}

/// Lets a connection with many requests say its farewell.
async fn drive(driver: Option<Driver>) {
    let Some(mut driver) = driver else { return };
    while !matches!(driver.next().await, Notice::Ended(_) | Notice::Left) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compat::Compat;
    use crate::pool::DynamicAllocator;
    use crate::worker::{self, Environment, RelayAddress, Relays};

    fn start() -> Start {
        Start {
            name: "centrifuge".into(),
            required: true,
            pool: Config::default(),
            server: worker::Config::default(),
            relays: Relays::default(),
            relay_key: "server.relay".into(),
            environment: Environment {
                work_dir: "/".into(),
                inherited: vec![("A".into(), "1".into())],
                rpc: None,
                compat: Compat::default(),
            },
            max_message_size: 1,
        }
    }

    #[test]
    fn a_difference_touches_no_more_than_it_has_to() {
        type Edit = fn(&mut Start);
        let edits: [(Edit, Difference); 14] = [
            (|_| {}, Difference::None),
            (|start| start.pool.num_workers += 1, Difference::Pool),
            (|start| start.pool.max_queue_size = 7, Difference::Pool),
            (|start| start.pool.allocate_timeout = Duration::ZERO, Difference::Pool),
            (|start| start.pool.dynamic_allocator = Some(DynamicAllocator::default()), Difference::Pool),
            (|start| start.pool.max_jobs = 7, Difference::Workers),
            (|start| start.pool.slow_after = Duration::from_secs(1), Difference::Workers),
            (|start| start.server.env.push(("B".into(), "2".into())), Difference::Workers),
            (|start| start.server.user = Some("nobody".into()), Difference::Workers),
            (|start| start.server.umask = Some(0o27), Difference::Workers),
            (|start| start.server.command.argv = vec!["php".into()], Difference::Workers),
            (|start| start.environment.inherited[0].1 = "2".into(), Difference::Workers),
            (|start| start.pool.debug = true, Difference::Everything),
            (|start| start.server.relay = RelayAddress::Unix("x".into()), Difference::Everything),
        ];
        for (number, (edit, expected)) in edits.into_iter().enumerate() {
            let mut new = start();
            edit(&mut new);
            assert_eq!(Difference::between(&start(), &new), expected, "{number}");
        }
    }
}
