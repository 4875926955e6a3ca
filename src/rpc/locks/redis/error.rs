//! Why a command has failed.

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// A failed command.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Error {
    /// It was not sent: there is no connection.
    #[error("cannot connect to {address}: {reason}")]
    Connect {
        /// Which node was tried, or the sentinels.
        address: String,
        /// Why it cannot be reached, or used.
        reason: String,
    },
    /// Redis has refused it.
    #[error("{address}: {reason}")]
    NotExecuted {
        /// Which node.
        address: String,
        /// The error.
        reason: String,
    },
    /// The script has failed, perhaps in the middle.
    #[error("{address}: {reason}")]
    Refused {
        /// Which node.
        address: String,
        /// The error.
        reason: String,
    },
    /// There is no answer. It may have been executed.
    #[error("{address}: {reason}")]
    NoAnswer {
        /// Which node.
        address: String,
        /// What happened to the connection.
        reason: String,
    },
    /// The time of the call was over first. What has been executed is undone.
    #[error("no answer in time")]
    Late,
}

impl Error {
    pub(super) fn connect(address: &str, reason: &(impl ToString + ?Sized)) -> Self {
        Self::Connect { address: address.to_owned(), reason: reason.to_string() }
    }

    /// A connection could not be set up.
    pub(super) fn of_setup(address: &str, error: &RedisError) -> Self {
        match error.kind() {
            ErrorKind::AuthenticationFailed => Self::connect(address, "username and password were refused"),
            _ => Self::connect(address, error),
        }
    }

    pub(super) fn no_answer(address: &str, reason: &(impl ToString + ?Sized)) -> Self {
        Self::NoAnswer { address: address.to_owned(), reason: reason.to_string() }
    }

    /// The error of a command that was sent.
    pub(super) fn of_command(address: &str, error: &RedisError) -> Self {
        let address = address.to_owned();
        let is_answer = matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension);
        let (Some(code), true) = (error.code(), is_answer) else {
            return Self::NoAnswer { address, reason: error.to_string() };
        };
        let reason = format!("{code} {}", error.detail().unwrap_or_default());
        // An error within the script says so. Before its first change, it finds out that it may change nothing.
        let is_within =
            reason.contains("script") && error.kind() != ErrorKind::Server(ServerErrorKind::ReadOnly);
        if is_within { Self::Refused { address, reason } } else { Self::NotExecuted { address, reason } }
    }

    /// Whether the command may have been executed.
    pub(super) fn is_uncertain(&self) -> bool {
        !matches!(self, Self::Connect { .. } | Self::NotExecuted { .. })
    }
}
