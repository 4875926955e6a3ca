//! Callers whose calls may fail, at a constant rate or without pause.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::check;
use crate::message::Message;

const MESSAGE: Message = Message::Rpc(100);

/// Reasons of failures that are kept.
const REASONS: usize = 5;

/// What became of calls.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Microseconds of each call that was answered rightly.
    pub(crate) latencies: Vec<u32>,
    /// Calls that failed since their worker died.
    pub(crate) died: usize,
    /// Calls that failed otherwise, or were answered wrongly.
    pub(crate) failed: usize,
    /// Why, the first times.
    pub(crate) reasons: Vec<String>,
}

/// Callers, with one call at a time each, over one connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct Callers {
    tally: Arc<Mutex<Tally>>,
    _callers: JoinSet<()>,
}

impl Callers {
    /// Starts `number` callers, which together make `rate` calls a second; without one, each calls again as soon as it has its answer.
    ///
    /// # Errors
    /// If there is no connection.
    pub(crate) async fn start(address: &str, number: u32, rate: Option<f64>) -> anyhow::Result<Self> {
        let channel = check::connect(address).await?;
        let interval = rate.map(|rate| Duration::from_secs_f64(f64::from(number) / rate));
        let (tally, begin) = (Arc::<Mutex<Tally>>::default(), Instant::now());
        let mut callers = JoinSet::new();
        for caller in 0..number {
            let pace = interval.map(|interval| Pace { next: begin + interval * caller / number, interval });
            callers.spawn(call(channel.clone(), caller as usize, pace, Arc::clone(&tally)));
        }
        Ok(Self { tally, _callers: callers })
    }

    /// What became of the calls that have ended since the last time.
    pub(crate) fn take(&self) -> Tally {
        std::mem::take(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// When a caller makes its calls.
#[derive(Debug)]
struct Pace {
    next: Instant,
    interval: Duration,
}

impl Pace {
    /// Waits for the time of the next call. Returns when the call begins for the caller: at that time even if the last answer came later,
    /// so that a delay counts for every call that it delays; but the timer's own delay does not count.
    async fn wait(&mut self) -> Instant {
        let (next, now) = (self.next, Instant::now());
        self.next += self.interval;
        if next <= now {
            return next;
        }
        tokio::time::sleep_until(next.into()).await;
        Instant::now()
    }
}

/// One caller.
async fn call(channel: Channel, caller: usize, mut pace: Option<Pace>, tally: Arc<Mutex<Tally>>) {
    for number in 0.. {
        let begin = match &mut pace {
            Some(pace) => pace.wait().await,
            None => Instant::now(),
        };
        // No two requests are the same.
        let number = caller * 10_000_000_000 + number;
        let result = check::call(channel.clone(), MESSAGE, number).await;
        let took = u32::try_from(begin.elapsed().as_micros()).unwrap_or(u32::MAX);
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(_) => tally.latencies.push(took),
            Err(error) if is_death(&error) => tally.died += 1,
            Err(error) => {
                tally.failed += 1;
                if tally.reasons.len() < REASONS {
                    tally.reasons.push(format!("{error:#}"));
                }
            }
        }
    }
}

/// Whether a call failed since its own worker died.
pub(crate) fn is_death(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Status>().is_some_and(|status| {
        status.code() == Code::Unavailable && status.message().contains("the worker died before it answered")
    })
}
