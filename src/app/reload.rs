//! Reloads: the configuration is read again, and what has changed takes effect as a whole, or not at all.
//!
//! ```text
//!  SIGHUP, causeway.Reload ─▶ one task ─▶ read and check ─▶ what has changed ─▶ prepare ─▶ commit ─▶ workers are replaced ─▶ report
//!                                              │                                  │
//!                                              └── a mistake ──▶ report ◀─────────┘ a worker does not become ready, a log cannot be opened
//! ```
//!
//! Requests that come before a reload begins share it; those that come later begin another one. What only a restart can change stays as it
//! is, and is named: the configuration in force is the new one with the old values of these keys.

use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::access::Access;
use super::effects::{Effect, RESTART, words};
use super::watching::Watching;
use crate::config::{self, Change, Config, Loaded, Sources};
use crate::offload;
use crate::pools::{self, Done, Pools};
use crate::rpc;
use crate::service::{self, Notifier};
use crate::telemetry::logs::{self, Log};
use crate::telemetry::metrics::Registry;
use crate::worker::Environment;

/// Where the configuration comes from, what else the command line says, and who is to know of reloads.
#[derive(Debug)]
pub(crate) struct Origin {
    /// The sources, independent of the current directory.
    pub(crate) sources: Sources,
    /// `-d`: everything is logged, whatever the configuration says.
    pub(crate) is_debug: bool,
    /// `--watch`: pools without globs are reset when a file changes that is usually code.
    pub(crate) watches_all: bool,
    /// The log of this process.
    pub(crate) log: Weak<Log>,
    /// The service manager.
    pub(crate) notifier: Notifier,
}

/// The parts that a reload touches.
#[derive(Debug)]
pub(super) struct Reloader {
    pub(super) origin: Origin,
    pub(super) in_force: Arc<ArcSwap<Loaded>>,
    pub(super) pools: Pools,
    pub(super) services: Arc<rpc::Services>,
    /// `rpc.listen`, for workers.
    pub(super) rpc: Option<String>,
    pub(super) watching: Watching,
    pub(super) access: Access,
    /// The proxy's address.
    pub(super) address: String,
}

/// How a reload went, as JSON for its caller.
#[derive(Debug, Serialize)]
struct Report {
    result: Outcome,
    changes: Vec<Changed>,
    /// Why it did not, or not completely, take effect.
    errors: Vec<String>,
    warnings: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    /// All that can change without a restart is in force.
    Done,
    /// The same, but some workers could not be replaced and go on.
    Incomplete,
    /// Nothing has changed: the new settings do not work.
    Failed,
    /// Nothing has changed: there are mistakes in the configuration.
    Invalid,
}

/// A key with another value, and what was done; or a pool whose workers had older settings, without values.
#[derive(Debug, Serialize)]
struct Changed {
    key: String,
    old: Option<String>,
    new: Option<String>,
    done: &'static str,
}

impl Reloader {
    /// Reloads whenever that is requested.
    pub(super) async fn run(mut self, mut requests: mpsc::Receiver<oneshot::Sender<String>>) {
        while let Some(first) = requests.recv().await {
            let mut waiting = vec![first];
            while let Ok(another) = requests.try_recv() {
                waiting.push(another);
            }
            info!(target: "config", "reloading the configuration");
            self.origin.notifier.reloading(self.at_most()).await;
            let begun = Instant::now();
            let report = Box::pin(self.reload()).await;
            report.log(begun);
            self.note(&report);
            self.origin.notifier.ready(&self.status(&report)).await;
            let text = serde_json::to_string(&report).unwrap_or_default();
            for reply in waiting {
                // Its caller may have gone.
                let _ = reply.send(text.clone());
            }
        }
    }

    async fn reload(&mut self) -> Report {
        let sources = self.origin.sources.clone();
        // Names of hosts may have to be resolved.
        let read = offload::background(move || config::load(&sources)).await;
        let new = match read {
            Ok(Ok(new)) => new,
            Ok(Err(error)) => return Report::of(Outcome::Invalid, error.lines().collect()),
            Err(error) => return Report::of(Outcome::Failed, vec![error.to_string()]),
        };
        let old = self.in_force.load_full();
        let changes = old.changes(&new);
        let effects: Vec<_> =
            changes.iter().map(|change| Effect::of(change, &old.config, &new.config)).collect();
        let at_restart = changes.iter().zip(&effects).filter(|(_, effect)| **effect == Effect::Restart);
        let at_restart: Vec<&Change> = at_restart.map(|(change, _)| change).collect();
        let mut in_force = new.keeping(&old, &at_restart);
        if self.origin.is_debug {
            in_force.config.logs.level = Some(logs::Level::Debug);
        }
        let warnings = in_force.warnings.iter().map(ToString::to_string).collect();
        let (pools, errors) = match self.apply(&old, in_force).await {
            Ok(applied) => applied,
            Err(reason) => return Report { warnings, ..Report::of(Outcome::Failed, vec![reason]) },
        };
        let listed = changes.iter().zip(effects).map(|(change, effect)| Changed {
            key: change.key(),
            old: change.old.clone(),
            new: change.new.clone(),
            done: effect.outcome(&pools),
        });
        let mut listed: Vec<_> = listed.collect();
        let replaced = words(Done::WorkersReplaced);
        if listed.iter().all(|change| change.done != replaced) {
            // Those that an earlier reload has left.
            let pools = pools.iter().filter(|(_, done)| *done == Done::WorkersReplaced);
            listed.extend(pools.map(|(name, _)| Changed {
                key: name.clone(),
                old: None,
                new: None,
                done: replaced,
            }));
        }
        let result = if errors.is_empty() { Outcome::Done } else { Outcome::Incomplete };
        Report { result, changes: listed, errors, warnings }
    }

    /// Puts a configuration in force. Returns what was done with each pool, and what could not be completed.
    async fn apply(
        &mut self,
        old: &Loaded,
        new: Loaded,
    ) -> Result<(Vec<(String, Done)>, Vec<String>), String> {
        let settings = settings(&new, self.rpc.clone());
        let access = self.access.prepare(&new.config).await.map_err(|error| new.explain(&error))?;
        // Last, since what a new pool runs first cannot be undone.
        let prepared = self.pools.prepare(settings).await.map_err(|error| new.explain(&error.to_string()))?;
        let mut errors = {
            let log = self.origin.log.upgrade();
            let log = log.as_deref().map(|log| log.prepare(&new.config.logs)).transpose();
            let log = log.map_err(|error| new.explain(&error.to_string()))?;
            // From here on nothing fails as a whole.
            access.commit();
            if let Some(log) = log {
                log.commit();
            }
            declare(&self.services.metrics, &old.config, &new.config)
        };
        let committed = prepared.commit();
        if let Err(error) = self.watching.set(&new.config, &new.work_dir, &self.pools) {
            errors.push(format!("cannot watch files: {error}"));
        }
        self.services.config.store(Arc::new(new.shown.clone().into()));
        self.in_force.store(Arc::new(new));
        let done = committed.done.clone();
        for (pool, error) in committed.over().await {
            errors.push(format!("{pool}: not all workers were replaced: {error}"));
        }
        Ok((done, errors))
    }

    /// How long a reload may take: workers are started for trial, and then replaced.
    fn at_most(&self) -> Duration {
        self.in_force.load().config.start_time().saturating_mul(2)
    }

    /// What the service manager shows.
    fn status(&self, report: &Report) -> String {
        let workers = self.in_force.load().config.workers();
        let serving = format!("serving {} with {workers} workers", self.address);
        match report.errors.first() {
            Some(reason) => format!("{serving}; the last reload failed: {reason}"),
            None => serving,
        }
    }

    /// Keeps the outcome for operators that look later.
    fn note(&self, report: &Report) {
        let overview = &self.services.overview;
        if matches!(report.result, Outcome::Done | Outcome::Incomplete) {
            overview.reloaded(&self.in_force.load().shown, &report.warnings);
        }
        if report.result != Outcome::Done {
            overview.reload_failed(report.errors.join("\n"));
        }
    }
}

/// What the pools are made of.
pub(super) fn settings(loaded: &Loaded, rpc: Option<String>) -> pools::Settings {
    let Loaded { config, .. } = loaded;
    pools::Settings {
        pool: config.pool.clone(),
        pools: config.pools.clone(),
        server: config.server.clone(),
        environment: environment(loaded, rpc),
        max_message_size: config.proxy.max_message_size,
    }
}

/// Where workers run.
pub(super) fn environment(loaded: &Loaded, rpc: Option<String>) -> Environment {
    let inherited = loaded.env.iter().filter(|(name, _)| !service::is_private(name)).cloned().collect();
    Environment { work_dir: loaded.work_dir.clone(), inherited, rpc, compat: loaded.config.compat }
}

/// Declares the collectors of `metrics.collect` that are new or others, and removes those that are gone. One that is unchanged keeps its
/// values, and so do those that workers have declared.
fn declare(registry: &Registry, old: &Config, new: &Config) -> Vec<String> {
    let collect =
        |config: &Config| config.metrics.as_ref().map(|metrics| metrics.collect.clone()).unwrap_or_default();
    let (old, new) = (collect(old), collect(new));
    for name in old.iter().filter(|(name, before)| new.get(*name) != Some(before)).map(|(name, _)| name) {
        registry.unregister(name);
    }
    let others = new.iter().filter(|(name, collector)| old.get(*name) != Some(collector));
    let failed = others.filter_map(|(name, collector)| {
        let reason = registry.declare(name, collector).err()?;
        Some(format!("metrics.collect.{name}: {reason}"))
    });
    failed.collect()
}

impl Report {
    fn of(result: Outcome, errors: Vec<String>) -> Self {
        Self { result, changes: Vec::new(), errors, warnings: Vec::new() }
    }

    fn log(&self, begun: Instant) {
        for warning in &self.warnings {
            warn!(target: "config", "{warning}");
        }
        for Changed { key, old, new, done } in &self.changes {
            let (old, new) = (old.as_deref(), new.as_deref());
            if *done == RESTART {
                warn!(target: "config", key, old, new, "setting needs a restart");
            } else {
                info!(target: "config", key, old, new, done, "setting changed");
            }
        }
        for reason in &self.errors {
            error!(target: "config", "{reason}");
        }
        let (changes, took) = (self.changes.len(), begun.elapsed());
        match self.result {
            Outcome::Done => info!(target: "config", changes, ?took, "configuration reloaded"),
            Outcome::Incomplete => {
                warn!(target: "config", changes, ?took, "configuration reloaded, but not all of it took effect");
            }
            Outcome::Failed | Outcome::Invalid => {
                error!(target: "config", "configuration not reloaded: the old one stays in force");
            }
        }
    }
}
