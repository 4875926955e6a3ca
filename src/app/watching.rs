//! Resets pools when files change.

use std::io;
use std::path::Path;
use std::sync::Arc;

use globset::Glob;
use tokio::task::JoinSet;
use tracing::info;

use crate::config::Config;
use crate::pools::{NamedPool, Pools};
use crate::watch::{Patterns, Watch};

/// Watches files until it is dropped.
#[derive(Debug)]
pub(super) struct Watching {
    /// Whether pools without globs are reset when a file changes that is usually code.
    all: bool,
    watched: Vec<Watched>,
    tasks: JoinSet<()>,
}

/// Pools that watch the same files.
#[derive(Debug)]
struct Watched {
    globs: Vec<Glob>,
    pools: Vec<Arc<NamedPool>>,
}

impl Watching {
    pub(super) fn new(all: bool) -> Self {
        Self { all, watched: Vec::new(), tasks: JoinSet::new() }
    }

    /// Watches what this configuration asks for from now on.
    ///
    /// # Errors
    /// If files cannot be watched.
    pub(super) fn set(&mut self, config: &Config, work_dir: &Path, pools: &Pools) -> io::Result<()> {
        let watched = self.wanted(config, pools);
        if is_same(&watched, &self.watched) {
            return Ok(());
        }
        // The kernel has few watches, so those before make room. If this fails, the next time tries again.
        self.watched.clear();
        self.tasks = JoinSet::new();
        for Watched { globs, pools } in &watched {
            let patterns = Patterns::new(work_dir, globs).map_err(io::Error::other)?;
            self.tasks.spawn(reset_on_changes(Watch::start(patterns)?, pools.clone()));
        }
        self.watched = watched;
        Ok(())
    }

    fn wanted(&self, config: &Config, pools: &Pools) -> Vec<Watched> {
        let settings = std::iter::once(&config.pool).chain(config.pools.iter().map(|pool| &pool.pool));
        let mut watched: Vec<Watched> = Vec::new();
        for (settings, pool) in settings.zip(pools.all()) {
            if settings.watch.is_empty() && !self.all {
                continue;
            }
            match watched.iter_mut().find(|watched| watched.globs == settings.watch) {
                Some(watched) => watched.pools.push(pool),
                None => watched.push(Watched { globs: settings.watch.clone(), pools: vec![pool] }),
            }
        }
        watched
    }
}

fn is_same(one: &[Watched], other: &[Watched]) -> bool {
    let same_pools = |one: &[Arc<NamedPool>], other: &[Arc<NamedPool>]| {
        one.len() == other.len() && one.iter().zip(other).all(|(one, other)| Arc::ptr_eq(one, other))
    };
    one.len() == other.len()
        && one
            .iter()
            .zip(other)
            .all(|(one, other)| one.globs == other.globs && same_pools(&one.pools, &other.pools))
}

async fn reset_on_changes(mut watch: Watch, pools: Vec<Arc<NamedPool>>) {
    loop {
        let file = watch.changed().await;
        info!(target: "watch", file = %file.display(), "file changed, resetting the workers");
        // The pools log the outcome.
        futures_util::future::join_all(pools.iter().map(|pool| pool.reset())).await;
    }
}
