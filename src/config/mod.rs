//! The configuration: from files, flags and variables to one typed [`Config`], made of the components' own.
//!
//! ```text
//!  file ─yaml─▶ Node tree ─▶ includes ─▶ -o flags ─▶ ${VARIABLES} ─▶ typed Config
//!               (every value knows its file and line)                 │
//!                                                                     └─▶ warnings: unknown keys, sections not served here
//! ```
//!
//! Invariants:
//! - An error or warning names file, line, key and the form that is expected.
//! - What comes out is right: nobody checks a setting later again.
//! - Nothing is written to the process's own environment; variables of dotenv files are handed to the workers.
//!
//! Differences from RoadRunner: each reference in a value is expanded by itself (see `expand`), an included file adds to a section
//! instead of hiding the rest of it from its plugin, `-o` wins over included files too, `envfile` is always read, and a command is split
//! like a shell does it.

mod expand;
mod load;
mod node;
mod running;
mod sections;
mod shown;
mod typed;
mod yaml;

use std::fmt;
use std::time::Duration;

pub use load::{Loaded, Sources, load};
use node::At;
pub use running::{Running, running};

use crate::{api, pool, proxy, rpc, telemetry, worker};

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `version`: the version of the file's format.
    pub version: String,
    /// `rpc`; without the section there is no RPC.
    pub rpc: Option<rpc::Config>,
    /// `server`.
    pub server: worker::Config,
    /// `centrifuge`: the listener that Centrifugo calls.
    pub proxy: proxy::Config,
    /// `centrifuge`: Centrifugo's own API.
    pub api: api::Config,
    /// `centrifuge.pool`.
    pub pool: pool::Config,
    /// `logs`.
    pub logs: telemetry::logs::Config,
    /// `metrics`.
    pub metrics: Option<telemetry::Metrics>,
    /// `status`.
    pub status: Option<telemetry::Status>,
    /// `otel`.
    pub otel: Option<telemetry::Otel>,
    /// `endure.grace_period`: how long the end may take; 30s.
    pub grace_period: Duration,
}

/// Why a configuration cannot be used; its text is meant for a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    place: String,
    message: String,
}

impl Error {
    fn at(at: &At, key: Option<&str>, message: String) -> Self {
        Self { place: place(at, key), message }
    }

    /// The same error, with warnings that may be its cause.
    fn with(mut self, warnings: &[Warning]) -> Self {
        for warning in warnings {
            self.message.push_str("\n  ");
            self.message.push_str(&warning.to_string());
        }
        self
    }

    fn file(path: &std::path::Path, message: impl fmt::Display) -> Self {
        Self { place: path.display().to_string(), message: message.to_string() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

impl std::error::Error for Error {}

/// What is odd about a configuration that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    place: String,
    message: String,
}

impl Warning {
    fn at(at: &At, key: Option<&str>, message: String) -> Self {
        Self { place: place(at, key), message }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

fn place(at: &At, key: Option<&str>) -> String {
    key.map_or_else(|| at.to_string(), |key| format!("{at}: {key}"))
}

#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod tests;
