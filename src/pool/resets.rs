//! Operators that wait for the end of a reset.
//!
//! A reset counts from the moment of its request: what was started before may run older code. So a request during a reset begins another
//! one, in which that one is absorbed; the end of it is the end of both. Many requests at once are one: a reset that goes on is left alone
//! for a while before it begins anew, and for twice as long each further time, so that it ends however often one is asked for. Each request
//! has its own time limit.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{error, info};

use super::core::ResetEnd;

/// The least time before a reset that goes on begins anew, which calls off what is being started.
const PACE: Duration = Duration::from_secs(1);

/// The same in boots, if that is longer.
const PACE_IN_BOOTS: u32 = 2;

/// As often it doubles.
const MOST_DOUBLINGS: u32 = 20;

/// All requests for resets that have not been answered.
#[derive(Debug, Default)]
pub(super) struct Resets {
    /// The ones that the reset in progress is for.
    current: Vec<Request>,
    /// The ones that came since it began.
    next: Vec<Request>,
    begun: Option<Instant>,
    /// How often the reset in progress has begun anew.
    restarts: u32,
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

    /// How long it takes until a reset has to begin, where a worker boots in `boot`; `None` if none has been asked for.
    pub(super) fn begins_in(&self, now: Instant, boot: Duration) -> Option<Duration> {
        if self.next.is_empty() {
            return None;
        }
        let Some(begun) = self.begun.filter(|_| !self.current.is_empty()) else {
            return Some(Duration::ZERO);
        };
        let pace = PACE.max(boot * PACE_IN_BOOTS).saturating_mul(1 << self.restarts.min(MOST_DOUBLINGS));
        Some(pace.saturating_sub(now.saturating_duration_since(begun)))
    }

    /// A reset begins for all requests.
    pub(super) fn begin(&mut self, now: Instant) {
        self.restarts = if self.current.is_empty() { 0 } else { self.restarts.saturating_add(1) };
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

    const BOOT: Duration = Duration::from_millis(100);

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
        assert_eq!(resets.begins_in(start, BOOT), Some(Duration::ZERO));
        resets.begin(start);
        assert_eq!(resets.begins_in(start, BOOT), None);
        let mut others = [1, 2].map(|n| ask(&mut resets, start + n * PACE / 4));
        assert_eq!(resets.begins_in(start + PACE / 2, BOOT), Some(PACE / 2));
        assert_eq!(resets.begins_in(start + PACE, BOOT), Some(Duration::ZERO));
        resets.begin(start + PACE);
        assert!(first.try_recv().is_err(), "it is not over");
        resets.end(&ResetEnd::Done, None);
        assert_eq!(first.try_recv(), Ok(ResetEnd::Done));
        assert!(others.iter_mut().all(|end| end.try_recv() == Ok(ResetEnd::Done)));
    }

    #[test]
    fn a_reset_that_is_asked_for_all_the_time_is_left_alone_for_longer_and_longer() {
        let (mut resets, mut now) = (Resets::default(), Instant::now());
        let boot = 3 * PACE;
        let mut paces = Vec::new();
        let mut ends = vec![ask(&mut resets, now)];
        resets.begin(now);
        for _ in 0..4 {
            ends.push(ask(&mut resets, now));
            let pace = resets.begins_in(now, boot).unwrap();
            paces.push(pace.as_secs());
            now += pace;
            resets.begin(now);
        }
        assert_eq!(paces, [6, 12, 24, 48]);
        resets.end(&ResetEnd::Done, None);
        assert!(ends.iter_mut().all(|end| end.try_recv() == Ok(ResetEnd::Done)));
        ends = vec![ask(&mut resets, now)];
        resets.begin(now);
        ends.push(ask(&mut resets, now));
        assert_eq!(resets.begins_in(now, BOOT), Some(PACE), "the next one starts afresh");
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
        assert_eq!(resets.begins_in(start, BOOT), Some(Duration::ZERO));
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
