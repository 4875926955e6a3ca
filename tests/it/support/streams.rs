//! A client of subscription streams, on HTTP/2 itself: it reads and leaves as it likes.

use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use causeway::proto::proxy::{
    Publication, StreamSubscribeRequest, StreamSubscribeResponse, SubscribeRequest,
};
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, header};
use prost::Message;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{PATIENCE, Server, json};

const SERVICE: &str = "centrifugal.centrifugo.proxy.CentrifugoProxy";

/// HTTP/2's default.
pub const WINDOW: u32 = 65_535;

/// One connection.
pub struct Streams {
    calls: SendRequest<Bytes>,
    address: String,
    connection: JoinHandle<()>,
}

/// One stream. The client leaves when this is dropped.
pub struct Stream {
    response: Option<ResponseFuture>,
    body: Option<RecvStream>,
    sender: SendStream<Bytes>,
    raw: BytesMut,
}

/// How a stream ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// With this gRPC status and its message.
    Status(i32, String),
    Reset(Reason),
    /// With its connection.
    Lost,
}

impl Streams {
    pub async fn connect(server: &Server) -> Self {
        Self::with_window(server.address(), WINDOW).await
    }

    /// `window` is how many bytes of each stream are taken before they are read.
    pub async fn with_window(address: &str, window: u32) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (calls, connection) = Builder::new()
            .initial_window_size(window)
            .initial_connection_window_size(1 << 30)
            .data_frame_budget(usize::MAX)
            .handshake::<_, Bytes>(stream)
            .await
            .unwrap();
        let connection = tokio::spawn(async { drop(connection.await) });
        Self { calls, address: address.into(), connection }
    }

    pub async fn open(&mut self, channel: &str) -> Stream {
        self.open_as("SubscribeUnidirectional", &request(channel), true).await
    }

    pub async fn open_bidirectional(&mut self, channel: &str) -> Stream {
        let first = StreamSubscribeRequest { subscribe_request: Some(request(channel)), publication: None };
        self.open_as("SubscribeBidirectional", &first, false).await
    }

    async fn open_as(&mut self, method: &str, first: &impl Message, is_last: bool) -> Stream {
        let (response, mut sender) = self.begin(method).await;
        sender.send_data(framed(first), is_last).unwrap();
        Stream { response: Some(response), body: None, sender, raw: BytesMut::new() }
    }

    /// A call without its message.
    pub async fn begin(&mut self, method: &str) -> (ResponseFuture, SendStream<Bytes>) {
        poll_fn(|cx| self.calls.poll_ready(cx)).await.unwrap();
        let request = Request::post(format!("http://{}/{SERVICE}/{method}", self.address))
            .header(header::CONTENT_TYPE, "application/grpc")
            .header(header::TE, "trailers")
            .header("stream", "of the client")
            .header("cookie", "a=b");
        self.calls.send_request(request.body(()).unwrap(), false).unwrap()
    }

    /// How many calls the server allows at a time.
    pub fn places(&self) -> usize {
        self.calls.current_max_send_streams()
    }

    /// Disconnects without a word.
    pub fn disconnect(self) {
        self.connection.abort();
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Stream {
    /// The next message.
    pub async fn next(&mut self) -> Result<StreamSubscribeResponse, End> {
        timeout(PATIENCE, self.read()).await.expect("nothing came in time")
    }

    async fn read(&mut self) -> Result<StreamSubscribeResponse, End> {
        if let Some(response) = self.response.take() {
            let response = response.await.map_err(|error| of_error(&error))?;
            if response.headers().contains_key("grpc-status") {
                return Err(of_status(response.headers()));
            }
            self.body = Some(response.into_body());
        }
        let body = self.body.as_mut().unwrap();
        loop {
            if let Some(message) = take(&mut self.raw) {
                return Ok(StreamSubscribeResponse::decode(message).unwrap());
            }
            match body.data().await {
                Some(Ok(data)) => {
                    body.flow_control().release_capacity(data.len()).unwrap();
                    self.raw.extend_from_slice(&data);
                }
                Some(Err(error)) => return Err(of_error(&error)),
                None => {
                    let trailers = body.trailers().await.map_err(|error| of_error(&error))?;
                    return Err(of_status(&trailers.expect("trailers")));
                }
            }
        }
    }

    /// The first message, which accepts the subscription.
    pub async fn accepted(mut self) -> Self {
        let first = self.next().await.unwrap();
        let response = first.subscribe_response.expect("a subscribe_response");
        assert!(response.error.is_none() && response.disconnect.is_none(), "{response:?}");
        self
    }

    /// The data of the next publication.
    pub async fn publication(&mut self) -> String {
        let publication = self.next().await.unwrap().publication.expect("a publication");
        String::from_utf8(publication.data.to_vec()).unwrap()
    }

    /// How the stream ends, whatever comes before.
    pub async fn end(&mut self) -> End {
        loop {
            if let Err(end) = self.next().await {
                return end;
            }
        }
    }

    /// Nothing is read before this.
    pub async fn head(&mut self) {
        if let Some(response) = self.response.take() {
            self.body = Some(response.await.unwrap().into_body());
        }
    }

    /// A publication of the client.
    pub async fn publish(&mut self, data: &str) {
        assert!(self.try_publish(data).await, "the stream has ended");
    }

    /// The same; false if the stream has ended.
    pub async fn try_publish(&mut self, data: &str) -> bool {
        let publication = Some(Publication { data: data.to_owned().into(), ..Publication::default() });
        let mut bytes = framed(&StreamSubscribeRequest { subscribe_request: None, publication });
        while !bytes.is_empty() {
            self.sender.reserve_capacity(bytes.len());
            let Some(Ok(room)) = poll_fn(|cx| self.sender.poll_capacity(cx)).await else { return false };
            if self.sender.send_data(bytes.split_to(room.min(bytes.len())), false).is_err() {
                return false;
            }
        }
        true
    }

    /// Unsubscribes, as Centrifugo does.
    pub fn leave(mut self) {
        self.sender.send_reset(Reason::CANCEL);
    }
}

fn take(raw: &mut BytesMut) -> Option<Bytes> {
    let length = u32::from_be_bytes(raw.get(1..5)?.try_into().unwrap()) as usize;
    if raw.len() < 5 + length {
        return None;
    }
    raw.advance(5);
    Some(raw.split_to(length).freeze())
}

fn of_status(headers: &HeaderMap) -> End {
    let text = |name: &str| {
        headers.get(name).map_or(String::new(), |value| value.to_str().unwrap().replace("%20", " "))
    };
    End::Status(text("grpc-status").parse().unwrap(), text("grpc-message"))
}

fn of_error(error: &h2::Error) -> End {
    match error.reason().filter(|_| error.is_reset()) {
        Some(reason) => End::Reset(reason),
        None => End::Lost,
    }
}

pub fn request(channel: &str) -> SubscribeRequest {
    SubscribeRequest {
        client: "client".into(),
        transport: "websocket".into(),
        protocol: "json".into(),
        encoding: "json".into(),
        user: "42".into(),
        channel: channel.into(),
        data: "{}".into(),
        ..SubscribeRequest::default()
    }
}

pub fn framed(message: &impl Message) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(0);
    out.put_u32(message.encoded_len().try_into().unwrap());
    message.encode(&mut out).unwrap();
    out.freeze()
}

/// The events that workers have recorded in a file.
pub struct Events(PathBuf);

impl Events {
    pub fn of(server: &Server, name: &str) -> Self {
        Self(server.folder.path().join(name))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The channel whose events are recorded here.
    pub fn channel(&self) -> String {
        format!("stream:{}", self.0.display())
    }

    /// Events from now on wait for [`Events::go`].
    pub fn wait(&self) {
        std::fs::write(self.0.with_extension("wait"), "").unwrap();
    }

    pub fn go(&self) {
        std::fs::write(self.0.with_extension("go"), "").unwrap();
    }

    /// All of them so far.
    pub fn seen(&self) -> Vec<Value> {
        let written = std::fs::read_to_string(&self.0).unwrap_or_default();
        // The last line may be half written.
        let complete = written.rfind('\n').map_or("", |end| &written[..end]);
        complete.lines().map(json).collect()
    }

    /// Their types so far.
    pub fn types(&self) -> Vec<String> {
        self.seen().iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until there are so many.
    pub async fn at_least(&self, count: usize) -> Vec<Value> {
        super::eventually(&format!("{count} events"), || self.seen().len() >= count).await;
        self.seen()
    }

    /// The id of the stream that was opened first.
    pub async fn id(&self) -> String {
        self.at_least(1).await[0]["context"]["stream"][0].as_str().unwrap().to_owned()
    }

    /// Whether nothing more is recorded for a moment.
    pub async fn stays_at(&self, count: usize) {
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(self.seen().len(), count, "{:#?}", self.seen());
    }
}
