//! Why a call has no answer, in gRPC's words. This is the one table from errors to statuses; the README shows it.

use tonic::{Code, Status};

use crate::pool::Error;

/// Longer messages are cut: they travel in a header.
const MAX_MESSAGE: usize = 4096;

/// As much of what a caller sent is quoted in the status of a call that cannot be understood.
pub(super) const MAX_QUOTED: usize = 512;

/// The status of a failed call.
pub(super) fn of(error: &Error) -> Status {
    let code = match error {
        Error::QueueFull { .. } | Error::Busy { .. } => Code::ResourceExhausted,
        Error::NoWorkers { .. } | Error::ShuttingDown | Error::WorkerDied(_) => Code::Unavailable,
        Error::DeadlineExceeded | Error::ExecTtl { .. } => Code::DeadlineExceeded,
        Error::Worker(_) | Error::NoAnswer | Error::Broken(_) => Code::Internal,
    };
    Status::new(code, cut(error.to_string(), MAX_MESSAGE))
}

/// The status of a call whose message is larger than `limit` bytes.
pub(super) fn too_large(limit: usize) -> Status {
    Status::resource_exhausted(format!(
        "the message is larger than the {limit} bytes that are allowed (centrifuge.max_message_size)"
    ))
}

/// The status of a call for which there is no memory.
pub(super) fn too_much() -> Status {
    Status::resource_exhausted("the calls of this connection hold all the memory that they may")
}

/// The status of a call whose deadline has passed.
pub(super) fn too_late() -> Status {
    Status::deadline_exceeded("the deadline passed before there was an answer")
}

/// The status of a call whose metadata cannot be read. Source: grpc-go.
pub(super) fn malformed(error: &impl std::fmt::Display) -> Status {
    Status::internal(cut(error.to_string(), MAX_QUOTED))
}

/// The first so many bytes of a text.
pub(super) fn cut(mut text: String, most: usize) -> String {
    text.truncate(text.floor_char_boundary(most));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_are_cut_at_a_character() {
        let status = of(&Error::Worker("ä".repeat(10_000)));
        assert_eq!(status.message().len(), MAX_MESSAGE);
        assert_eq!(status.code(), Code::Internal);
    }

    #[test]
    fn what_may_work_elsewhere_or_later_is_told_from_what_may_not() {
        assert_eq!(of(&Error::QueueFull { limit: 1 }).code(), Code::ResourceExhausted);
        assert_eq!(of(&Error::NoWorkers { reason: String::new() }).code(), Code::Unavailable);
        assert_eq!(of(&Error::WorkerDied("exit status 3".into())).code(), Code::Unavailable);
        assert_eq!(of(&Error::DeadlineExceeded).code(), Code::DeadlineExceeded);
        assert_eq!(
            of(&Error::ExecTtl { limit: std::time::Duration::from_secs(1) }).code(),
            Code::DeadlineExceeded
        );
        assert_eq!(of(&Error::NoAnswer).code(), Code::Internal);
    }
}
