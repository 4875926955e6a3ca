//! Notices a worker that keeps others from memory and makes no progress with its frame.

use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// The time between two checks.
const INTERVAL: Duration = Duration::from_millis(500);

/// So many checks in a row without progress make a stall. If the whole machine stands still, that is one of them.
const CHECKS: u32 = 4;

/// Bytes between two checks that are progress: what a pipe holds.
const PROGRESS: usize = 64 << 10;

/// The progress of a frame.
#[derive(Debug, Default)]
pub(super) struct Stall {
    timer: Option<Pin<Box<Sleep>>>,
    read: usize,
    checks: u32,
}

impl Stall {
    /// Bytes have arrived.
    pub(super) fn read(&mut self, bytes: usize) {
        self.read = self.read.saturating_add(bytes);
    }

    /// Another frame, or none, has the memory now.
    pub(super) fn end(&mut self) {
        if self.timer.is_some() {
            *self = Self::default();
        }
    }

    /// Whether too little has arrived for too long. To be asked while there is nothing to read; wakes the task for the next check.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(INTERVAL)));
        while timer.as_mut().poll(cx).is_ready() {
            self.checks = if self.read < PROGRESS { self.checks.saturating_add(1) } else { 0 };
            self.read = 0;
            timer.as_mut().reset(Instant::now() + INTERVAL);
        }
        self.checks >= CHECKS
    }
}
