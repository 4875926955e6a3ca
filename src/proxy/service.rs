//! One call: from its headers to its answer.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use tokio::time::Instant;
use tonic::codec::CompressionEncoding;
use tonic::server::Grpc;
use tonic::{Code, Status};
use tracing::{debug, error, warn};

use super::calls::Calls;
use super::health::Health;
use super::incoming::Incoming;
use super::raw::RawCodec;
use super::statistics::Statistics;
use super::{Backend, Request, SERVICE, context, deadline, status, unary};
use crate::pool::Answered;

/// The methods that stream; they are not served yet.
const STREAMS: [&str; 2] = ["SubscribeUnidirectional", "SubscribeBidirectional"];

/// The answer to the methods that stream.
const NO_STREAMS: &str = "subscription streams are not served by this version";

/// All services of the listener.
#[derive(Debug)]
pub(super) struct Service<B> {
    pub(super) backend: B,
    pub(super) health: Health,
    pub(super) calls: Arc<Calls>,
    pub(super) statistics: Arc<Statistics>,
    pub(super) max_message_size: usize,
}

type Head = http::request::Parts;

/// What a call is answered with.
pub(super) enum Reply {
    /// A message, and the status OK.
    Message(Answered),
    /// Anything else: a status alone, or what tonic writes.
    Other(http::Response<tonic::body::Body>),
}

impl Reply {
    fn code(&self) -> Code {
        match self {
            Self::Message(_) => Code::Ok,
            // An answer that has its status behind it is a message, and its status is OK.
            Self::Other(response) => {
                Status::from_header_map(response.headers()).map_or(Code::Ok, |s| s.code())
            }
        }
    }
}

impl<B: Backend> Service<B> {
    /// Answers one call, which `arrived` just now.
    pub(super) async fn answer(&self, request: http::Request<Incoming>, arrived: Instant) -> Reply {
        // What follows borrows the head: passed on by value, each of the futures within each other would have room for one.
        let (head, body) = request.into_parts();
        if let Some(refused) = refuse_other_protocols(&head) {
            return refused;
        }
        let path = head.uri.path();
        let Some((service, method)) = path.strip_prefix('/').and_then(|rest| rest.rsplit_once('/')) else {
            return refuse(Status::unimplemented(format!("malformed method name: {path:?}")));
        };
        match service {
            SERVICE if method.is_empty() => {
                refuse(Status::unimplemented(format!("unknown method {method} for service {service}")))
            }
            SERVICE => self.count(method, &head, body, arrived).await,
            super::health::SERVICE => {
                let answer = self.health.answer(method, request_for_tonic(&head.headers, body));
                Reply::Other(Box::pin(answer).await)
            }
            _ => refuse(Status::unimplemented(format!("unknown service {service}"))),
        }
    }

    async fn count(&self, method: &str, head: &Head, body: Incoming, arrived: Instant) -> Reply {
        let kind = method.to_ascii_lowercase();
        let timed = self.statistics.begin(&kind, arrived);
        let reply = self.forward(method, &kind, head, body, arrived).await;
        timed.end(reply.code());
        reply
    }

    /// Hands the call to the backend and waits until its deadline.
    async fn forward(
        &self,
        method: &str,
        kind: &str,
        head: &Head,
        body: Incoming,
        arrived: Instant,
    ) -> Reply {
        let Some(_call) = self.calls.begin() else {
            return refuse(status::of(&crate::pool::Error::ShuttingDown));
        };
        if STREAMS.contains(&method) {
            return refuse(Status::unimplemented(NO_STREAMS));
        }
        let authority = head.uri.authority().map(http::uri::Authority::as_str);
        let (context, timeout) =
            match (context::build(kind, authority, &head.headers), deadline::timeout(&head.headers)) {
                (Ok(context), Ok(timeout)) => (context, timeout),
                // What grpc-go answers.
                (Err(malformed), _) => return refuse(Status::internal(malformed.to_string())),
                (_, Err(malformed)) => return refuse(Status::internal(malformed.to_string())),
            };
        let deadline = timeout.and_then(|timeout| arrived.checked_add(timeout));
        let answer = self.exchange(kind, context, deadline, &head.headers, body);
        let Some(deadline) = deadline else { return answer.await };
        tokio::select! {
            biased;
            reply = answer => reply,
            () = tokio::time::sleep_until(deadline) => {
                debug!(target: "centrifuge", r#type = kind, "a call's deadline passed");
                refuse(Status::deadline_exceeded("the deadline passed before there was an answer"))
            }
        }
    }

    /// Reads the message, asks the backend, writes the answer.
    async fn exchange(
        &self,
        kind: &str,
        context: Vec<u8>,
        deadline: Option<Instant>,
        headers: &HeaderMap,
        body: Incoming,
    ) -> Reply {
        if headers.get("grpc-encoding").is_some_and(|encoding| encoding != "identity") {
            let request = request_for_tonic(headers, body);
            return Box::pin(self.exchange_compressed(kind, context, deadline, request)).await;
        }
        let body = match unary::read(body, self.max_message_size).await {
            Ok(body) => body,
            Err(status) => return refuse(status),
        };
        match self.backend.call(Request { context, body, deadline }).await {
            Ok(answer) => Reply::Message(answer),
            Err(error) => refuse(failed(kind, &error)),
        }
    }

    /// The same by tonic, which knows the encodings.
    async fn exchange_compressed(
        &self,
        kind: &str,
        context: Vec<u8>,
        deadline: Option<Instant>,
        request: http::Request<Incoming>,
    ) -> Reply {
        let mut grpc = Grpc::new(RawCodec)
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(self.max_message_size);
        // Like grpc-go, which answers in the encoding of the request.
        if request.headers().get("grpc-encoding").is_some_and(|encoding| encoding == "gzip") {
            grpc = grpc.send_compressed(CompressionEncoding::Gzip);
        }
        let backend = self.backend.clone();
        let handler = tower::service_fn(move |request: tonic::Request<Bytes>| {
            let request = Request { context: context.clone(), body: request.into_inner(), deadline };
            let backend = backend.clone();
            async move {
                let answer = backend.call(request).await;
                answer.map(|answer| tonic::Response::new(answer.body)).map_err(|error| failed(kind, &error))
            }
        });
        let mut response = grpc.unary(handler, request).await;
        self.name_the_limit(response.headers_mut());
        Reply::Other(response)
    }

    /// tonic says OUT_OF_RANGE of a message that is too large; gRPC's libraries agree on RESOURCE_EXHAUSTED. No other part of a call
    /// says OUT_OF_RANGE.
    fn name_the_limit(&self, headers: &mut HeaderMap) {
        let out_of_range = headers.get(Status::GRPC_STATUS).is_some_and(|code| code == "11");
        if out_of_range {
            let status = status::too_large(self.max_message_size);
            // The old status is overwritten.
            let _ = status.add_header(headers);
        }
    }
}

/// A request as tonic takes it: of the head it reads the headers only.
fn request_for_tonic(headers: &HeaderMap, body: Incoming) -> http::Request<Incoming> {
    let mut request = http::Request::new(body);
    *request.headers_mut() = headers.clone();
    request
}

/// The answer to a call that failed.
fn refuse(status: Status) -> Reply {
    Reply::Other(status.into_http())
}

/// A request which gRPC does not know: by grpc-go's rules, so that whoever looks at the port with curl gets a clear answer.
fn refuse_other_protocols(head: &Head) -> Option<Reply> {
    let refuse = |code: StatusCode, status: Status| {
        let mut response = status.into_http();
        *response.status_mut() = code;
        Some(Reply::Other(response))
    };
    if head.method != Method::POST {
        let method = &head.method;
        return refuse(
            StatusCode::METHOD_NOT_ALLOWED,
            Status::internal(format!("the method is {method} and not POST")),
        );
    }
    let content = head.headers.get(header::CONTENT_TYPE).map_or(&b""[..], header::HeaderValue::as_bytes);
    if let Some([] | [b'+' | b';', ..]) = content.strip_prefix(b"application/grpc") {
        None
    } else {
        let text = format!("invalid gRPC request content-type \"{}\"", content.escape_ascii());
        refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, Status::invalid_argument(text))
    }
}

/// The status of a failure. Those that an operator can do something about are logged, with the type of the call; a deadline is the
/// caller's choice, and so told quietly.
fn failed(kind: &str, error: &crate::pool::Error) -> Status {
    use crate::pool::Error;
    match error {
        Error::ShuttingDown => {}
        Error::DeadlineExceeded { .. } => {
            debug!(target: "centrifuge", r#type = kind, "a call's deadline passed");
        }
        Error::Worker(_) => {
            warn!(target: "centrifuge", r#type = kind, %error, "a worker answered with an error");
        }
        _ => error!(target: "centrifuge", r#type = kind, %error, "a call failed"),
    }
    status::of(error)
}
