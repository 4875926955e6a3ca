//! One call: from its headers to its answer.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use tokio::time::Instant;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::server::Grpc;
use tonic::{Code, Status};
use tracing::{debug, error, warn};

use super::calls::Calls;
use super::health::Health;
use super::raw::RawCodec;
use super::statistics::Statistics;
use super::{Backend, Request, SERVICE, context, deadline, status, unary};

/// The methods that stream; they are not served yet.
const STREAMS: [&str; 2] = ["SubscribeUnidirectional", "SubscribeBidirectional"];

/// The answer to the methods that stream.
const NO_STREAMS: &str = "subscription streams are not served by this version";

/// All services of the listener. It is cloned for each call, and so one pointer.
#[derive(Debug)]
pub(super) struct Service<B>(Arc<Parts<B>>);

/// What the services are made of.
#[derive(Debug)]
pub(super) struct Parts<B> {
    pub(super) backend: B,
    pub(super) health: Health,
    pub(super) calls: Arc<Calls>,
    pub(super) statistics: Arc<Statistics>,
    pub(super) max_message_size: usize,
}

impl<B> Service<B> {
    pub(super) fn new(parts: Parts<B>) -> Self {
        Self(Arc::new(parts))
    }
}

impl<B> Clone for Service<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

type HttpRequest = http::Request<Body>;
type HttpResponse = http::Response<Body>;

impl<B: Backend> tower::Service<HttpRequest> for Service<B> {
    type Response = HttpResponse;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequest) -> Self::Future {
        let parts = Arc::clone(&self.0);
        // The clock starts when the call arrives, and before tonic's own, which would answer CANCELLED.
        let arrived = Instant::now();
        Box::pin(async move { Ok(parts.answer(request, arrived).await) })
    }
}

impl<B: Backend> Parts<B> {
    async fn answer(&self, request: HttpRequest, arrived: Instant) -> HttpResponse {
        if let Some(refused) = refuse_other_protocols(&request) {
            return refused;
        }
        // A clone of the target shares its bytes.
        let target = request.uri().clone();
        let path = target.path();
        let Some((service, method)) = path.strip_prefix('/').and_then(|rest| rest.rsplit_once('/')) else {
            return Status::unimplemented(format!("malformed method name: {path:?}")).into_http();
        };
        match service {
            SERVICE if method.is_empty() => {
                Status::unimplemented(format!("unknown method {method} for service {service}")).into_http()
            }
            SERVICE => self.count(method, request, arrived).await,
            super::health::SERVICE => self.health.answer(method, request).await,
            _ => Status::unimplemented(format!("unknown service {service}")).into_http(),
        }
    }

    async fn count(&self, method: &str, request: HttpRequest, arrived: Instant) -> HttpResponse {
        let kind = method.to_ascii_lowercase();
        let timed = self.statistics.begin(&kind, arrived);
        let response = self.forward(method, &kind, request, arrived).await;
        // An answer that is a message has its status behind it, and it is OK.
        let status = Status::from_header_map(response.headers());
        timed.end(status.map_or(Code::Ok, |status| status.code()));
        response
    }

    /// Hands the call to the backend and waits until its deadline.
    async fn forward(
        &self,
        method: &str,
        kind: &str,
        request: HttpRequest,
        arrived: Instant,
    ) -> HttpResponse {
        let Some(_call) = self.calls.begin() else {
            return status::of(&crate::pool::Error::ShuttingDown).into_http();
        };
        if STREAMS.contains(&method) {
            return Status::unimplemented(NO_STREAMS).into_http();
        }
        let authority = request.uri().authority().map(http::uri::Authority::as_str);
        let (context, timeout) = match (
            context::build(kind, authority, request.headers()),
            deadline::timeout(request.headers()),
        ) {
            (Ok(context), Ok(timeout)) => (context, timeout),
            // What grpc-go answers.
            (Err(malformed), _) => return Status::internal(malformed.to_string()).into_http(),
            (_, Err(malformed)) => return Status::internal(malformed.to_string()).into_http(),
        };
        let deadline = timeout.and_then(|timeout| arrived.checked_add(timeout));
        let answer = self.exchange(kind, context, deadline, request);
        let Some(deadline) = deadline else { return answer.await };
        tokio::select! {
            biased;
            response = answer => response,
            () = tokio::time::sleep_until(deadline) => {
                debug!(target: "centrifuge", r#type = kind, "a call's deadline passed");
                Status::deadline_exceeded("the deadline passed before there was an answer").into_http()
            }
        }
    }

    /// Reads the message, asks the backend, writes the answer.
    async fn exchange(
        &self,
        kind: &str,
        context: Bytes,
        deadline: Option<Instant>,
        request: HttpRequest,
    ) -> HttpResponse {
        if request.headers().get("grpc-encoding").is_some_and(|encoding| encoding != "identity") {
            return self.exchange_compressed(kind, context, deadline, request).await;
        }
        let body = match unary::read(request.into_body(), self.max_message_size).await {
            Ok(body) => body,
            Err(status) => return status.into_http(),
        };
        match self.backend.call(Request { context, body, deadline }).await {
            Ok(answer) => unary::answer(answer),
            Err(error) => failed(kind, &error).into_http(),
        }
    }

    /// The same by tonic, which knows the encodings.
    async fn exchange_compressed(
        &self,
        kind: &str,
        context: Bytes,
        deadline: Option<Instant>,
        request: HttpRequest,
    ) -> HttpResponse {
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
                answer.map(tonic::Response::new).map_err(|error| failed(kind, &error))
            }
        });
        let mut response = grpc.unary(handler, request).await;
        self.name_the_limit(response.headers_mut());
        response
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

/// A request which gRPC does not know: by grpc-go's rules, so that whoever looks at the port with curl gets a clear answer.
fn refuse_other_protocols(request: &HttpRequest) -> Option<HttpResponse> {
    let refuse = |code: StatusCode, status: Status| {
        let mut response = status.into_http();
        *response.status_mut() = code;
        Some(response)
    };
    if request.method() != Method::POST {
        let method = request.method();
        return refuse(
            StatusCode::METHOD_NOT_ALLOWED,
            Status::internal(format!("the method is {method} and not POST")),
        );
    }
    let content = request.headers().get(header::CONTENT_TYPE).map_or(&b""[..], header::HeaderValue::as_bytes);
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
