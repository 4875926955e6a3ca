//! Where a call goes, by its path; and the answer to requests that are not gRPC.

use http::request::Parts;
use http::{Method, StatusCode, header};
use tonic::Status;

use super::health;
use super::{SERVICE, status};
use crate::grpc;

/// Bytes of a content type that are quoted, at most: each may take twelve in a header.
const MAX_CONTENT_TYPE: usize = 64;

/// The answer to a request that goes nowhere.
type Refusal = http::Response<tonic::body::Body>;

/// How many messages a call has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// One, and one answer.
    Unary,
    /// One, and a stream of answers.
    Unidirectional,
    /// Two streams.
    Bidirectional,
}

/// Where a call goes.
#[derive(Debug)]
pub(super) enum Route {
    /// To the backend, as a call of this type.
    Proxied { kind: String, shape: Shape },
    /// To this method of the health service.
    Health(String),
}

impl Shape {
    fn of(method: &str) -> Self {
        match method {
            "SubscribeUnidirectional" => Self::Unidirectional,
            "SubscribeBidirectional" => Self::Bidirectional,
            _ => Self::Unary,
        }
    }
}

impl Route {
    /// Returns where a call with this head goes, or the answer if it goes nowhere.
    pub(super) fn of(head: &Parts) -> Result<Self, Box<Refusal>> {
        refuse_other_protocols(head)?;
        let path = head.uri.path();
        let unimplemented =
            |text: String| Box::new(Status::unimplemented(status::cut(text, status::MAX_QUOTED)).into_http());
        let Some((service, method)) = path.strip_prefix('/').and_then(|rest| rest.rsplit_once('/')) else {
            let path = &path[..path.floor_char_boundary(status::MAX_QUOTED)];
            return Err(unimplemented(format!("malformed method name: {path:?}")));
        };
        match service {
            SERVICE if method.is_empty() => {
                Err(unimplemented(format!("unknown method {method} for service {service}")))
            }
            SERVICE => Ok(Self::Proxied { kind: method.to_ascii_lowercase(), shape: Shape::of(method) }),
            health::SERVICE => Ok(Self::Health(method.to_owned())),
            _ => Err(unimplemented(format!("unknown service {service}"))),
        }
    }

    /// The type of the call, unless it is for the health service.
    pub(super) fn kind(&self) -> Option<&str> {
        match self {
            Self::Proxied { kind, .. } => Some(kind),
            Self::Health(_) => None,
        }
    }

    /// The shape of the call.
    pub(super) fn shape(&self) -> Shape {
        match self {
            Self::Proxied { shape, .. } => *shape,
            Self::Health(_) => Shape::Unary,
        }
    }

    /// Bytes of a message on this route, at most.
    pub(super) fn max_message_size(&self, of_the_backend: usize) -> usize {
        match self {
            Self::Proxied { .. } => of_the_backend,
            Self::Health(_) => health::MAX_MESSAGE_SIZE,
        }
    }
}

/// Refuses requests that are not gRPC by grpc-go's rules, so that a caller with curl gets a clear answer.
fn refuse_other_protocols(head: &Parts) -> Result<(), Box<Refusal>> {
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
    if let Some([] | [b'+' | b';', ..]) = content.strip_prefix(grpc::CONTENT_TYPE.as_bytes()) {
        Ok(())
    } else {
        let quoted = &content[..content.len().min(MAX_CONTENT_TYPE)];
        let text = format!("invalid gRPC request content-type \"{}\"", quoted.escape_ascii());
        let status = Status::invalid_argument(status::cut(text, status::MAX_QUOTED));
        refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, status)
    }
}
