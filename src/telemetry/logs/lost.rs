//! Counts the lines that are missing in the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::telemetry::metrics::{Collect, Collected, CollectorKind, FamilyText, approximate, ready};

/// Lines lost since the process started, of all outputs, by reason.
static LINES: [AtomicU64; Lost::ALL.len()] = [const { AtomicU64::new(0) }; Lost::ALL.len()];

/// Why a line is missing in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The output could not be written to.
    WriteFailed,
    /// The reader of the output was too slow.
    SlowReader,
    /// A worker printed more than one worker may.
    WorkerLimit,
}

impl Lost {
    const ALL: [Self; 3] = [Self::WriteFailed, Self::SlowReader, Self::WorkerLimit];

    /// Adds to the lines lost for this reason.
    pub(crate) fn count(self, lines: u64) {
        LINES[self as usize].fetch_add(lines, Relaxed);
    }

    /// The lines lost so far for this reason.
    pub(crate) fn lines(self) -> u64 {
        LINES[self as usize].load(Relaxed)
    }

    fn name(self) -> &'static str {
        match self {
            Self::WriteFailed => "write_failed",
            Self::SlowReader => "slow_reader",
            Self::WorkerLimit => "worker_limit",
        }
    }
}

/// The lines lost, for the metrics page.
#[derive(Debug)]
pub(crate) struct LostLines;

impl Collect for LostLines {
    fn collect(self: Arc<Self>) -> Collected {
        ready(|page| {
            let mut family = FamilyText::new(
                "causeway_log_lines_dropped_total",
                CollectorKind::Counter,
                "Number of log lines dropped, by reason.",
            );
            for reason in Lost::ALL {
                family.sample("", [("reason", reason.name())], approximate(reason.lines()));
            }
            page.add(family);
        })
    }
}
