//! One call: from its headers to its answer.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode, header};
use tokio::time::Instant;
use tonic::{Code, Status};
use tracing::{debug, error, warn};

use super::account::Hold;
use super::calls::Calls;
use super::gzip::{Encoding, Gzip};
use super::health::Health;
use super::statistics::Statistics;
use super::unary::Framed;
use super::{Backend, Request, SERVICE, status};
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
    pub(super) gzip: Gzip,
    pub(super) max_message_size: usize,
}

type Head = http::request::Parts;

/// The answer to a request that is no call.
type Refusal = http::Response<tonic::body::Body>;

/// Where a call goes.
#[derive(Debug)]
pub(super) enum Route {
    /// To the backend, as a call of this type.
    Proxied { kind: String, streams: bool },
    /// To this method of the health service.
    Health(String),
}

/// A call whose message has arrived.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) kind: String,
    pub(super) context: Vec<u8>,
    pub(super) deadline: Option<Instant>,
    pub(super) encoding: Encoding,
}

/// What a call is answered with.
pub(super) enum Reply {
    /// A message, and the status OK.
    Message(Answered),
    /// The same, compressed.
    Packed(Bytes),
    /// No message.
    Status(Status),
}

impl Route {
    /// Where a call with this head goes, or the answer if it goes nowhere.
    pub(super) fn of(head: &Head) -> Result<Self, Box<Refusal>> {
        refuse_other_protocols(head)?;
        let path = head.uri.path();
        let unimplemented =
            |text: String| Box::new(Status::unimplemented(status::cut(text, status::MAX_QUOTED)).into_http());
        let Some((service, method)) = path.strip_prefix('/').and_then(|rest| rest.rsplit_once('/')) else {
            return Err(unimplemented(format!("malformed method name: {path:?}")));
        };
        match service {
            SERVICE if method.is_empty() => {
                Err(unimplemented(format!("unknown method {method} for service {service}")))
            }
            SERVICE => {
                Ok(Self::Proxied { kind: method.to_ascii_lowercase(), streams: STREAMS.contains(&method) })
            }
            super::health::SERVICE => Ok(Self::Health(method.to_owned())),
            _ => Err(unimplemented(format!("unknown service {service}"))),
        }
    }

    /// The type of the call, unless it is the bridge's own.
    pub(super) fn kind(&self) -> Option<&str> {
        match self {
            Self::Proxied { kind, .. } => Some(kind),
            Self::Health(_) => None,
        }
    }

    /// The answer to a call that is not served.
    pub(super) fn refused(&self) -> Option<Status> {
        matches!(self, Self::Proxied { streams: true, .. }).then(|| Status::unimplemented(NO_STREAMS))
    }
}

impl Reply {
    pub(super) fn code(&self) -> Code {
        match self {
            Self::Message(_) | Self::Packed(_) => Code::Ok,
            Self::Status(status) => status.code(),
        }
    }

    /// The same if there is memory for it.
    pub(super) fn within(self, hold: &mut Hold) -> Self {
        let size = match &self {
            Self::Message(answer) => answer.body.len(),
            Self::Packed(body) => body.len(),
            Self::Status(_) => return self,
        };
        if hold.replace(size) { self } else { Self::Status(status::too_much()) }
    }
}

impl<B: Backend> Service<B> {
    /// Hands the call to the backend and waits until its deadline.
    pub(super) async fn answer(&self, exchange: Exchange, message: Framed, hold: &mut Hold) -> Reply {
        let Some(_call) = self.calls.begin() else {
            return Reply::Status(status::of(&crate::pool::Error::ShuttingDown));
        };
        let Exchange { kind, context, deadline, encoding } = exchange;
        let answer = self.exchange(&kind, context, deadline, encoding, message, hold);
        let Some(deadline) = deadline else { return answer.await };
        tokio::select! {
            biased;
            reply = answer => reply,
            () = tokio::time::sleep_until(deadline) => {
                debug!(target: "centrifuge", r#type = kind, "a call's deadline passed");
                Reply::Status(status::too_late())
            }
        }
    }

    async fn exchange(
        &self,
        kind: &str,
        context: Vec<u8>,
        deadline: Option<Instant>,
        encoding: Encoding,
        message: Framed,
        hold: &mut Hold,
    ) -> Reply {
        let body = if message.is_packed {
            match Box::pin(self.gzip.unpack(message.body, self.max_message_size, hold)).await {
                Ok(body) => body,
                Err(status) => return Reply::Status(status),
            }
        } else {
            message.body
        };
        let answer = match self.backend.call(Request { kind, context, body, deadline }).await {
            Ok(answer) => answer,
            Err(error) => return Reply::Status(failed(kind, &error)),
        };
        if encoding != (Encoding::Gzip { answer: true }) {
            return Reply::Message(answer);
        }
        // Its worker has nothing to do with what follows.
        let body = answer.body.clone();
        drop(answer);
        Box::pin(self.gzip.pack(body)).await.map_or_else(Reply::Status, Reply::Packed)
    }
}

/// A request which gRPC does not know: by grpc-go's rules, so that whoever looks at the port with curl gets a clear answer.
fn refuse_other_protocols(head: &Head) -> Result<(), Box<Refusal>> {
    let refuse = |code: StatusCode, status: Status| {
        let mut response = status.into_http();
        *response.status_mut() = code;
        Err(Box::new(response))
    };
    if head.method != Method::POST {
        let text = format!("the method is {} and not POST", head.method);
        let status = Status::internal(status::cut(text, status::MAX_QUOTED));
        return refuse(StatusCode::METHOD_NOT_ALLOWED, status);
    }
    let content = head.headers.get(header::CONTENT_TYPE).map_or(&b""[..], header::HeaderValue::as_bytes);
    if let Some([] | [b'+' | b';', ..]) = content.strip_prefix(b"application/grpc") {
        Ok(())
    } else {
        let text = format!("invalid gRPC request content-type \"{}\"", content.escape_ascii());
        let status = Status::invalid_argument(status::cut(text, status::MAX_QUOTED));
        refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, status)
    }
}

/// The status of a failure. Those that an operator can do something about are logged, with the type of the call; a deadline is the
/// caller's choice, and so told quietly.
fn failed(kind: &str, error: &crate::pool::Error) -> Status {
    use crate::pool::Error;
    match error {
        Error::ShuttingDown => {}
        Error::DeadlineExceeded => {
            debug!(target: "centrifuge", r#type = kind, "a call's deadline passed");
        }
        Error::Worker(_) => {
            warn!(target: "centrifuge", r#type = kind, %error, "a worker answered with an error");
        }
        _ => error!(target: "centrifuge", r#type = kind, %error, "a call failed"),
    }
    status::of(error)
}
