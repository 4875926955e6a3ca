//! What the actor puts in force when the pool goes on with other settings.

use tokio::sync::oneshot;

use super::Config;
use super::core::{ResetEnd, Scaling};
use super::recipe::Recipe;

/// What the actor is to put in force.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) recipe: Recipe,
    /// The number of workers, if it is another one.
    pub(super) target: Option<usize>,
    pub(super) scaling: Option<Scaling>,
    /// If all workers are to be replaced: where that is reported.
    pub(super) replaced: Option<oneshot::Sender<ResetEnd>>,
}

/// `pool.dynamic_allocator`, as far as the core needs it.
pub(super) fn scaling(config: &Config) -> Option<Scaling> {
    let scaling = config.dynamic_allocator.as_ref()?;
    Some(Scaling { most: scaling.max_workers, per_second: scaling.spawn_rate })
}
