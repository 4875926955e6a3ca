//! Operators that wait for the end of a reset.
//!
//! A reset counts from the moment of its request: what was started before may run older code. So a request during a reset begins another
//! one, in which that one is absorbed; the end of it is the end of both. Many requests at once are one: a reset that goes on is left alone
//! for a moment before it begins anew. Each request has its own time limit.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{error, info};

use super::core::ResetEnd;

/// The least time between two beginnings of a reset that goes on: each calls off what is being started.
const PACE: Duration = Duration::from_secs(1);

/// All requests for resets that have not been answered.
#[derive(Debug, Default)]
pub(super) struct Resets {
    /// The ones that the reset in progress is for.
    current: Vec<Request>,
    /// The ones that came since it began.
    next: Vec<Request>,
    begun: Option<Instant>,
}

#[derive(Debug)]
struct Request {
    reply: oneshot::Sender<ResetEnd>,
    /// When its time is over; never, if that is too far away.
    until: Option<Instant>,
}

impl Resets {
    pub(super) fn add(&mut self, reply: oneshot::Sender<ResetEnd>, until: Option<Instant>) {
        self.next.push(Request { reply, until });
    }

    /// How long it takes until a reset has to begin; `None` if none has been asked for.
    pub(super) fn begins_in(&self, now: Instant) -> Option<Duration> {
        if self.next.is_empty() {
            return None;
        }
        let goes_on = self.begun.filter(|_| !self.current.is_empty());
        Some(goes_on.map_or(Duration::ZERO, |begun| (begun + PACE).saturating_duration_since(now)))
    }

    /// A reset begins for all requests.
    pub(super) fn begin(&mut self, now: Instant) {
        self.begun = Some(now);
        self.current.append(&mut self.next);
    }

    /// The reset in progress is over, in the pool with this name in log entries.
    pub(super) fn end(&mut self, end: &ResetEnd, pool: Option<&str>) {
        match end {
            ResetEnd::Done => info!(target: "server", pool, "reset done"),
            ResetEnd::BootFailed(reason) => {
                error!(target: "server", pool, %reason, "reset failed: workers not yet replaced keep running");
            }
            ResetEnd::TimedOut => {
                error!(target: "server", pool, "reset timed out: workers not yet replaced keep running");
            }
            ResetEnd::Closed => {}
        }
        for request in self.current.drain(..) {
            let _ = request.reply.send(end.clone());
        }
    }

    /// When the time of the next request is over.
    pub(super) fn expires_at(&self) -> Option<Instant> {
        self.current.iter().chain(&self.next).filter_map(|request| request.until).min()
    }

    /// Answers requests whose time is over; but if that is so for all, returns true: the reset has to end.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let is_over = |request: &Request| request.until.is_some_and(|until| until <= now);
        if self.current.iter().chain(&self.next).all(is_over) {
            self.current.append(&mut self.next);
            return !self.current.is_empty();
        }
        let (current, next) = (&mut self.current, &mut self.next);
        for request in current
            .extract_if(.., |request| is_over(request))
            .chain(next.extract_if(.., |request| is_over(request)))
        {
            let _ = request.reply.send(ResetEnd::TimedOut);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_mins(1);

    /// Asks for a reset at this time.
    fn ask(resets: &mut Resets, at: Instant) -> oneshot::Receiver<ResetEnd> {
        let (reply, end) = oneshot::channel();
        resets.add(reply, Some(at + LIMIT));
        end
    }

    #[test]
    fn a_reset_goes_on_for_a_moment_before_it_begins_anew_for_all_that_asked_since() {
        let (mut resets, start) = (Resets::default(), Instant::now());
        let mut first = ask(&mut resets, start);
        assert_eq!(resets.begins_in(start), Some(Duration::ZERO));
        resets.begin(start);
        assert_eq!(resets.begins_in(start), None);
        let mut others = [1, 2].map(|n| ask(&mut resets, start + n * PACE / 4));
        assert_eq!(resets.begins_in(start + PACE / 2), Some(PACE / 2));
        assert_eq!(resets.begins_in(start + PACE), Some(Duration::ZERO));
        resets.begin(start + PACE);
        assert!(first.try_recv().is_err(), "it is not over");
        resets.end(&ResetEnd::Done, None);
        assert_eq!(first.try_recv(), Ok(ResetEnd::Done));
        assert!(others.iter_mut().all(|end| end.try_recv() == Ok(ResetEnd::Done)));
    }

    #[test]
    fn when_a_reset_is_over_the_next_one_begins_at_once() {
        let (mut resets, start) = (Resets::default(), Instant::now());
        let mut first = ask(&mut resets, start);
        resets.begin(start);
        let mut second = ask(&mut resets, start);
        resets.end(&ResetEnd::Done, None);
        assert_eq!(first.try_recv(), Ok(ResetEnd::Done));
        assert!(second.try_recv().is_err(), "workers may be older than this request");
        assert_eq!(resets.begins_in(start), Some(Duration::ZERO));
    }

    #[test]
    fn each_request_has_its_own_time_limit() {
        let (mut resets, start) = (Resets::default(), Instant::now());
        let mut first = ask(&mut resets, start);
        resets.begin(start);
        let mut second = ask(&mut resets, start + LIMIT / 2);
        resets.begin(start + LIMIT / 2);
        assert_eq!(resets.expires_at(), Some(start + LIMIT));
        assert!(!resets.expire(start + LIMIT), "the reset goes on for the second one");
        assert_eq!(first.try_recv(), Ok(ResetEnd::TimedOut));
        assert!(second.try_recv().is_err());
        assert_eq!(resets.expires_at(), Some(start + LIMIT * 3 / 2));
        assert!(resets.expire(start + LIMIT * 3 / 2));
    }
}
