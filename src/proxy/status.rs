//! The one mapping from errors to gRPC statuses; `docs/reference/status-codes.md` shows it.

use tonic::{Code, Status};

use super::retry::Retry;
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
        | Error::Removed
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
    let status = Status::new(code, cut(error.to_string(), MAX_MESSAGE));
    match retry(error) {
        Some(retry) => retry.advised(status),
        None => status,
    }
}

/// What its client may do about a failed call; `None` if a retry would be as useless as it is harmless.
fn retry(error: &Error) -> Option<Retry> {
    match error {
        Error::NoWorkers { .. } | Error::ShuttingDown | Error::Removed => Some(Retry::Now),
        Error::QueueFull { .. } | Error::Busy { .. } => Some(Retry::Later),
        Error::DeadlineExceeded
        | Error::InvalidRequest { .. }
        | Error::UnknownType { .. }
        | Error::TooLarge { .. } => None,
        Error::WorkerDied { .. }
        | Error::StreamTimeout { .. }
        | Error::ExecTtl { .. }
        | Error::TooMuchMemory
        | Error::Worker { .. }
        | Error::InvalidAnswer { .. }
        | Error::NoAnswer { .. }
        | Error::Streamed { .. }
        | Error::Broken { .. }
        // No worker has handled it, but others would leave because of it as well.
        | Error::Refused { .. } => Some(Retry::Never),
    }
}

/// The status of a stream that is not opened.
pub(super) fn of_stream(refused: Refused) -> Status {
    let code = match refused {
        Refused::Full { .. } | Refused::OutOfMemory | Refused::TooFast { .. } => Code::ResourceExhausted,
        Refused::ShuttingDown => Code::Unavailable,
    };
    let retry = if refused == Refused::ShuttingDown { Retry::Now } else { Retry::Later };
    retry.advised(Status::new(code, refused.to_string()))
}

/// The status of a stream whose opening was answered with something else.
pub(super) fn not_a_response() -> Status {
    Retry::Never.advised(Status::internal("the worker's answer is not a SubscribeResponse"))
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
    Retry::Later
        .advised(Status::resource_exhausted("the calls of this connection have reached its memory limit"))
}

/// The status of a call whose deadline has passed. A worker may have seen it.
pub(super) fn too_late() -> Status {
    Retry::Never.advised(Status::deadline_exceeded("the deadline passed before an answer arrived"))
}

/// The status of a call that is left when its connection ends. A worker may have seen it.
pub(super) fn connection_over() -> Status {
    Retry::Never.advised(Status::unavailable(
        "no answer arrived before the connection ended (centrifuge.max_connection_age_grace)",
    ))
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

    #[test]
    fn only_calls_that_no_worker_has_seen_may_be_repeated() {
        let advice = |status: Status| {
            let value = status.metadata().get("grpc-retry-pushback-ms")?;
            Some(value.to_str().unwrap().parse::<i32>().unwrap())
        };
        let died = Error::WorkerDied { pid: 1, how: String::new() };
        let limit = std::time::Duration::from_secs(1);
        let worker = Error::Worker { pid: 1, message: String::new() };
        for seen in
            [died, Error::ExecTtl { limit }, Error::StreamTimeout { limit }, Error::TooMuchMemory, worker]
        {
            assert_eq!(advice(of(&seen)), Some(-1), "{seen}");
        }
        assert_eq!(advice(too_late()), Some(-1));
        assert_eq!(advice(connection_over()), Some(-1));
        assert_eq!(advice(of(&Error::NoWorkers { reason: String::new() })), Some(0));
        assert_eq!(advice(of(&Error::ShuttingDown)), Some(0));
        assert_eq!(advice(of_stream(Refused::ShuttingDown)), Some(0));
        for overload in [of(&Error::QueueFull { limit: 1 }), out_of_memory(), of_stream(Refused::OutOfMemory)]
        {
            assert!(advice(overload) >= Some(100));
        }
        assert_eq!(advice(of(&Error::DeadlineExceeded)), None, "it is too late");
    }
}
