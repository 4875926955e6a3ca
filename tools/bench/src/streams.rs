//! The load of subscription streams: many are open, messages are published into them over RPC, and each stream checks what it receives.
//! The worker accepts a subscription with the id of its stream as data.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use causeway::goridge::Flags;
use causeway::grpc::RawCodec;
use causeway::proto::proxy::{StreamSubscribeResponse, SubscribeRequest};
use prost::Message as _;
use serde_json::json;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tonic::codec::Streaming;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use crate::h2load::Outcome;
use crate::rpc::Caller;

/// Connections over which the streams are opened.
const CONNECTIONS: usize = 4;

/// Callers of `stream.Publish`, with one call at a time each.
const PUBLISHERS: usize = 16;

/// How long a stream may take to open, and a message to arrive.
const PATIENCE: Duration = Duration::from_mins(1);

/// Streams that are open.
#[derive(Debug)]
pub(crate) struct Streams {
    socket: PathBuf,
    ids: Arc<Vec<String>>,
    received: Arc<Received>,
    tasks: JoinSet<anyhow::Result<Status>>,
    /// How many messages were published.
    published: usize,
}

/// How many messages have arrived.
#[derive(Debug, Default)]
struct Received {
    messages: AtomicUsize,
    one_more: Notify,
}

impl Streams {
    /// Opens `number` streams at once.
    ///
    /// # Errors
    /// If one is not accepted.
    pub(crate) async fn open(address: &str, socket: PathBuf, number: usize) -> anyhow::Result<Self> {
        let mut channels = Vec::new();
        for _ in 0..CONNECTIONS {
            channels.push(Endpoint::from_shared(format!("http://{address}"))?.connect().await?);
        }
        let mut opening = JoinSet::new();
        for number in 0..number {
            opening.spawn(subscribe(channels[number % CONNECTIONS].clone(), number));
        }
        let (mut ids, mut tasks) = (Vec::with_capacity(number), JoinSet::new());
        let received = Arc::<Received>::default();
        while let Some(opened) = opening.join_next().await {
            let (id, stream) = opened.context("a stream did not open")??;
            ids.push(id.clone());
            tasks.spawn(follow(stream, id, Arc::clone(&received)));
        }
        Ok(Self { socket, ids: Arc::new(ids), received, tasks, published: 0 })
    }

    /// Publishes `messages`, the same number into each stream or one more, and waits until all have arrived.
    ///
    /// # Errors
    /// If a call fails, or a message does not arrive.
    pub(crate) async fn publish(&mut self, messages: usize) -> anyhow::Result<Outcome> {
        let begin = Instant::now();
        // Each caller has streams of its own, since their order counts.
        let (mut callers, first) = (JoinSet::new(), self.published);
        for number in 0..PUBLISHERS.min(self.ids.len()) {
            callers.spawn(publish(self.socket.clone(), Arc::clone(&self.ids), number, first, messages));
        }
        let mut latencies = Vec::with_capacity(messages);
        while let Some(took) = callers.join_next().await {
            latencies.extend(took.context("a caller did not finish")??);
        }
        self.published += messages;
        self.wait().await?;
        let requests_per_second = latencies.len() as f64 / begin.elapsed().as_secs_f64();
        latencies.sort_unstable();
        Ok(Outcome { requests_per_second, latencies })
    }

    /// Waits until all messages have arrived.
    async fn wait(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let one_more = self.received.one_more.notified();
            let arrived = self.received.messages.load(Ordering::Acquire);
            if arrived == self.published {
                return Ok(());
            }
            if let Some(ended) = self.tasks.try_join_next() {
                bail!("a stream ended early: {:?}", ended??);
            }
            if arrived > self.published || tokio::time::timeout_at(deadline.into(), one_more).await.is_err() {
                bail!("{arrived} of {} messages have arrived", self.published);
            }
        }
    }

    /// Replaces the workers. No stream may end.
    pub(crate) async fn reset(&mut self) -> anyhow::Result<Duration> {
        let begin = Instant::now();
        let mut caller = Caller::connect(&self.socket).await?;
        caller.call("resetter.Reset", Flags::JSON, b"\"centrifuge\"").await?;
        let took = begin.elapsed();
        self.publish(self.ids.len()).await?;
        Ok(took)
    }

    /// Waits until all streams have ended, each with an error for which clients subscribe again.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<()> {
        while let Some(ended) = self.tasks.join_next().await {
            let status = ended.context("a stream did not end")??;
            if status.code() != Code::Unavailable {
                bail!("a stream ended with {status:?}");
            }
        }
        Ok(())
    }
}

/// Opens a stream. Returns its id.
async fn subscribe(channel: Channel, number: usize) -> anyhow::Result<(String, Streaming<Bytes>)> {
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await?;
    let request = SubscribeRequest {
        client: format!("4f3a1c9e-8b7d-4c21-9f60-{number:012}"),
        transport: "websocket".into(),
        protocol: "json".into(),
        encoding: "json".into(),
        user: "42".into(),
        channel: format!("stream-{number}"),
        ..SubscribeRequest::default()
    };
    let path = format!("/{}/SubscribeUnidirectional", causeway::proxy::SERVICE).parse()?;
    let opening = grpc.server_streaming(Request::new(request.encode_to_vec().into()), path, RawCodec);
    let mut stream =
        tokio::time::timeout(PATIENCE, opening).await.context("a stream does not open")??.into_inner();
    let first = tokio::time::timeout(PATIENCE, stream.message())
        .await
        .context("a subscription is not accepted")??;
    let first = StreamSubscribeResponse::decode(first.context("a stream ended at once")?)?;
    let accepted = first.subscribe_response.and_then(|response| response.result);
    let data = accepted.with_context(|| format!("subscription {number} was not accepted"))?.data;
    Ok((serde_json::from_slice(&data).context("the data is not the id of a stream")?, stream))
}

/// Receives messages until the stream ends. Returns its status.
async fn follow(mut stream: Streaming<Bytes>, id: String, received: Arc<Received>) -> anyhow::Result<Status> {
    for number in 0.. {
        let message = match stream.message().await {
            Ok(Some(message)) => StreamSubscribeResponse::decode(message)?,
            Ok(None) => return Ok(Status::ok("")),
            Err(status) => return Ok(status),
        };
        let data = message.publication.map(|publication| publication.data).unwrap_or_default();
        if data != message_of(&id, number) {
            bail!("message {number} of stream {id} is {data:?}");
        }
        received.messages.fetch_add(1, Ordering::AcqRel);
        received.one_more.notify_waiters();
    }
    bail!("a stream has too many messages")
}

/// Makes one caller's part of the calls, one after the other; returns the microseconds of each.
async fn publish(
    socket: PathBuf,
    ids: Arc<Vec<String>>,
    caller_number: usize,
    first: usize,
    messages: usize,
) -> anyhow::Result<Vec<u32>> {
    let mut caller = Caller::connect(&socket).await?;
    let mut latencies = Vec::with_capacity(messages / PUBLISHERS + 1);
    for number in first..first + messages {
        let (index, round) = (number % ids.len(), number / ids.len());
        if index % PUBLISHERS != caller_number {
            continue;
        }
        let data = message_of(&ids[index], round);
        let argument = format!(r#"{{"id":"{}","data":{data}}}"#, ids[index]);
        let begin = Instant::now();
        caller.call("stream.Publish", Flags::JSON, argument.as_bytes()).await?;
        latencies.push(u32::try_from(begin.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
    Ok(latencies)
}

/// The data of a stream's message with this number.
fn message_of(id: &str, number: usize) -> String {
    json!({ "stream": id, "number": number }).to_string()
}
