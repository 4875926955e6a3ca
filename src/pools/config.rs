//! `centrifuge.pools`: further pools, and which calls go to them.

use serde::Deserialize;

use super::rule::Match;
use crate::compat;
use crate::findings::{Findings, Machine, Weight};
use crate::{pool, worker};

/// One pool of `centrifuge.pools`, beside the default one.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Its key in the file.
    pub key: String,
    /// Which calls it answers, and whether the server needs it.
    pub routing: Routing,
    /// The keys of `server`, those that it does not set from there; except `on_init`, which is its own.
    pub server: worker::Config,
    /// The keys of `centrifuge.pool`, with their defaults.
    pub pool: pool::Config,
}

/// The keys of a pool that are neither those of `server` nor those of `centrifuge.pool`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Routing {
    /// Which calls it answers.
    #[serde(rename = "match")]
    pub matches: Match,
    /// Whether `serve` fails when its workers do not become ready, and is not ready without them; true.
    pub required: bool,
}

impl Default for Routing {
    fn default() -> Self {
        Self { matches: Match::default(), required: true }
    }
}

impl Config {
    /// The name under which operators and workers know it.
    pub(crate) fn name(&self) -> String {
        format!("{}.{}", compat::PLUGIN, self.key)
    }

    /// Its section in the file.
    pub(crate) fn section(&self) -> String {
        format!("centrifuge.pools.{}", self.key)
    }

    /// Checks its own keys. Inherited ones are reported under `server`. What would fail the start is only odd if the pool is not required.
    pub(crate) fn validate(&self, has: impl Fn(&str) -> bool, machine: Machine<'_>, findings: &mut Findings) {
        let section = self.section();
        self.pool.validate(&section, findings);
        let mut own = Findings::default();
        let key = |key: &str| if has(key) { format!("{section}.{key}") } else { format!("server.{key}") };
        let command = self.pool.command.as_ref().map(|command| (section.as_str(), command));
        self.server.validate(&key, command, machine, &mut own);
        for finding in own.into_list() {
            let is_own = finding.key.starts_with(&section);
            match finding.weight {
                Weight::Mistake if self.routing.required || !is_own => {
                    findings.mistake(finding.key, finding.message);
                }
                _ => findings.odd(finding.key, finding.message),
            }
        }
    }
}

/// Warns of pools that no call can reach.
pub(crate) fn validate_routes(pools: &[Config], findings: &mut Findings) {
    let matches: Vec<Match> = pools.iter().map(|pool| pool.routing.matches.clone()).collect();
    for (index, pool) in pools.iter().enumerate() {
        let key = format!("{}.match", pool.section());
        if let Some(why) = matches[index].unreachable() {
            findings.odd(key, format!("no call can reach this pool: {why}"));
            continue;
        }
        let earlier = matches[index].covered_by(&matches[..index]);
        let names: Vec<_> = earlier.iter().map(|earlier| pools[*earlier].section()).collect();
        if !names.is_empty() {
            let text = format!("no call can reach this pool: its calls go to {}", names.join(" and "));
            findings.odd(key, text);
        }
    }
}
