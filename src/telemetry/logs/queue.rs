//! What waits to be written to one output.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};

use super::lost::Lost;
use super::record::{Format, Record};
use super::worker_text::WorkerText;

/// Bytes that may wait to be written to one output. One job may always wait, so that the application's own lines can be long.
pub(super) const MAX_WAITING: usize = 32 << 20;

/// About how many bytes each job takes beside its text.
const JOB: usize = 512;

/// Something to be written.
#[derive(Debug, Clone)]
pub(super) enum Job {
    Record(Arc<Record>, Arc<Format>),
    Worker(Arc<WorkerText>, Arc<Format>),
    /// Text that is written as it is.
    Print(Arc<[u8]>),
    /// A line of the log about itself.
    Note(Arc<Record>),
    /// The last job: everything before it is written, then the output is closed.
    Close,
}

impl Job {
    /// About how many bytes of memory it takes.
    pub(super) fn size(&self) -> usize {
        JOB + match self {
            Self::Record(record, _) | Self::Note(record) => record.size(),
            Self::Worker(text, _) => text.text.len(),
            Self::Print(text) => text.len(),
            Self::Close => 0,
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

/// What is on its way to an output, and what did not fit.
#[derive(Debug, Default)]
pub(super) struct Load {
    /// Bytes that are not written yet.
    waiting: AtomicUsize,
    /// Lines.
    dropped: AtomicU64,
}

impl Queue {
    /// Bounded by the bytes in it: a bounded channel would allocate all its slots at once.
    pub(super) fn new() -> (Self, Receiver<Job>, Arc<Load>) {
        let (sender, jobs) = channel();
        let load = Arc::new(Load::default());
        (Self { sender, load: Arc::clone(&load) }, jobs, load)
    }

    /// Adds a job, or drops and counts it if there is no room. Returns whether there was.
    pub(super) fn push(&self, job: Job) -> bool {
        let Load { waiting, dropped } = &*self.load;
        let (size, lines) = (job.size(), job.lines());
        let before = waiting.fetch_add(size, Relaxed);
        let fits = before == 0 || before.saturating_add(size) <= MAX_WAITING;
        let is_added = fits && self.sender.send(job).is_ok();
        if !is_added {
            waiting.fetch_sub(size, Relaxed);
            dropped.fetch_add(lines, Relaxed);
            Lost::SlowReader.count(lines);
        }
        is_added
    }

    /// Has the output write what waits, and close.
    pub(super) fn close(&self) {
        let _ = self.sender.send(Job::Close);
    }
}

impl Load {
    /// A job of this size is written.
    pub(super) fn written(&self, size: usize) {
        self.waiting.fetch_sub(size, Relaxed);
    }

    /// Takes the number of lines that did not fit since the last call.
    pub(super) fn dropped(&self) -> u64 {
        if self.dropped.load(Relaxed) == 0 { 0 } else { self.dropped.swap(0, Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_exceeds_the_bound_is_dropped_and_counted() {
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
