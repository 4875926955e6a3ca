//! What a change of each key of the configuration takes.

use std::collections::BTreeMap;

use super::access::keeps_tls;
use crate::admin;
use crate::compat::PLUGIN;
use crate::config::{Change, Config};
use crate::pools::Done;
use crate::proxy;

/// What is needed to put the new value of a key in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect<'a> {
    /// This pool goes on with it, by its key in `centrifuge.pools`; the default one has none.
    Pool(Option<&'a str>),
    /// All pools that do not set it themselves do.
    Pools,
    /// Nothing more than to use it from now on.
    AtOnce,
    /// The server has to start again.
    Restart,
    /// It has none.
    None,
}

/// Keys of a pool that only its start reads.
const AT_START: [&str; 2] = ["on_init", "relay_socket"];

/// Keys of a pool that concern neither its workers nor its queue.
const BESIDE: [&str; 3] = ["match", "required", "watch"];

/// Keys of a log file that is open.
const OF_OPEN_FILES: [&str; 4] = ["max_size", "max_age", "max_backups", "compress"];

impl<'a> Effect<'a> {
    /// The effect of a change from `old` to `new`.
    pub(super) fn of(change: &'a Change, old: &Config, new: &Config) -> Self {
        if change.is_variable() {
            return Self::Pools;
        }
        let path: Vec<&str> = change.path.iter().map(String::as_str).collect();
        let has_metrics = old.metrics.is_some() && new.metrics.is_some();
        match path[..] {
            ["server", key, ..] if AT_START.contains(&key) => Self::Restart,
            // Sockets that workers connect to belong to them, and keep their owner.
            ["server", "user" | "group"] => Self::Restart,
            ["server", ..] => Self::Pools,
            ["centrifuge", "pools", name, key, ..] => {
                let has = |config: &Config| config.pools.iter().any(|pool| pool.key == name);
                let stays = has(old) && has(new);
                match key {
                    _ if !stays => Self::Pool(Some(name)),
                    key if AT_START.contains(&key) => Self::Restart,
                    key if BESIDE.contains(&key) => Self::AtOnce,
                    _ => Self::Pool(Some(name)),
                }
            }
            ["centrifuge", "pools"] | ["centrifuge", "pool", "watch", ..] => Self::AtOnce,
            ["centrifuge", "pool", ..] => Self::Pool(None),
            ["logs", .., "file_logger_options", key] if OF_OPEN_FILES.contains(&key) => Self::Restart,
            ["metrics", "collect", ..] if has_metrics => Self::AtOnce,
            ["logs" | "include" | "envfile", ..]
            | ["endure", "grace_period"]
            | ["centrifuge", "proxy_credentials", ..] => Self::AtOnce,
            ["centrifuge", "proxy_tls", ..] => Self::of_tls("centrifuge.proxy_tls", old, new),
            ["rpc", "tls", ..] => Self::of_tls("rpc.tls", old, new),
            ["rpc", "operators", "tls", ..] => Self::of_tls("rpc.operators.tls", old, new),
            ["status", "tls", ..] => Self::of_tls("status.tls", old, new),
            ["metrics", "tls", ..] => Self::of_tls("metrics.tls", old, new),
            [section, ..] => Self::of_section(section, old, new),
            [] => Self::None,
        }
    }

    /// The effect of another certificate: only TLS as such is switched on and off by a restart.
    fn of_tls(section: &str, old: &Config, new: &Config) -> Self {
        if keeps_tls(old, new, section) { Self::AtOnce } else { Self::Restart }
    }

    /// The effect of a key that is read at the start only; it has none if all such keys of its section mean the same as before.
    fn of_section(section: &str, old: &Config, new: &Config) -> Self {
        let is_same = match section {
            "centrifuge" => {
                let proxy =
                    |config: &Config| proxy::Config { tls: None, credentials: None, ..config.proxy.clone() };
                proxy(old) == proxy(new) && (&old.api, &old.streams) == (&new.api, &new.streams)
            }
            "rpc" => {
                let rpc = |config: &Config| {
                    let mut rpc = config.rpc.clone()?;
                    rpc.tls = None;
                    rpc.operators.iter_mut().for_each(|operators| operators.tls = None);
                    Some(rpc)
                };
                rpc(old) == rpc(new)
            }
            "lock" => old.lock == new.lock,
            "metrics" => {
                let metrics = |config: &Config| {
                    let metrics = config.metrics.clone()?;
                    Some(admin::Metrics { tls: None, collect: BTreeMap::new(), ..metrics })
                };
                metrics(old) == metrics(new)
            }
            "status" => {
                let status = |config: &Config| Some(admin::Status { tls: None, ..config.status.clone()? });
                status(old) == status(new)
            }
            "otel" => old.otel == new.otel,
            "causeway" => (old.compat, old.limits) == (new.compat, new.limits),
            _ => true,
        };
        if is_same { Self::None } else { Self::Restart }
    }

    /// In words, what was done for it, where this was done with the pools.
    pub(super) fn outcome(self, pools: &[(String, Done)]) -> &'static str {
        match self {
            Self::Pool(key) => {
                let name = key.map_or_else(|| PLUGIN.to_owned(), |key| format!("{PLUGIN}.{key}"));
                pools.iter().find(|(known, _)| *known == name).map_or("no effect", |(_, done)| words(*done))
            }
            Self::Pools => {
                let stays = |done: &Done| !matches!(done, Done::Added | Done::Removed);
                pools.iter().map(|(_, done)| *done).filter(stays).max().map_or("no effect", words)
            }
            Self::AtOnce => "in force",
            Self::Restart => RESTART,
            Self::None => "no effect",
        }
    }
}

/// What is said of a key that needs a restart.
pub(super) const RESTART: &str = "needs a restart";

pub(super) fn words(done: Done) -> &'static str {
    match done {
        Done::Kept => "no effect",
        Done::Configured => "in force",
        Done::WorkersReplaced => "workers replaced",
        Done::Replaced => "pool replaced",
        Done::Added => "pool added",
        Done::Removed => "pool removed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Loaded, Sources};

    fn loaded(text: &str) -> Loaded {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".rr.yaml");
        std::fs::write(&path, format!("version: '3'\nserver: {{command: sh}}\n{text}\n")).unwrap();
        config::load(&Sources { path, ..Sources::default() }).unwrap()
    }

    /// Each key that has changed, and what that takes.
    fn effects(old: &str, new: &str) -> Vec<(String, String)> {
        let (old, new) = (loaded(old), loaded(new));
        let effect = |change: &Change| format!("{:?}", Effect::of(change, &old.config, &new.config));
        old.changes(&new).iter().map(|change| (change.key(), effect(change))).collect()
    }

    #[test]
    fn collectors_of_a_section_that_comes_or_goes_need_a_restart() {
        let with = "centrifuge: {}\nmetrics: {collect: {a: {type: gauge, help: a}}}";
        for (old, new) in [("centrifuge: {}", with), (with, "centrifuge: {}")] {
            assert!(effects(old, new).iter().all(|(_, effect)| effect == "Restart"));
        }
        assert_eq!(
            effects("centrifuge: {}", "centrifuge: {}\notel: {}"),
            [("otel".into(), "Restart".into())]
        );
    }

    #[test]
    fn what_means_the_same_needs_no_restart_whatever_else_has_changed_in_its_section() {
        let is = |effects: Vec<(String, String)>, expected: &[(&str, &str)]| {
            let shown: Vec<_> = effects.iter().map(|(key, effect)| (&**key, &**effect)).collect();
            assert_eq!(shown, expected);
        };
        is(
            effects(
                "centrifuge: {proxy_address: 127.0.0.1:0, proxy_credentials: {key: x-token, value: a}}",
                "centrifuge: {proxy_address: tcp://127.0.0.1:0, proxy_credentials: {key: x-token, value: b}}",
            ),
            &[("centrifuge.proxy_address", "None"), ("centrifuge.proxy_credentials.value", "AtOnce")],
        );
        let collect = "collect: {a: {type: gauge, help: a}}";
        is(
            effects(
                "centrifuge: {}\nmetrics: {address: 127.0.0.1:0}",
                &format!("centrifuge: {{}}\nmetrics: {{address: tcp://127.0.0.1:0, {collect}}}"),
            ),
            &[
                ("metrics.address", "None"),
                ("metrics.collect.a.type", "AtOnce"),
                ("metrics.collect.a.help", "AtOnce"),
            ],
        );
        is(
            effects(
                "centrifuge: {}\nrpc: {listen: tcp://127.0.0.1:1}\nmetrics: {address: 127.0.0.1:0}",
                &format!(
                    "centrifuge: {{}}\nrpc: {{listen: tcp://127.0.0.1:2}}\nmetrics: {{address: 127.0.0.2:0, {collect}}}"
                ),
            ),
            &[
                ("rpc.listen", "Restart"),
                ("metrics.address", "Restart"),
                ("metrics.collect.a.type", "AtOnce"),
                ("metrics.collect.a.help", "AtOnce"),
            ],
        );
    }
}
