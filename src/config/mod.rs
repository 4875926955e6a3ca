//! The configuration: from files, flags and variables to one typed [`Config`], made of the components' own.
//!
//! ```text
//!  file ─yaml─▶ Node tree ─▶ includes ─▶ -o flags ─▶ ${VARIABLES} ─▶ typed Config
//!               (every value knows its file and line)                 │
//!                                                                     └─▶ warnings: unknown keys, sections not served here
//! ```
//!
//! Invariants:
//! - A mistake or warning names file, line, key and the form that is expected. All of them are found in one run (see `problems`): a value
//!   that is wrong is left out, and the rest is looked at as if it were not there.
//! - What comes out is right: nobody checks a setting later again.
//! - Nothing is written to the process's own environment; variables of dotenv files are handed to the workers.
//!
//! Differences from RoadRunner: each reference in a value is expanded by itself (see `expand`), an included file adds to a section
//! instead of hiding the rest of it from its plugin, `-o` wins over included files too, `envfile` is always read, and a command is split
//! like a shell does it.

mod dotenv;
mod environment;
mod expand;
mod idle;
mod inspect;
mod load;
mod node;
mod overrides;
mod problems;
mod running;
mod sections;
mod shown;
mod typed;
mod yaml;

use std::time::Duration;

pub use load::{Loaded, Sources, load};
pub use problems::{Error, Problem};
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

#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod nothing_tests;
#[cfg(test)]
mod secret_tests;
#[cfg(test)]
mod tests;
