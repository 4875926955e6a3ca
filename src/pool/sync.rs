//! What `idle` is built of. The `interleavings` of this workspace put a scheduler's own primitives in the place of these.

pub(super) use std::hint::spin_loop;
pub(super) use std::sync::atomic::{AtomicU64, Ordering};

pub(super) use crossbeam::atomic::AtomicCell;
pub(super) use crossbeam::utils::CachePadded;
pub(super) use tokio::sync::Semaphore;
