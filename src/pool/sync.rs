//! What `idle` and `permits` are built of. `tools/interleavings` replaces these by the primitives of a scheduler that tries orders of threads.

pub(super) use std::hint::spin_loop;
pub(super) use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
pub(super) use std::sync::{Mutex, MutexGuard, PoisonError};

pub(super) use crossbeam::atomic::AtomicCell;
pub(super) use crossbeam::utils::CachePadded;
