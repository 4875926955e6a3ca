//! The one mapping from errors to gRPC statuses; `docs/reference/status-codes.md` shows it.

use tonic::{Code, Status};

use crate::pools::Error;
use crate::streams::Refused;

/// Bytes of a message, at most: it travels in a header.
const MAX_MESSAGE: usize = 4096;

/// Bytes of a caller's input that are quoted in a status, at most.
pub(super) const MAX_QUOTED: usize = 512;

/// The status of a failed call.
pub(super) fn of(error: &Error) -> Status {
    let code = match error {
        Error::QueueFull { .. } | Error::Busy { .. } | Error::TooMuchMemory | Error::TooLarge { .. } => {
            Code::ResourceExhausted
        }
        Error::NoWorkers { .. }
        | Error::ShuttingDown
        | Error::WorkerDied { .. }
        | Error::StreamTimeout { .. } => Code::Unavailable,
        Error::DeadlineExceeded | Error::ExecTtl { .. } => Code::DeadlineExceeded,
        Error::InvalidRequest { .. } => Code::InvalidArgument,
        Error::UnknownType { .. } => Code::Unimplemented,
        Error::Worker { .. }
        | Error::InvalidAnswer { .. }
        | Error::NoAnswer { .. }
        | Error::Streamed { .. }
        | Error::Broken { .. }
        | Error::Refused { .. } => Code::Internal,
    };
    Status::new(code, cut(error.to_string(), MAX_MESSAGE))
}

/// The status of a stream that is not opened.
pub(super) fn of_stream(refused: Refused) -> Status {
    let code = match refused {
        Refused::Full { .. } | Refused::OutOfMemory | Refused::TooFast { .. } => Code::ResourceExhausted,
        Refused::ShuttingDown => Code::Unavailable,
    };
    Status::new(code, refused.to_string())
}

/// The status of a stream whose opening was answered with something else.
pub(super) fn not_a_response() -> Status {
    Status::internal("the worker's answer is not a SubscribeResponse")
}

/// The status of a call whose message exceeds the limit.
pub(super) fn too_large(max_message_size: usize) -> Status {
    Status::resource_exhausted(format!(
        "the message is larger than the limit of {max_message_size} bytes (centrifuge.max_message_size)"
    ))
}

/// The status of a call without the expected credentials.
pub(super) fn unauthenticated() -> Status {
    Status::unauthenticated("missing or wrong credentials (centrifuge.proxy_credentials)")
}

/// The status of a call for which there is no memory.
pub(super) fn out_of_memory() -> Status {
    Status::resource_exhausted("the calls of this connection have reached its memory limit")
}

/// The status of a call whose deadline has passed.
pub(super) fn too_late() -> Status {
    Status::deadline_exceeded("the deadline passed before an answer arrived")
}

/// The status of a call with malformed metadata, as in grpc-go.
pub(super) fn malformed(error: &impl std::fmt::Display) -> Status {
    Status::internal(cut(error.to_string(), MAX_QUOTED))
}

/// Cuts a text to at most `most` bytes.
pub(super) fn cut(mut text: String, most: usize) -> String {
    text.truncate(text.floor_char_boundary(most));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_are_cut_at_a_character() {
        let status = of(&Error::Worker { pid: 1, message: "ä".repeat(10_000) });
        assert_eq!(status.message().len(), MAX_MESSAGE);
        assert_eq!(status.code(), Code::Internal);
    }

    #[test]
    fn each_error_has_its_code() {
        assert_eq!(of(&Error::QueueFull { limit: 1 }).code(), Code::ResourceExhausted);
        assert_eq!(of(&Error::NoWorkers { reason: String::new() }).code(), Code::Unavailable);
        assert_eq!(of(&Error::WorkerDied { pid: 1, how: "exit status 3".into() }).code(), Code::Unavailable);
        assert_eq!(of(&Error::DeadlineExceeded).code(), Code::DeadlineExceeded);
        assert_eq!(
            of(&Error::ExecTtl { limit: std::time::Duration::from_secs(1) }).code(),
            Code::DeadlineExceeded
        );
        assert_eq!(of(&Error::TooMuchMemory).code(), Code::ResourceExhausted);
        assert_eq!(of(&Error::NoAnswer { pid: 1 }).code(), Code::Internal);
        assert_eq!(of(&Error::UnknownType { kind: "x".into() }).code(), Code::Unimplemented);
        assert_eq!(of(&Error::InvalidRequest { reason: String::new() }).code(), Code::InvalidArgument);
        assert_eq!(of(&Error::TooLarge { reason: String::new() }).code(), Code::ResourceExhausted);
        assert_eq!(of(&Error::InvalidAnswer { pid: 1, reason: String::new() }).code(), Code::Internal);
    }
}
