//! `server.relay`: what carries the frames.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{self, Deserializer, Unexpected};

use crate::net::{Address, SocketSettings, can_listen, is_exposed};

/// The variable in which workers get the secret of the relay.
pub(crate) const SECRET: &str = "CAUSEWAY_RELAY_SECRET";

/// How the server and its workers exchange frames.
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
    /// The address that workers connect to; `None` for pipes.
    pub(crate) fn listener(&self) -> Option<Address> {
        match self {
            Self::Pipes => None,
            Self::Tcp(address) => Some(Address::Tcp(address.clone())),
            Self::Unix(path) => Some(Address::Unix(path.clone())),
        }
    }

    /// Checks that it has a file, if attributes of one are set.
    ///
    /// # Errors
    /// If it has none.
    pub(crate) fn fits(&self, socket: SocketSettings) -> Result<(), String> {
        socket.fit(self.listener().as_ref())
    }

    /// A warning, if other machines can reach it.
    pub(crate) fn risk(&self) -> Option<String> {
        let text = format!(
            "the relay is reachable from other machines: until a worker has sent {SECRET}, a peer that sends the pid of a starting worker \
             gets its requests; prefer tcp://127.0.0.1, a unix socket or pipes"
        );
        self.listener().is_some_and(|address| is_exposed(&address)).then_some(text)
    }

    /// Checks whether it can be listened on, unless it is in use. Relative paths start in `work_dir`.
    ///
    /// # Errors
    /// Why it cannot.
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
                Err(_) => Err(de::Error::invalid_value(Unexpected::Str(other), &FORM)),
            },
            other => Err(de::Error::invalid_value(Unexpected::Str(other), &FORM)),
        }
    }
}

/// The form of a relay, for messages.
const FORM: &str = "pipes, tcp://host:port or unix://path";
