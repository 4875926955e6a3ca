//! What the workers of a pool send in vain.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Why a frame was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// The request that it may belong to has its answer.
    Surplus,
    /// It carries a number that no request has had.
    Unknown,
    /// Its worker had nothing in hand.
    Idle,
}

impl Dropped {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Surplus, Self::Unknown, Self::Idle];

    /// Its name in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Surplus => "surplus",
            Self::Unknown => "unknown",
            Self::Idle => "idle",
        }
    }
}

/// Counts it.
#[derive(Debug, Default)]
pub(crate) struct Waste {
    frames: [AtomicU64; Dropped::ALL.len()],
    noise: AtomicU64,
}

impl Waste {
    /// A frame was dropped.
    pub(super) fn frame(&self, reason: Dropped) {
        self.frames[reason as usize].fetch_add(1, Relaxed);
    }

    /// Text came between frames.
    pub(super) fn noise(&self, bytes: usize) {
        self.noise.fetch_add(bytes as u64, Relaxed);
    }

    /// Frames dropped so far.
    pub(crate) fn frames(&self, reason: Dropped) -> u64 {
        self.frames[reason as usize].load(Relaxed)
    }

    /// Bytes of text between frames so far.
    pub(crate) fn noise_bytes(&self) -> u64 {
        self.noise.load(Relaxed)
    }
}
