//! What a stream tells the application: `streampublish` for each message of its client, in order, and `streamend` behind the last of them.
//!
//! Both are requests to the pool that has answered the opening. Each pool has its own queues, so that one whose workers hang holds up no
//! other. Ten thousand streams that end at once run [`ENDS`] requests at a time; the others wait, and count against `streams.max` meanwhile.
//! What a pool refuses (its queue is full, no worker is ready) is tried again; what a worker may have seen is not.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep, timeout};
use tonic::Status;
use tracing::{debug, warn};

use super::figures::Reason;
use super::inlet::Message;
use super::shared::Shared;
use super::stream::Stream;
use super::wire;
use crate::grpc::gzip;
use crate::offload;

/// Requests of one pool's streams that are in flight or in its queue.
const PUBLISHES: usize = 4096;
const ENDS: usize = 64;

/// How long a request may take, unless the pool has a shorter limit (`supervisor.exec_ttl`).
const PATIENCE: Duration = Duration::from_mins(1);

/// The pauses between attempts: 50 ms, doubling up to 2 s.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

const PUBLISH: &str = "streampublish";
const END: &str = "streamend";

/// One request to the application.
#[derive(Debug)]
pub struct Event {
    /// The number of the pool.
    pub pool: usize,
    /// Its type.
    pub kind: &'static str,
    /// Its context.
    pub context: Vec<u8>,
    /// Its body, in protobuf.
    pub body: Bytes,
}

/// Why a request has no answer.
#[derive(Debug)]
pub struct Failure {
    /// Whether no worker has seen it, so that it may be tried again.
    pub is_refused: bool,
    /// What it means for the stream.
    pub status: Status,
}

/// The answer to a request, in protobuf.
pub type Handled = Pin<Box<dyn Future<Output = Result<Bytes, Failure>> + Send>>;

/// Runs the requests of streams.
pub trait Handler: fmt::Debug + Send + Sync {
    /// Runs one request on a worker. The future may be dropped when it has taken too long.
    fn handle(&self, event: Event) -> Handled;
}

/// The queues of one pool.
#[derive(Debug)]
pub(super) struct Events {
    publishes: Semaphore,
    ends: Mutex<Ends>,
    /// No end is left.
    done: Notify,
}

#[derive(Debug, Default)]
struct Ends {
    /// Bounded by the streams that there may be.
    waiting: VecDeque<(Arc<Stream>, Reason)>,
    running: usize,
    /// When the last loss was logged.
    warned: Option<Instant>,
}

impl Events {
    pub(super) fn new() -> Self {
        Self { publishes: Semaphore::new(PUBLISHES), ends: Mutex::default(), done: Notify::new() }
    }

    /// Resolves when all ends have been handled or given up.
    pub(super) async fn over(&self) {
        loop {
            let done = self.done.notified();
            if self.left() == 0 {
                return;
            }
            done.await;
        }
    }

    /// Ends that are not handled yet.
    pub(super) fn left(&self) -> usize {
        let ends = self.ends();
        ends.waiting.len() + ends.running
    }

    fn ends(&self) -> MutexGuard<'_, Ends> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next end, or one running less.
    fn next_end(&self) -> Option<(Arc<Stream>, Reason)> {
        let mut ends = self.ends();
        let next = ends.waiting.pop_front();
        if next.is_none() {
            ends.waiting = VecDeque::new();
            ends.running -= 1;
            let is_last = ends.running == 0;
            drop(ends);
            if is_last {
                self.done.notify_waiters();
            }
        }
        next
    }

    /// Whether a loss is to be logged: once a minute.
    fn warns(&self) -> bool {
        let now = Instant::now();
        let mut ends = self.ends();
        let is_due = ends.warned.is_none_or(|last| now - last >= Duration::from_mins(1));
        ends.warned = if is_due { Some(now) } else { ends.warned };
        is_due
    }
}

impl Shared {
    /// Delivers the client's messages, one after the other, and the end behind them.
    pub(super) fn deliver(stream: Arc<Stream>) {
        tokio::spawn(async move {
            while let Some(message) = stream.next_message() {
                if !stream.is_ended_here()
                    && let Err(status) = publish(&stream, message).await
                {
                    stream.shared.counters.of(stream.pool).lost.fetch_add(1, Relaxed);
                    stream.end(Reason::Error, status);
                }
                stream.delivered();
            }
        });
    }

    /// Tells the application that a stream has ended.
    pub(super) fn tell_end(&self, stream: Arc<Stream>, reason: Reason) {
        let (shared, pool) = (Arc::clone(&stream.shared), stream.pool);
        let mut ends = self.events(pool).ends();
        ends.waiting.push_back((stream, reason));
        if ends.running < ENDS {
            ends.running += 1;
            drop(ends);
            tokio::spawn(run_ends(shared, pool));
        }
    }
}

async fn run_ends(shared: Arc<Shared>, pool: usize) {
    while let Some((stream, reason)) = shared.events(pool).next_end() {
        let event = || Event {
            pool,
            kind: END,
            context: stream.opening.context(END, Some(reason.name())),
            body: Bytes::copy_from_slice(stream.opening.request()),
        };
        if let Err(status) = attempt(&shared, event, || false).await {
            shared.counters.of(pool).lost.fetch_add(1, Relaxed);
            let (name, error) = (shared.counters.of(pool).name(), status.message());
            if shared.events(pool).warns() {
                warn!(target: "centrifuge", pool = name, error, "streamend failed; more are logged at debug level");
            } else {
                debug!(target: "centrifuge", pool = name, error, "streamend failed");
            }
        }
    }
}

/// Delivers one message of a client.
async fn publish(stream: &Arc<Stream>, message: Message) -> Result<(), Status> {
    let shared = &stream.shared;
    // The semaphore is never closed.
    let _turn = shared.events(stream.pool).publishes.acquire().await;
    // A message without a publication says nothing.
    let Some(data) = data(shared, message).await? else { return Ok(()) };
    let request = stream.opening.publish_request(&data).map_err(malformed)?;
    let event = || Event {
        pool: stream.pool,
        kind: PUBLISH,
        context: stream.opening.context(PUBLISH, None),
        body: request.clone(),
    };
    let answer = attempt(shared, event, || stream.is_ended_here()).await?;
    match wire::is_success(&answer) {
        Ok(true) => Ok(()),
        Ok(false) => {
            let rejection = wire::rejection(&answer).unwrap_or_default();
            Err(Status::failed_precondition(format!("publication rejected: {rejection}")))
        }
        Err(error) => Err(malformed(error)),
    }
}

impl Stream {
    /// For the worker that streams: the data that a message of the client publishes; `None` if it publishes nothing.
    ///
    /// # Errors
    /// The status of the stream, if it is no message.
    pub async fn data_of(&self, message: Message) -> Result<Option<Bytes>, Status> {
        self.shared.counters.of(self.pool).received.fetch_add(1, Relaxed);
        data(&self.shared, message).await
    }
}

async fn data(shared: &Arc<Shared>, message: Message) -> Result<Option<Bytes>, Status> {
    let body = if message.is_compressed { decompress(shared, message.body).await? } else { message.body };
    let data = wire::publication_data(&body).map_err(malformed)?;
    Ok(data.map(|data| body.slice_ref(data)))
}

fn malformed(error: wire::Malformed) -> Status {
    Status::internal(error.to_string())
}

/// Runs a request until a worker has seen it.
async fn attempt(
    shared: &Arc<Shared>,
    event: impl Fn() -> Event,
    is_pointless: impl Fn() -> bool,
) -> Result<Bytes, Status> {
    let mut pause = FIRST_PAUSE;
    let until = Instant::now() + PATIENCE;
    loop {
        let status = match timeout(PATIENCE, shared.handler.handle(event())).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(failure)) if failure.is_refused => failure.status,
            Ok(Err(failure)) => return Err(failure.status),
            Err(_) => return Err(Status::deadline_exceeded(format!("no answer within {PATIENCE:?}"))),
        };
        if is_pointless() || shared.is_stopped() || Instant::now() + pause > until {
            return Err(status);
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Decompresses a message elsewhere, if there is memory for it.
async fn decompress(shared: &Arc<Shared>, body: Bytes) -> Result<Bytes, Status> {
    let limit = shared.max_message_size;
    let plain =
        offload::run(body.len().max(offload::LONG + 1), move || gzip::decompress(&body, 0, limit)).await;
    match plain {
        Ok(Ok(Some(plain))) => Ok(plain.into()),
        Ok(Ok(None)) => Err(Status::resource_exhausted(format!(
            "the decompressed message is larger than the limit of {limit} bytes (centrifuge.max_message_size)"
        ))),
        Ok(Err(error)) => Err(Status::internal(format!("cannot decompress a message: {error}"))),
        Err(error) => Err(Status::internal(error.to_string())),
    }
}
