//! `server.relay`: how frames travel.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{self, Deserializer, Unexpected};

use super::trust::SECRET;
use crate::net::{Address, can_listen, is_exposed};

/// How the supervisor and its workers exchange frames.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum RelayAddress {
    /// The worker's standard input and output.
    #[default]
    Pipes,
    /// `tcp://host:port`: workers connect to it.
    Tcp(String),
    /// `unix://path`: workers connect to it.
    Unix(PathBuf),
}

impl RelayAddress {
    /// Where workers connect to; pipes have no address.
    pub(crate) fn listener(&self) -> Option<Address> {
        match self {
            Self::Pipes => None,
            Self::Tcp(address) => Some(Address::Tcp(address.clone())),
            Self::Unix(path) => Some(Address::Unix(path.clone())),
        }
    }

    /// What is risky about it.
    pub(crate) fn risk(&self) -> Option<String> {
        let text = format!(
            "the relay can be reached from other machines: who connects and shows the pid of a starting worker gets its requests, unless \
             the workers send {SECRET}; prefer tcp://127.0.0.1, a unix socket or pipes"
        );
        self.listener().is_some_and(|address| is_exposed(&address)).then_some(text)
    }

    /// Whether it could be listened on, if it is free. Relative paths start in `work_dir`.
    ///
    /// # Errors
    /// Says what is in the way.
    pub(crate) fn can_listen(&self, work_dir: &Path) -> Result<(), String> {
        self.listener().map_or(Ok(()), |address| can_listen(&address, work_dir))
    }
}

impl<'de> Deserialize<'de> for RelayAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "" | "pipes" => Ok(Self::Pipes),
            other if other.contains("://") => match other.parse() {
                Ok(Address::Tcp(address)) => Ok(Self::Tcp(address)),
                Ok(Address::Unix(path)) => Ok(Self::Unix(path)),
                Err(_) => Err(de::Error::invalid_value(Unexpected::Str(other), &RELAYS)),
            },
            other => Err(de::Error::invalid_value(Unexpected::Str(other), &RELAYS)),
        }
    }
}

/// What a relay has to look like.
const RELAYS: &str = "pipes, tcp://host:port or unix://path";
