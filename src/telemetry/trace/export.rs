//! The task that exports spans, a batch at a time, away from the calls that made them.
//!
//! A batch is sent when it is full or `delay` has passed. While the collector cannot take it, the exporter waits, longer each time, and tries
//! again until the batch is too old; the queue behind it is bounded. At shutdown, what waits is sent once, and nothing is tried again.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{info, warn};

use super::client::{Client, Outcome};
use super::queue::{Dropped, Queue};
use super::settings::Pace;
use super::span::Span;
use super::{console, otlp};
use crate::grpc::gzip;
use crate::offload;
use crate::telemetry::logs::{self, Stream};

/// The longest pause between attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How often, at most, failures are logged.
const REPORT_EVERY: Duration = Duration::from_mins(1);

/// A busy machine may take so long to let the exporter notice that its time is over.
const OVERTIME: Duration = Duration::from_millis(100);

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

/// What is remembered from one batch to the next.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// Failed attempts since the last one that succeeded.
    failures: u32,
    /// When a failure was logged that has not been followed by a success.
    reported: Option<Instant>,
}

/// A running exporter.
#[derive(Debug)]
#[must_use = "spans that wait are lost unless it is finished"]
pub struct Exporting {
    /// When the shutdown has to be over, once it has begun.
    stop: watch::Sender<Option<Instant>>,
    task: JoinHandle<()>,
}

/// Spans that are encoded.
struct Batch {
    message: Bytes,
    spans: usize,
}

impl Exporting {
    pub(super) fn start(exporter: Exporter) -> Self {
        let (stop, stopping) = watch::channel(None);
        Self { stop, task: tokio::spawn(exporter.run(Stop(stopping))) }
    }

    /// Sends what waits, until `deadline` at the latest.
    pub async fn finish(self, deadline: Instant) {
        self.stop.send_replace(Some(deadline));
        // It keeps the deadline by itself, unless there is no time to run it.
        let mut task = self.task;
        if timeout_at(deadline + OVERTIME, &mut task).await.is_err() {
            task.abort();
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
        self.report_lost();
    }

    /// Exports until nothing waits, or the shutdown has to be over.
    async fn drain(&mut self, stop: &mut Stop) {
        loop {
            let spans = self.queue.take();
            if spans.is_empty() {
                return;
            }
            let count = spans.len();
            let is_over = stop.deadline().is_some_and(|deadline| deadline <= Instant::now());
            if is_over {
                self.queue.count(Dropped::Shutdown, count);
                continue;
            }
            match self.encoded(spans).await {
                Some(batch) => self.export(batch, stop).await,
                None => self.queue.count(Dropped::Rejected, count),
            }
        }
    }

    /// `None` if that is not possible.
    async fn encoded(&self, spans: Vec<Span>) -> Option<Batch> {
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
        Some(Batch { message: message.await.ok()?.ok()?.into(), spans: count })
    }

    /// Sends one batch, again and again as long as it makes sense.
    async fn export(&mut self, batch: Batch, stop: &mut Stop) {
        let Batch { message, spans } = batch;
        let begin = Instant::now();
        loop {
            let (reason, after) = match self.attempt(message.clone(), stop).await {
                Outcome::Taken { rejected, reason } => {
                    self.succeeded();
                    let rejected = rejected.min(spans);
                    self.queue.count_exported(spans - rejected);
                    if rejected > 0 {
                        self.queue.count(Dropped::Rejected, rejected);
                        self.failed(&format!("{rejected} spans were rejected: {reason}"));
                    }
                    return;
                }
                Outcome::Rejected { reason } => {
                    self.queue.count(Dropped::Rejected, spans);
                    return self.failed(&reason);
                }
                Outcome::Later { reason, after } => (reason, after),
            };
            self.failed(&reason);
            let pause = after.unwrap_or_default().max(self.pause()).min(LONGEST_PAUSE);
            if stop.deadline().is_some() {
                return self.queue.count(Dropped::Shutdown, spans);
            }
            if begin.elapsed() + pause > self.pace.patience {
                self.queue.count(Dropped::Unreachable, spans);
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
                logs::print(*stream, &String::from_utf8_lossy(&message));
                return Outcome::Taken { rejected: 0, reason: String::new() };
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
        let doublings = self.health.failures.saturating_sub(1).min(8);
        (self.pace.pause * 2_u32.pow(doublings)).min(LONGEST_PAUSE)
    }

    fn succeeded(&mut self) {
        self.health.failures = 0;
        if self.health.reported.take().is_some() {
            info!(target: "otel", "exporting spans again");
        }
    }

    fn failed(&mut self, error: &str) {
        self.health.failures = self.health.failures.saturating_add(1);
        if self.health.reported.is_none_or(|at| at.elapsed() >= REPORT_EVERY) {
            self.health.reported = Some(Instant::now());
            warn!(target: "otel", error, "cannot export spans");
        }
    }

    fn report_lost(&self) {
        let spans = self.queue.dropped(Dropped::Shutdown);
        if spans > 0 {
            warn!(target: "otel", spans, "spans dropped at shutdown");
        }
    }
}
