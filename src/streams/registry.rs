//! All streams, as the proxy and RPC use them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use h2::RecvStream;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::config::Config;
use super::event::Handler;
use super::figures::{Figures, OpenStreams, Reason};
use super::id::StreamId;
use super::inlet::Inlet;
use super::opening::Opening;
use super::port::Port;
use super::shared::{Place, Shared, Tasks};
use super::stream::{New, PublishError, Stream, connection_over, shutting_down};
use super::{budget, events, spread, wire};
use crate::pool_names::PoolNames;
use crate::telemetry::metrics::Collect;

/// How often streams end while the server shuts down.
const TICK: Duration = Duration::from_millis(10);

/// How long the shutdown waits for workers to handle the ends of streams.
const ENDS: Duration = Duration::from_secs(5);

/// All subscription streams. Clones are the same streams.
#[derive(Debug, Clone)]
pub struct Streams {
    shared: Arc<Shared<Stream>>,
}

/// Why a stream is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There are as many as there may be.
    #[error("{max} subscription streams are open already (centrifuge.streams.max)")]
    Full {
        /// `streams.max`.
        max: u32,
    },
    /// There is no memory for it.
    #[error("the subscription streams have reached their memory limit")]
    OutOfMemory,
    /// Too many wait for their turn.
    #[error(
        "more than {per_second} subscription streams per second are being opened (centrifuge.streams.open_rate)"
    )]
    TooFast {
        /// `streams.open_rate`.
        per_second: u32,
    },
    /// The server shuts down.
    #[error("the server is shutting down")]
    ShuttingDown,
}

/// A stream that is to be opened.
#[derive(Debug)]
pub struct Request<'a> {
    /// Its id, which its context names.
    pub id: StreamId,
    /// The number of the pool that opens it.
    pub pool: usize,
    /// Whether the client may send messages.
    pub is_bidirectional: bool,
    /// The context of its opening.
    pub context: &'a [u8],
    /// The `SubscribeRequest`.
    pub request: &'a [u8],
    /// The streams of its connection.
    pub port: &'a Arc<Port>,
}

/// A stream whose opening has been passed to the application. Dropped, it has not been opened.
#[derive(Debug)]
#[must_use = "the stream is not opened when this is dropped"]
pub struct Begun {
    stream: Option<Arc<Stream>>,
}

/// An open stream, for people to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamInfo {
    /// Its id.
    pub id: String,
    /// The channel that the client has subscribed to.
    pub channel: String,
    /// The client's id.
    pub client: String,
    /// The client's user.
    pub user: String,
    /// The name of its pool.
    pub pool: String,
    /// Whether the client may send messages.
    pub is_bidirectional: bool,
    /// Whether a worker streams.
    pub is_held: bool,
    /// When it was opened.
    pub opened: SystemTime,
    /// Messages sent to the client.
    pub sent: u64,
    /// Messages that wait until the client reads.
    pub buffered: usize,
}

/// Which streams are listed; an empty text allows all.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter<'a> {
    /// Their channel.
    pub channel: &'a str,
    /// Their client.
    pub client: &'a str,
    /// Their user.
    pub user: &'a str,
}

impl Streams {
    /// No streams yet. Events go to the `handler`, by the numbers of `pools`.
    pub fn new(config: Config, max_message_size: usize, pools: PoolNames, handler: Arc<dyn Handler>) -> Self {
        let tasks = Tasks { deliver: events::deliver, tell_end: events::tell_end };
        Self { shared: Shared::new(config, max_message_size, pools, handler, tasks) }
    }

    /// Streams whose events no one handles.
    #[cfg(test)]
    pub(crate) fn unhandled() -> Self {
        #[derive(Debug)]
        struct NoHandler;
        impl Handler for NoHandler {
            fn handle(&self, _: super::Event) -> super::Handled {
                Box::pin(std::future::pending())
            }
        }
        Self::new(Config::default(), 1 << 20, ["x"].into_iter().collect(), Arc::new(NoHandler))
    }

    /// Streams that may be open at a time.
    pub fn max(&self) -> u32 {
        self.shared.config.max
    }

    /// Takes one of the places, before the application is asked.
    ///
    /// # Errors
    /// When all are taken.
    pub fn place(&self) -> Result<Place, Refused> {
        if self.shared.is_closing() {
            return Err(Refused::ShuttingDown);
        }
        self.shared.place().ok_or(Refused::Full { max: self.shared.config.max })
    }

    /// Waits until another stream may be opened; see `streams.open_rate`.
    pub async fn turn(&self) {
        self.shared.rate.turn().await;
    }

    /// The error of a call that has waited for its turn for too long.
    pub fn too_fast(&self) -> Refused {
        Refused::TooFast { per_second: self.shared.config.open_rate }
    }

    /// Registers a stream: from now on messages may be published to it.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn begin(&self, place: Place, request: &Request<'_>) -> Result<Begun, Refused> {
        let Request { id, pool, is_bidirectional, context, request, port } = *request;
        let opening = Opening::new(context, request);
        if !self.shared.budget.take(&port.share, budget::STREAM + opening.size()) {
            return Err(Refused::OutOfMemory);
        }
        let new = New { id, pool, is_bidirectional, opening, port: Arc::clone(port), place };
        let stream = Stream::new(&self.shared, new);
        self.shared.insert(stream.id(), Arc::clone(&stream));
        Ok(Begun { stream: Some(stream) })
    }

    /// The receiving side of a bidirectional stream.
    pub fn inlet(&self, stream: RecvStream, may_be_compressed: bool, port: &Arc<Port>) -> Inlet {
        let shared = &self.shared;
        let (budget, port) = (Arc::clone(&shared.budget), Arc::clone(port));
        Inlet::new(stream, shared.max_message_size, may_be_compressed, budget, port)
    }

    /// Sends a message to a stream; see [`wire::publication`].
    ///
    /// # Errors
    /// When there is no such stream, or it is full.
    pub fn publish(&self, id: &str, message: Bytes) -> Result<(), PublishError> {
        self.find(id).ok_or(PublishError::NoStream)?.publish(message)
    }

    /// Ends a stream behind the messages that wait, so that the client stays away, or subscribes again. False if there is no such stream.
    pub fn close(&self, id: &str, resubscribe: bool) -> bool {
        self.find(id).is_some_and(|stream| stream.close(resubscribe))
    }

    /// Up to `limit` of the streams that fit, and how many fit.
    pub async fn list(&self, filter: Filter<'_>, limit: usize) -> (Vec<StreamInfo>, usize) {
        let (mut listed, mut total) = (Vec::new(), 0);
        for part in self.shared.all() {
            for streams in part.chunks(256) {
                for stream in streams.iter().filter(|stream| filter.fits(stream)) {
                    total += 1;
                    if listed.len() < limit {
                        listed.push(self.info(stream));
                    }
                }
                // Others have their turn.
                tokio::task::yield_now().await;
            }
        }
        (listed, total)
    }

    /// The open streams of the pool of this name.
    pub fn open(&self, pool: &str) -> OpenStreams {
        self.shared.counters.open(pool)
    }

    /// The figures of the metrics page.
    pub(crate) fn figures(&self) -> Arc<dyn Collect> {
        let Shared { counters, budget, .. } = &*self.shared;
        Arc::new(Figures { counters: Arc::clone(counters), budget: Arc::clone(budget) })
    }

    /// Bytes that all streams hold.
    pub fn held(&self) -> usize {
        self.shared.budget.held()
    }

    /// Ends all streams, evenly over a part of the grace period, so that their clients come back elsewhere one after the other.
    pub async fn end_all(&self, grace: Duration) {
        self.shared.close();
        let streams: Vec<_> = self.shared.all().flatten().collect();
        if streams.is_empty() {
            return;
        }
        let over = spread::duration(streams.len(), grace);
        info!(target: "centrifuge", streams = streams.len(), over = ?over, "ending subscription streams");
        let (begin, mut ended) = (Instant::now(), 0);
        loop {
            let due = spread::due(streams.len(), begin.elapsed(), over);
            for batch in streams[ended..due].chunks(256) {
                for stream in batch {
                    stream.end(Reason::Shutdown, shutting_down());
                }
                tokio::task::yield_now().await;
            }
            ended = due;
            if ended == streams.len() {
                return;
            }
            sleep(TICK).await;
        }
    }

    /// Ends the streams of a connection that has reached its maximum age, so that their clients come back on another one.
    pub async fn end_of(&self, port: &Arc<Port>) {
        if port.open() == 0 {
            return;
        }
        for part in self.shared.all() {
            for streams in part.chunks(256) {
                for stream in streams.iter().filter(|stream| stream.is_of(port)) {
                    stream.end(Reason::Connection, connection_over());
                }
                // Others have their turn.
                tokio::task::yield_now().await;
            }
        }
    }

    /// Waits until the application knows that all streams have ended, for as long as the shutdown can spare.
    pub async fn finish(&self, deadline: Instant) {
        let until = deadline.min(Instant::now() + ENDS);
        let ends: Vec<_> = self.shared.all_queues().collect();
        let over = futures_util::future::join_all(ends.iter().map(|queues| queues.over()));
        let in_time = tokio::time::timeout_at(until, over).await.is_ok();
        self.shared.stop();
        if !in_time {
            let left: usize = ends.iter().map(|queues| queues.left()).sum();
            warn!(target: "centrifuge", left, "not all streamend events were handled");
        }
    }

    fn find(&self, id: &str) -> Option<Arc<Stream>> {
        self.shared.find(StreamId::parse(id)?)
    }

    fn info(&self, stream: &Stream) -> StreamInfo {
        let request = stream.opening.request();
        let (sent, buffered, is_held) = stream.progress();
        StreamInfo {
            id: stream.id().to_string(),
            channel: wire::text(request, wire::CHANNEL).to_owned(),
            client: wire::text(request, wire::CLIENT).to_owned(),
            user: wire::text(request, wire::USER).to_owned(),
            pool: self.shared.counters.of(stream.pool).name().to_owned(),
            is_bidirectional: stream.is_bidirectional,
            is_held,
            opened: stream.began,
            sent,
            buffered,
        }
    }
}

impl Filter<'_> {
    fn fits(&self, stream: &Stream) -> bool {
        let request = stream.opening.request();
        [(self.channel, wire::CHANNEL), (self.client, wire::CLIENT), (self.user, wire::USER)]
            .into_iter()
            .all(|(wanted, number)| wanted.is_empty() || wire::text(request, number) == wanted)
    }
}

impl Begun {
    /// The stream, which the application has accepted.
    pub fn accepted(mut self) -> Option<Arc<Stream>> {
        self.stream.take()
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take() {
            stream.discard();
            stream.shared.remove(stream.id());
        }
    }
}
