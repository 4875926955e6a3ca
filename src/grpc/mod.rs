//! What callers and servers of gRPC have in common, whichever side we are on: length-prefixed messages, `grpc-timeout`, codes, gzip.
//!
//! `proxy` serves gRPC and `api` calls it, both over `h2` directly; `tonic` provides [`tonic::Status`], with its header encoding. This
//! module knows no connection, no stream and no limit of its own.
//!
//! Source: <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>.

use http::HeaderName;

mod code;
mod frame;
pub(crate) mod gzip;
mod raw;
mod timeout;

pub(crate) use code::{CODES, go_name};
pub(crate) use frame::{PREFIX, Prefix, TooLong, frame};
pub use raw::RawCodec;
pub(crate) use timeout::{format_timeout, parse_timeout};

/// The content type of requests and responses; servers also accept it with a suffix.
pub(crate) const CONTENT_TYPE: &str = "application/grpc";

/// How the message behind this header is encoded.
pub(crate) static ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// The encodings that a peer accepts.
pub(crate) static ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// How long the caller waits.
pub(crate) static TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
