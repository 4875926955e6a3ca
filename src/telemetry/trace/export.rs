//! The task that exports spans, a batch at a time, away from the calls that made them.
//!
//! A batch is sent when it is full or `delay` has passed. While the collector cannot take it, the exporter waits, longer each time, and tries
//! again until the batch is too old; the queue behind it is bounded. At shutdown, what waits is sent once, and nothing is tried again. A batch
//! that the exporter has taken counts as dropped at shutdown if its task is aborted.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::warn;

use super::client::{Client, Outcome};
use super::health::Health;
use super::queue::{Dropped, Queue, Taken};
use super::settings::Pace;
use super::span::Span;
use super::{console, otlp};
use crate::grpc::gzip;
use crate::offload;
use crate::telemetry::logs::{self, Stream};

/// The longest pause between attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A busy machine may take so long to let the exporter notice that its time is over.
const OVERTIME: Duration = Duration::from_secs(1);

/// About how many bytes a span takes when it is encoded.
const SIZE: usize = 400;

/// Where spans go.
#[derive(Debug)]
pub(super) enum Target {
    Console(Stream),
    Collector {
        client: Box<Client>,
        /// Whether messages are compressed.
        is_compressed: bool,
    },
}

/// Reads the queue.
#[derive(Debug)]
pub(super) struct Exporter {
    pub(super) queue: Arc<Queue>,
    pub(super) target: Target,
    pub(super) resource: Arc<[(String, String)]>,
    pub(super) pace: Pace,
    pub(super) health: Health,
}

/// A running exporter.
#[derive(Debug)]
#[must_use = "spans that wait are lost unless it is finished"]
pub struct Exporting {
    /// When the shutdown has to be over, once it has begun.
    stop: watch::Sender<Option<Instant>>,
    pub(super) task: JoinHandle<()>,
    queue: Arc<Queue>,
}

impl Exporting {
    pub(super) fn start(exporter: Exporter) -> Self {
        let (stop, stopping) = watch::channel(None);
        let queue = Arc::clone(&exporter.queue);
        Self { stop, task: tokio::spawn(exporter.run(Stop(stopping))), queue }
    }

    /// Sends what waits, until `deadline` at the latest. The rest is counted and logged.
    pub async fn finish(self, deadline: Instant) {
        let Self { stop, mut task, queue } = self;
        stop.send_replace(Some(deadline));
        // It keeps the deadline by itself, unless there is no time to run it.
        if timeout_at(deadline + OVERTIME, &mut task).await.is_err() {
            task.abort();
            // Its batch is counted when it is dropped.
            let _ = task.await;
        }
        queue.drop_waiting();
        let spans = queue.dropped(Dropped::Shutdown);
        if spans > 0 {
            warn!(target: "otel", spans, "spans dropped at shutdown");
        }
    }
}

/// The beginning of the shutdown.
struct Stop(watch::Receiver<Option<Instant>>);

impl Stop {
    /// When the shutdown has to be over, if it has begun.
    fn deadline(&self) -> Option<Instant> {
        *self.0.borrow()
    }

    /// Resolves when the shutdown begins.
    async fn begun(&mut self) -> Instant {
        let begun = self.0.wait_for(Option::is_some).await.ok().and_then(|deadline| *deadline);
        // The owner has gone: there is no time left.
        begun.unwrap_or_else(Instant::now)
    }
}

impl Exporter {
    async fn run(mut self, mut stop: Stop) {
        loop {
            tokio::select! {
                _ = stop.begun() => break,
                () = self.queue.ready() => {}
                () = sleep(self.pace.delay) => {}
            }
            self.drain(&mut stop).await;
        }
        self.drain(&mut stop).await;
    }

    /// Exports a batch, and more of them while they are full. At shutdown, it exports all that waits, as long as there is time.
    async fn drain(&mut self, stop: &mut Stop) {
        loop {
            let spans = self.queue.take();
            if spans.is_empty() {
                return;
            }
            let taken = Taken::new(&self.queue, spans.len());
            match self.encoded(spans).await {
                Some(message) => self.export(message, taken, stop).await,
                None => taken.dropped(Dropped::Rejected),
            }
            let goes_on = match stop.deadline() {
                Some(deadline) => Instant::now() < deadline,
                None => self.queue.has_batch(),
            };
            if !goes_on {
                return;
            }
        }
    }

    /// `None` if that is not possible.
    async fn encoded(&self, spans: Vec<Span>) -> Option<Bytes> {
        let (resource, count) = (Arc::clone(&self.resource), spans.len());
        let compresses = matches!(self.target, Target::Collector { is_compressed: true, .. });
        let is_text = matches!(self.target, Target::Console(_));
        let message = offload::run(count * SIZE, move || {
            if is_text {
                return Ok(console::lines(&resource, &spans).into_bytes());
            }
            let message = otlp::encode(&resource, spans);
            if compresses { gzip::compress(&message, Compression::fast()) } else { Ok(message) }
        });
        Some(message.await.ok()?.ok()?.into())
    }

    /// Sends one batch, again and again as long as it makes sense.
    async fn export(&mut self, message: Bytes, taken: Taken, stop: &mut Stop) {
        let begin = Instant::now();
        loop {
            let (reason, after) = match self.attempt(message.clone(), stop).await {
                Outcome::Taken { rejected, reason } => {
                    taken.exported(rejected);
                    return match rejected {
                        0 => self.health.succeeded(),
                        _ => self.health.rejected(&format!("{rejected} spans were rejected: {reason}")),
                    };
                }
                Outcome::Rejected { reason } => {
                    taken.dropped(Dropped::Rejected);
                    return self.health.rejected(&reason);
                }
                Outcome::Later { reason, after } => (reason, after),
            };
            self.health.failed(&reason);
            if stop.deadline().is_some() {
                return taken.dropped(Dropped::Shutdown);
            }
            let pause = after.unwrap_or_default().max(self.pause()).min(LONGEST_PAUSE);
            if begin.elapsed() + pause > self.pace.patience {
                taken.dropped(Dropped::Unreachable);
                // The next batch waits for the collector as well.
                return drop(timeout(pause, stop.begun()).await);
            }
            let _ = timeout(pause, stop.begun()).await;
        }
    }

    async fn attempt(&mut self, message: Bytes, stop: &mut Stop) -> Outcome {
        let late = || Outcome::Later { reason: "no answer in time".into(), after: None };
        let client = match &mut self.target {
            Target::Console(stream) => {
                if logs::print(*stream, &String::from_utf8_lossy(&message)) {
                    return Outcome::Taken { rejected: 0, reason: String::new() };
                }
                return Outcome::Rejected { reason: "slow reader".into() };
            }
            Target::Collector { client, .. } => client,
        };
        let mut sending = pin!(client.send(message));
        tokio::select! {
            biased;
            outcome = &mut sending => outcome,
            () = sleep(self.pace.timeout) => late(),
            deadline = stop.begun() => timeout_at(deadline, sending).await.unwrap_or_else(|_| late()),
        }
    }

    /// How long to wait after so many failures.
    fn pause(&self) -> Duration {
        let doublings = self.health.failures().saturating_sub(1).min(8);
        (self.pace.pause * 2_u32.pow(doublings)).min(LONGEST_PAUSE)
    }
}
