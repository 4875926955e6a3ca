//! What a stream tells the application: `streampublish` for each message of its client, in order, and `streamend` behind the last of them.
//!
//! Both are requests to the pool that has answered the opening. Each pool has its own queues, so that one whose workers hang holds up no
//! other. Ten thousand streams that end at once run 64 requests at a time; the others wait, and count against `streams.max` meanwhile.
//! What a pool refuses (its queue is full, no worker is ready) is tried again; what a worker may have seen is not.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};
use tonic::Status;
use tracing::{debug, warn};

use super::event::Event;
use super::figures::Reason;
use super::inlet::Message;
use super::shared::Shared;
use super::stream::Stream;
use super::wire;
use crate::grpc::gzip;
use crate::offload;

/// How long a request may take, unless the pool has a shorter limit (`supervisor.exec_ttl`).
const PATIENCE: Duration = Duration::from_mins(1);

/// The pauses between attempts: 50 ms, doubling up to 2 s.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

const PUBLISH: &str = "streampublish";
const END: &str = "streamend";

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
pub(super) fn tell_end(stream: Arc<Stream>, reason: Reason) {
    let (shared, pool) = (Arc::clone(&stream.shared), stream.pool);
    if shared.queues(pool).add_end(stream, reason) {
        tokio::spawn(run_ends(shared, pool));
    }
}

async fn run_ends(shared: Arc<Shared<Stream>>, pool: usize) {
    while let Some((stream, reason)) = shared.queues(pool).next_end() {
        let event = || Event {
            pool,
            kind: END,
            context: stream.opening.context(END, Some(reason.name())),
            body: Bytes::copy_from_slice(stream.opening.request()),
        };
        if let Err(status) = attempt(&shared, event, || false).await {
            shared.counters.of(pool).lost.fetch_add(1, Relaxed);
            let (name, error) = (shared.counters.of(pool).name(), status.message());
            if shared.queues(pool).warns() {
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
    let _turn = shared.queues(stream.pool).publishes.acquire().await;
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

async fn data(shared: &Arc<Shared<Stream>>, message: Message) -> Result<Option<Bytes>, Status> {
    let body = if message.is_compressed { decompress(shared, message.body).await? } else { message.body };
    let data = wire::publication_data(&body).map_err(malformed)?;
    Ok(data.map(|data| body.slice_ref(data)))
}

fn malformed(error: wire::Malformed) -> Status {
    Status::internal(error.to_string())
}

/// Runs a request until a worker has seen it.
async fn attempt(
    shared: &Arc<Shared<Stream>>,
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
async fn decompress(shared: &Arc<Shared<Stream>>, body: Bytes) -> Result<Bytes, Status> {
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
