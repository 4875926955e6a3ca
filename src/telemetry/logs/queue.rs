//! What waits to be written to one output.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};

use super::layer::{Look, Record};
use super::worker_text::WorkerText;

/// Bytes that may wait to be written to one output. One job may always wait, so that the application's own lines can be long.
pub(super) const MAX_WAITING: usize = 32 << 20;

/// What each job takes in memory beside its text, about.
const JOB: usize = 512;

/// Lines that were lost since this process was started, of all outputs.
static LOST: Lost = Lost { slow: AtomicU64::new(0), failed: AtomicU64::new(0) };

/// Lines that were lost.
#[derive(Debug)]
pub(crate) struct Lost {
    slow: AtomicU64,
    failed: AtomicU64,
}

impl Lost {
    /// Because their output took them too slowly.
    pub(crate) fn to_slow_readers() -> u64 {
        LOST.slow.load(Relaxed)
    }

    /// Because they could not be written.
    pub(crate) fn to_failures() -> u64 {
        LOST.failed.load(Relaxed)
    }

    /// More of them could not be written.
    pub(super) fn add_failed(lines: u64) {
        LOST.failed.fetch_add(lines, Relaxed);
    }
}

/// Something to be written.
#[derive(Debug, Clone)]
pub(super) enum Job {
    Record(Arc<Record>, Arc<Look>),
    Worker(Arc<WorkerText>, Arc<Look>),
    /// Text that is written as it is.
    Print(Arc<[u8]>),
    /// A line of the log about itself.
    Note(Arc<str>),
    /// All that came before is to be written, and then no more.
    End,
}

impl Job {
    /// What it takes in memory, about.
    pub(super) fn size(&self) -> usize {
        JOB + match self {
            Self::Record(record, _) => record.size(),
            Self::Worker(text, _) => text.text.len(),
            Self::Print(text) => text.len(),
            Self::Note(text) => text.len(),
            Self::End => 0,
        }
    }

    fn lines(&self) -> u64 {
        match self {
            Self::Worker(text, _) => text.lines(),
            _ => 1,
        }
    }
}

/// Takes jobs and never waits.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    sender: Sender<Job>,
    load: Arc<Load>,
}

/// What is under way to an output, and what did not fit.
#[derive(Debug, Default)]
pub(super) struct Load {
    /// Bytes that are not written yet.
    waiting: AtomicUsize,
    /// Lines.
    dropped: AtomicU64,
}

impl Queue {
    /// Bounded by what is in it: a bounded channel would take the memory of all its places at once.
    pub(super) fn new() -> (Self, Receiver<Job>, Arc<Load>) {
        let (sender, jobs) = channel();
        let load = Arc::new(Load::default());
        (Self { sender, load: Arc::clone(&load) }, jobs, load)
    }

    pub(super) fn push(&self, job: Job) {
        let Load { waiting, dropped } = &*self.load;
        let (size, lines) = (job.size(), job.lines());
        let before = waiting.fetch_add(size, Relaxed);
        let fits = before == 0 || before.saturating_add(size) <= MAX_WAITING;
        if !fits || self.sender.send(job).is_err() {
            waiting.fetch_sub(size, Relaxed);
            dropped.fetch_add(lines, Relaxed);
            LOST.slow.fetch_add(lines, Relaxed);
        }
    }

    /// No more is to be written after what waits.
    pub(super) fn end(&self) {
        let _ = self.sender.send(Job::End);
    }
}

impl Load {
    /// A job of this size does not wait any more.
    pub(super) fn written(&self, size: usize) {
        self.waiting.fetch_sub(size, Relaxed);
    }

    /// How many lines did not fit since this was asked last.
    pub(super) fn dropped(&self) -> u64 {
        if self.dropped.load(Relaxed) == 0 { 0 } else { self.dropped.swap(0, Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_waits_than_a_bound_allows_and_what_is_dropped_is_counted() {
        let (queue, jobs, load) = Queue::new();
        for _ in 0..100 {
            queue.push(Job::Print(vec![b'x'; 1 << 20].into()));
        }
        assert_eq!(jobs.try_iter().count(), 31);
        assert_eq!((load.dropped(), load.dropped()), (69, 0));
    }

    #[test]
    fn one_job_may_be_of_any_size() {
        let (queue, jobs, load) = Queue::new();
        queue.push(Job::Print(vec![b'x'; MAX_WAITING + 1].into()));
        queue.push(Job::Print(b"dropped".as_slice().into()));
        assert_eq!((jobs.try_iter().count(), load.dropped()), (1, 1));
    }
}
