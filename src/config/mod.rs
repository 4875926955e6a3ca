//! The configuration: from files, flags and variables to one typed [`Config`], made of the components' own.
//!
//! ```text
//!  file ─yaml─▶ Node tree ─▶ includes ─▶ -o flags ─▶ ${VARIABLES} ─typed─▶ Config ─inspect─▶ Loaded
//!               (every value knows its file and line)                │                │
//!                                                                    └─▶ problems ◀───┘
//! ```
//!
//! Invariants:
//! - A mistake or warning names file, line, key and the expected form. One run finds them all (see `problems`): a wrong value is left out,
//!   and the rest is checked as if it were absent.
//! - A [`Config`] is valid: no component checks a setting again.
//! - The process's own environment stays as it is; variables from dotenv files are passed to the workers.
//!
//! Differences from RoadRunner: each reference in a value is expanded by itself (see `expand`), an included file adds to a section
//! instead of hiding the rest of it from its plugin, `-o` wins over included files too, `envfile` is always read, and a command is split
//! as by a shell.

mod changes;
mod dotenv;
mod environment;
mod expand;
mod file;
mod idle;
mod inspect;
mod load;
mod migration;
mod nearest;
mod node;
mod numbers;
mod overrides;
mod pool_list;
mod problems;
mod running;
mod schema;
mod sections;
mod shown;
mod typed;
mod wrong;
mod yaml;

use std::time::Duration;

pub(crate) use changes::Change;
pub use load::{Loaded, Sources, load};
pub use problems::{Error, Problem};
pub use running::{Running, ServerAddress, running};
pub(crate) use schema::text as schema;

use crate::compat::Compat;
use crate::net::LimitSettings;
use crate::{admin, api, pool, pools, proxy, rpc, streams, telemetry, worker};

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `version`: the version of the file's format.
    pub version: String,
    /// `causeway.compat`: which RoadRunner it is.
    pub compat: Compat,
    /// `causeway.limits`: of every listener.
    pub limits: LimitSettings,
    /// `rpc`; without the section there is no RPC.
    pub rpc: Option<rpc::Config>,
    /// `lock`.
    pub lock: Option<rpc::LockConfig>,
    /// `server`.
    pub server: worker::Config,
    /// `centrifuge`: the listener that Centrifugo calls.
    pub proxy: proxy::Config,
    /// `centrifuge.streams`: subscription streams.
    pub streams: streams::Config,
    /// `centrifuge`: Centrifugo's own API.
    pub api: api::Config,
    /// `centrifuge.pool`: the default pool.
    pub pool: pool::Config,
    /// `centrifuge.pools`: others, in the order of the file.
    pub pools: Vec<pools::Config>,
    /// `logs`.
    pub logs: telemetry::logs::Config,
    /// `metrics`.
    pub metrics: Option<admin::Metrics>,
    /// `status`.
    pub status: Option<admin::Status>,
    /// `otel`.
    pub otel: Option<telemetry::trace::Otel>,
    /// `endure.grace_period`: how long the shutdown may take; 30s.
    pub grace_period: Duration,
}

impl Config {
    /// The configured number of workers of all pools.
    pub fn workers(&self) -> usize {
        self.pool.num_workers + self.pools.iter().map(|pool| pool.pool.num_workers).sum::<usize>()
    }

    /// How long the start may take: `on_init` of the server, then that of each pool and its workers.
    pub(crate) fn start_time(&self) -> Duration {
        start_time(&self.server, &self.pool, &self.pools)
    }
}

fn start_time(server: &worker::Config, pool: &pool::Config, pools: &[pools::Config]) -> Duration {
    let on_init =
        |server: &worker::Config| server.on_init.as_ref().map_or(Duration::ZERO, |it| it.exec_timeout);
    let others = pools.iter().map(|pool| on_init(&pool.server).saturating_add(pool.pool.allocate_timeout));
    let longest = others.fold(pool.allocate_timeout, Duration::max);
    on_init(server).saturating_add(longest)
}

#[cfg(test)]
mod tests;
