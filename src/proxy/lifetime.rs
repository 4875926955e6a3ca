//! How a connection ends in peace: at the server's shutdown, or at its maximum age.
//!
//! ```text
//!  open ── shutdown, or max_connection_age ──▶ draining ── ON_THEIR_WAY ──▶ refusing ── max_connection_age_grace ──▶ over ──▶ cut
//!                                              GOAWAY (2^31-1), PING        REFUSED_STREAM                          UNAVAILABLE
//!                                              PONG: GOAWAY (last id)
//! ```
//!
//! A call is either accepted and finished, or its client learns that no worker has seen it and repeats it elsewhere by itself, with no retry
//! policy. The first GOAWAY asks the client to make its next calls on another connection, and refuses none: some are on their way. The PONG
//! comes behind the last of them, so the second GOAWAY can name it, and calls above that id count as not seen. To a client that does not
//! answer the PING, calls are refused as REFUSED_STREAM after a while, which says the same. What is still in hand when the grace is over gets a
//! status, which forbids to repeat it; the connection is cut only if that is not read.
//!
//! Source: RFC 9113, sections 6.8 and 8.7; gRFC A9 for the age.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use futures_util::stream::{self, Stream};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

/// How long a call may have been on its way when its client reads the first GOAWAY.
pub(super) const ON_THEIR_WAY: Duration = Duration::from_secs(1);

/// How long a client may take to read the last answers and the ends of its streams.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// By how much an age may differ from the configured one, as in gRPC: connections that were opened together do not end together.
const JITTER: f64 = 0.1;

/// How old a connection may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct MaxAge {
    /// When it is asked to leave.
    pub(super) age: Option<Duration>,
    /// How long its calls may take from then on.
    pub(super) grace: Option<Duration>,
}

/// The stages of a connection's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The client is asked to make its next calls on another connection. Those on their way are accepted.
    Draining,
    /// Calls that arrive now are refused.
    Refusing,
    /// Calls that are left are answered with a status, and streams end with one.
    Over,
    /// What is left is cut off.
    Cut,
}

impl MaxAge {
    /// The same with an age that differs at random.
    pub(super) fn jittered(self) -> Self {
        // Random enough, and no system call: its keys are random once, and different each time.
        let random = RandomState::new().hash_one(());
        #[expect(clippy::cast_precision_loss, reason = "it is a random number")]
        let factor = 1.0 - JITTER + 2.0 * JITTER * (random as f64 / u64::MAX as f64);
        Self { age: self.age.map(|age| age.mul_f64(factor)), ..self }
    }

    /// When a connection is asked to leave that was opened at this time.
    fn expires(self, opened: Instant) -> Option<Instant> {
        opened.checked_add(self.age?)
    }

    /// When its calls are over.
    pub(super) fn over(self, opened: Instant) -> Option<Instant> {
        self.expires(opened)?.checked_add(self.grace?.max(ON_THEIR_WAY))
    }
}

/// Returns the stages of a connection that was opened at this time, as they come. After the last one there is none.
pub(super) fn stages(
    closing: CancellationToken,
    max_age: MaxAge,
    opened: Instant,
) -> impl Stream<Item = Stage> {
    let expires = max_age.expires(opened);
    stream::unfold((None, closing, None), move |(stage, closing, over)| async move {
        let (stage, over) = match stage {
            None => {
                tokio::select! {
                    () = closing.cancelled() => (Stage::Draining, None),
                    () = at(expires) => (Stage::Draining, max_age.over(opened)),
                }
            }
            Some(Stage::Draining) => {
                sleep(ON_THEIR_WAY).await;
                (Stage::Refusing, over)
            }
            Some(Stage::Refusing) => {
                at(over).await;
                (Stage::Over, None)
            }
            Some(Stage::Over) => {
                sleep(LAST_ANSWERS).await;
                (Stage::Cut, None)
            }
            Some(Stage::Cut) => std::future::pending().await,
        };
        Some((stage, (Some(stage), closing, over)))
    })
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn ages_differ_by_a_tenth() {
        let max_age = MaxAge { age: Some(HOUR), grace: Some(HOUR) };
        let ages: Vec<_> = (0..1000).map(|_| max_age.jittered()).collect();
        assert!(ages.iter().all(|max_age| max_age.grace == Some(HOUR)));
        let ages: Vec<_> = ages.iter().map(|max_age| max_age.age.unwrap().as_secs()).collect();
        let (youngest, oldest) = (*ages.iter().min().unwrap(), *ages.iter().max().unwrap());
        assert!((3240..3300).contains(&youngest) && (3900..=3960).contains(&oldest), "{youngest} {oldest}");
        assert_eq!(MaxAge::default().jittered(), MaxAge::default());
    }

    /// The stages of a connection, and when they come.
    async fn timeline(max_age: MaxAge, shutdown: Duration) -> Vec<(Stage, Duration)> {
        let (begin, closing) = (Instant::now(), CancellationToken::new());
        let stages = stages(closing.clone(), max_age, begin).map(|stage| (stage, begin.elapsed()));
        tokio::spawn(async move {
            tokio::time::sleep(shutdown).await;
            closing.cancel();
        });
        stages.take_until(tokio::time::sleep(10 * HOUR)).collect().await
    }

    #[tokio::test(start_paused = true)]
    async fn the_stages_come_in_order_at_shutdown_or_at_the_maximum_age() {
        use Stage::{Cut, Draining, Over, Refusing};
        let never = 20 * HOUR;
        assert_eq!(timeline(MaxAge::default(), never).await, []);
        let refusing = (Refusing, HOUR + ON_THEIR_WAY);
        assert_eq!(timeline(MaxAge::default(), HOUR).await, [(Draining, HOUR), refusing]);
        let max_age = MaxAge { age: Some(HOUR), grace: None };
        assert_eq!(timeline(max_age, never).await, [(Draining, HOUR), refusing]);
        let max_age = MaxAge { grace: Some(HOUR), ..max_age };
        let last = [(Over, 2 * HOUR), (Cut, 2 * HOUR + LAST_ANSWERS)];
        assert_eq!(timeline(max_age, never).await, [(Draining, HOUR), refusing, last[0], last[1]]);
        // A grace that is shorter than the time on the way.
        let max_age = MaxAge { grace: Some(Duration::ZERO), ..max_age };
        let over = HOUR + ON_THEIR_WAY;
        let last = [(Over, over), (Cut, over + LAST_ANSWERS)];
        assert_eq!(timeline(max_age, never).await, [(Draining, HOUR), refusing, last[0], last[1]]);
        // The shutdown has its own deadline.
        let max_age = MaxAge { age: Some(2 * HOUR), grace: Some(HOUR) };
        assert_eq!(timeline(max_age, HOUR).await, [(Draining, HOUR), refusing]);
    }
}
