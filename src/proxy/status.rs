//! Why a call has no answer, in gRPC's words. This is the one table from errors to statuses; the README shows it.

use tonic::{Code, Status};

use crate::pool::Error;

/// Longer messages are cut: they travel in a header.
const MAX_MESSAGE: usize = 4096;

/// The status of a failed call.
pub(super) fn of(error: &Error) -> Status {
    let code = match error {
        Error::QueueFull { .. } | Error::Busy { .. } => Code::ResourceExhausted,
        Error::NoWorkers { .. } | Error::ShuttingDown | Error::WorkerDied(_) => Code::Unavailable,
        Error::DeadlineExceeded { .. } | Error::ExecTtl { .. } => Code::DeadlineExceeded,
        Error::Worker(_) | Error::NoAnswer | Error::Broken(_) => Code::Internal,
    };
    let mut message = error.to_string();
    message.truncate(message.floor_char_boundary(MAX_MESSAGE));
    Status::new(code, message)
}

/// The status of a call whose message is larger than `limit` bytes.
pub(super) fn too_large(limit: usize) -> Status {
    Status::resource_exhausted(format!(
        "the message is larger than the {limit} bytes that are allowed (centrifuge.max_message_size)"
    ))
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
        assert_eq!(of(&Error::DeadlineExceeded { while_: "" }).code(), Code::DeadlineExceeded);
        assert_eq!(
            of(&Error::ExecTtl { limit: std::time::Duration::from_secs(1) }).code(),
            Code::DeadlineExceeded
        );
        assert_eq!(of(&Error::NoAnswer).code(), Code::Internal);
    }
}
