//! `server.relay`: how frames travel.

use std::path::PathBuf;

use serde::Deserialize;
use serde::de::{self, Deserializer, Unexpected};

use crate::net::Address;

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
