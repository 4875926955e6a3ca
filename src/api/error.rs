//! Why a call failed, in the words that RoadRunner's clients know.

use std::fmt;
use std::io;
use std::time::Duration;

use tonic::{Code, Status};

use crate::grpc::go_name;
use crate::tls;

/// A failed call: a gRPC status, from Centrifugo or for what the network did.
///
/// Its text is grpc-go's, `rpc error: code = Unavailable desc = ...`, since clients of RoadRunner match on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    code: Code,
    message: String,
}

impl Error {
    /// The gRPC code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The status message.
    pub fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(super) fn late(address: &str, patience: Duration) -> Self {
        Self::new(
            Code::DeadlineExceeded,
            format!("no answer from Centrifugo at {address} within {patience:?}"),
        )
    }

    /// No connection could be made.
    pub(super) fn dial(address: &str, cause: &io::Error) -> Self {
        // Go's words for the most common case, without the number that Rust adds.
        let cause = match cause.kind() {
            io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
            _ => cause.to_string(),
        };
        let message = format!(
            "connection error: desc = \"transport: Error while dialing: dial tcp {address}: {cause}\""
        );
        Self::new(Code::Unavailable, message)
    }

    /// The TLS handshake failed.
    pub(super) fn handshake(cause: &io::Error) -> Self {
        let message =
            format!("connection error: desc = \"transport: authentication handshake failed: {cause}\"");
        Self::new(Code::Unavailable, message)
    }

    /// The connection broke. Whether the call was executed is not known.
    pub(super) fn broken(address: &str, cause: &h2::Error) -> Self {
        Self::new(Code::Unavailable, format!("the connection to Centrifugo at {address} was lost: {cause}"))
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self::new(status.code(), status.message())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rpc error: code = {} desc = {}", go_name(self.code), self.message)
    }
}

impl std::error::Error for Error {}

/// Why a client cannot be made from its settings.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The certificates or the key cannot be used.
    #[error("centrifuge.tls: {0}")]
    Tls(#[from] tls::Error),
    /// The name expected in the certificate is not valid.
    #[error("centrifuge.tls: `{0}` is not a valid server name")]
    ServerName(String),
    /// The address is not `host:port`.
    #[error("centrifuge.grpc_api_address: expected host:port, found `{0}`")]
    Address(String),
    /// The key cannot be sent in a header.
    #[error("centrifuge.api_key: it has characters that are not allowed in a header")]
    ApiKey,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_that_clients_match_on() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(
            Error::dial("127.0.0.1:59649", &refused).to_string(),
            "rpc error: code = Unavailable desc = connection error: desc = \"transport: Error while dialing: \
             dial tcp 127.0.0.1:59649: connect: connection refused\""
        );
        let status = Status::unauthenticated("unauthenticated");
        assert_eq!(
            Error::from(status).to_string(),
            "rpc error: code = Unauthenticated desc = unauthenticated"
        );
        assert!(Error::new(Code::Cancelled, "x").to_string().contains("code = Canceled"));
    }
}
