//! Calls to a collector: OTLP over HTTP/1.1 and over gRPC, on one connection that is opened when it is needed.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Collected, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Code, Status};

use super::config::OtlpClient;
use super::endpoint::Endpoint;
use super::messages::ExportTraceServiceResponse;
use crate::grpc::{self, PREFIX};
use crate::tls;

/// Bytes of an answer, at most. A good one is empty.
const MAX_ANSWER: usize = 64 << 10;

/// The path of the service over gRPC.
const SERVICE: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");

/// What became of an export.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The collector took the spans, except for some.
    Taken {
        /// How many it did not take, and why.
        rejected: usize,
        reason: String,
    },
    /// It may take them later.
    Later {
        reason: String,
        /// When the collector wants to be asked again.
        after: Option<Duration>,
    },
    /// It will not take them.
    Rejected { reason: String },
}

/// A collector's client.
pub(super) struct Client {
    endpoint: Endpoint,
    tls: Option<TlsConnector>,
    connection: Option<Connection>,
}

#[derive(Debug)]
struct Connection {
    sender: Sender,
    _driver: AbortOnDropHandle<()>,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Client {
    /// Nothing is sent yet, and the collector need not be running.
    ///
    /// # Errors
    /// If a certificate cannot be used.
    pub(super) fn new(endpoint: Endpoint) -> Result<Self, tls::Error> {
        let alpn: &[u8] = match endpoint.client {
            OtlpClient::Http => b"http/1.1",
            OtlpClient::Grpc => b"h2",
        };
        let connector = || endpoint.certificates.connector(Path::new(""), Some(alpn));
        let tls = if endpoint.is_tls { Some(connector()?) } else { None };
        Ok(Self { endpoint, tls, connection: None })
    }

    /// Sends an `ExportTraceServiceRequest`, compressed already if the endpoint is to get it so. The connection is of no use any more if this
    /// is dropped.
    pub(super) async fn send(&mut self, message: Bytes) -> Outcome {
        // Over a connection that was idle, a request may fail because the collector has closed it.
        let is_reused = self.connection.is_some();
        let mut sent = self.attempt(message.clone()).await;
        if sent.is_err() && is_reused {
            sent = self.attempt(message).await;
        }
        let (head, body) = match sent {
            Ok(answer) => answer,
            Err(error) => return Outcome::Later { reason: explain(&*error), after: None },
        };
        match self.endpoint.client {
            OtlpClient::Http => of_http(&head, body.to_bytes()),
            OtlpClient::Grpc => {
                let trailers = body.trailers().unwrap_or(&head.headers).clone();
                of_grpc(&head, &trailers, &body.to_bytes())
            }
        }
    }

    async fn attempt(&mut self, message: Bytes) -> Result<Answer, Error> {
        let mut connection = match self.connection.take() {
            Some(connection) if !connection.sender.is_closed() => connection,
            _ => self.connect().await?,
        };
        let answer = connection.sender.send(self.request(message)?).await?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await?;
        self.connection = Some(connection);
        Ok((head, body))
    }

    fn request(&self, message: Bytes) -> Result<Request<Full<Bytes>>, Error> {
        let Endpoint { client, is_compressed, .. } = self.endpoint;
        let mut headers = self.endpoint.headers.clone();
        headers.insert(header::USER_AGENT, HeaderValue::from_static(super::USER_AGENT));
        let gzip = HeaderValue::from_static("gzip");
        let (target, body) = match client {
            OtlpClient::Http => {
                headers.insert(header::CONTENT_TYPE, PROTOBUF);
                headers.insert(header::HOST, HeaderValue::try_from(self.endpoint.authority())?);
                if is_compressed {
                    headers.insert(header::CONTENT_ENCODING, gzip);
                }
                (self.endpoint.path.clone(), message)
            }
            OtlpClient::Grpc => {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(grpc::CONTENT_TYPE));
                headers.insert(header::TE, HeaderValue::from_static("trailers"));
                if is_compressed {
                    headers.insert(&grpc::ENCODING, gzip);
                }
                let target = format!("{}{SERVICE}", self.endpoint.origin());
                (target, framed(&message, is_compressed)?)
            }
        };
        let mut request = Request::builder().method(Method::POST).uri(target).body(Full::new(body))?;
        *request.headers_mut() = headers;
        Ok(request)
    }

    async fn connect(&self) -> Result<Connection, Error> {
        let Endpoint { host, port, client, .. } = &self.endpoint;
        let stream = TcpStream::connect((host.as_str(), *port)).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => Connection::open(*client, stream).await,
            Some(connector) => {
                let name = ServerName::try_from(host.clone())?;
                Connection::open(*client, connector.connect(name, stream).await?).await
            }
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

type Error = Box<dyn std::error::Error + Send + Sync>;
type Answer = (http::response::Parts, Collected<Bytes>);

impl Connection {
    async fn open<S>(client: OtlpClient, stream: S) -> Result<Self, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = TokioIo::new(stream);
        let (sender, driver) = match client {
            OtlpClient::Http => {
                let (sender, connection) = http1::handshake(stream).await?;
                (Sender::Http1(sender), tokio::spawn(async { drop(connection.await) }))
            }
            OtlpClient::Grpc => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
                (Sender::Http2(sender), tokio::spawn(async { drop(connection.await) }))
            }
        };
        Ok(Self { sender, _driver: AbortOnDropHandle::new(driver) })
    }
}

impl Sender {
    fn is_closed(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_closed(),
            Self::Http2(sender) => sender.is_closed(),
        }
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Self::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }
}

/// The message behind gRPC's prefix.
fn framed(message: &Bytes, is_compressed: bool) -> Result<Bytes, Error> {
    let (first, second) = grpc::frame(message, is_compressed)?;
    Ok(if second.is_empty() { first } else { [first, second].concat().into() })
}

fn of_http(head: &http::response::Parts, body: Bytes) -> Outcome {
    if head.status.is_success() {
        return taken(body);
    }
    let reason = format!("HTTP status {}", head.status);
    match head.status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => {
            let after = head.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
            let after = after.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
            Outcome::Later { reason, after }
        }
        _ => Outcome::Rejected { reason },
    }
}

fn of_grpc(head: &http::response::Parts, trailers: &HeaderMap, body: &Bytes) -> Outcome {
    let Some(status) = Status::from_header_map(trailers) else {
        let reason = format!("HTTP status {} and no gRPC status", head.status);
        return Outcome::Later { reason, after: None };
    };
    let reason = || format!("gRPC status {}: {}", grpc::go_name(status.code()), status.message());
    match status.code() {
        Code::Ok => taken(body.slice(PREFIX.min(body.len())..)),
        // Those that OTLP calls retryable.
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss
        | Code::ResourceExhausted => Outcome::Later { reason: reason(), after: None },
        _ => Outcome::Rejected { reason: reason() },
    }
}

/// The collector has answered with this `ExportTraceServiceResponse`.
fn taken(body: Bytes) -> Outcome {
    let answer = ExportTraceServiceResponse::decode(body).unwrap_or_default();
    let partial = answer.partial_success.unwrap_or_default();
    let rejected = usize::try_from(partial.rejected_spans).unwrap_or(0);
    Outcome::Taken { rejected, reason: partial.error_message }
}

/// An error with its causes, which libraries leave out of their texts.
fn explain(error: &(dyn std::error::Error + 'static)) -> String {
    if error.is::<LengthLimitError>() {
        return "the answer is too long".into();
    }
    let causes = std::iter::successors(Some(error), |error| error.source());
    let mut texts: Vec<String> = causes.map(ToString::to_string).collect();
    texts.dedup();
    texts.join(": ")
}
