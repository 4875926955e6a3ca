//! Which trace a worker's text belongs to, as far as that is certain.
//!
//! A worker that has one request at a time is marked with its trace before it gets the request. Its text arrives on pipes of its own, which
//! are read at another time and on another thread than its answers. So a mark counts only if these pipes were empty when it was made, and
//! text only if it was read under the same mark from beginning to end.

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::os::pipe;
use crate::telemetry::trace::TraceId;

/// The marks of one worker.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// Whether the present one names a trace.
    is_of_trace: AtomicBool,
    /// How many there have been.
    count: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    trace: Option<TraceId>,
    /// The pipes that text arrives on.
    pipes: Vec<RawFd>,
}

/// A pipe that is being read.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    marks: &'a Marks,
    pipe: Option<RawFd>,
}

impl Marks {
    /// Text arrives on this pipe as long as the result lives; it must not be closed before.
    pub(super) fn reading(&self, pipe: Option<RawFd>) -> Reading<'_> {
        self.state().pipes.extend(pipe);
        Reading { marks: self, pipe }
    }

    /// The worker is about to get a request of this trace, or of none. No other thread does so at the same time.
    #[inline]
    pub(super) fn set(&self, trace: Option<TraceId>) {
        // Of none after none, there is nothing to mark.
        if trace.is_some() || self.is_of_trace.load(SeqCst) {
            self.mark(trace);
        }
    }

    fn mark(&self, trace: Option<TraceId>) {
        self.is_of_trace.store(trace.is_some(), SeqCst);
        let mut state = self.state();
        let is_sure = trace.is_some() && state.pipes.iter().all(|pipe| pipe::unread(*pipe) == Some(0));
        state.trace = trace.filter(|_| is_sure);
        self.count.fetch_add(1, SeqCst);
    }

    /// The number of the present mark.
    pub(super) fn number(&self) -> u64 {
        self.count.load(SeqCst)
    }

    /// The trace of text that arrived under the mark of this number, if that is the present one.
    pub(super) fn trace(&self, number: u64) -> Option<TraceId> {
        let state = self.state();
        state.trace.filter(|_| self.number() == number)
    }

    /// The trace of text that arrives in order with answers.
    pub(super) fn current(&self) -> Option<TraceId> {
        self.state().trace
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.marks.state().pipes.retain(|pipe| Some(*pipe) != self.pipe);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::fd::AsRawFd as _;

    use super::*;
    use crate::telemetry::trace::TraceContext;

    fn trace() -> TraceId {
        let text = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        TraceContext::parse(text).unwrap().trace_id
    }

    #[test]
    fn text_has_a_trace_only_if_nothing_of_an_earlier_request_was_unread() {
        let (mut reader, mut writer) = std::io::pipe().unwrap();
        let marks = Marks::default();
        let reading = marks.reading(Some(reader.as_raw_fd()));
        marks.set(Some(trace()));
        assert_eq!(marks.trace(marks.number()), Some(trace()));
        writer.write_all(b"x").unwrap();
        marks.set(Some(trace()));
        assert_eq!(marks.trace(marks.number()), None);
        reader.read_exact(&mut [0]).unwrap();
        marks.set(Some(trace()));
        assert_eq!(marks.trace(marks.number()), Some(trace()));
        drop(reading);
        drop(reader);
        marks.set(Some(trace()));
        assert_eq!(marks.trace(marks.number()), Some(trace()));
    }

    #[test]
    fn text_that_was_read_across_a_mark_has_no_trace() {
        let marks = Marks::default();
        let before = marks.number();
        marks.set(None);
        assert_eq!(marks.number(), before, "nothing was ever marked");
        marks.set(Some(trace()));
        assert_eq!(marks.trace(before), None);
        let before = marks.number();
        marks.set(None);
        assert_eq!((marks.trace(before), marks.trace(marks.number())), (None, None));
    }
}
