//! Which RoadRunner a configuration is read for, and what the other one would make of it: what `check` prints for those who move.

use super::environment::Environment;
use super::node::{At, Node};
use super::numbers;
use super::problems::{Problem, Problems};
use super::{Config, Sources, inspect};
use crate::compat::{Compat, VARIABLE};
use crate::pool::DynamicAllocator;

/// The RoadRunner of this configuration, and what names it.
#[derive(Debug, Clone)]
pub(super) struct InForce {
    pub(super) version: Compat,
    source: &'static str,
}

/// What moving to the other RoadRunner would change.
#[derive(Debug, Clone)]
pub(crate) struct Migration {
    /// What names the RoadRunner in force: a key, a variable, or the default.
    pub(crate) source: &'static str,
    /// Keys that mean something else to the other one, and those that only one of them has.
    pub(crate) notes: Vec<Problem>,
}

/// Keys of `logs` and of its channels that RoadRunner 3 ignores, and what it has instead.
pub(super) const LOGS_BEFORE_3: [(&str, &str); 3] = [
    ("encoding", "mode production is JSON, other modes are text, and `format` makes lines of any form"),
    ("err_output", "the log's own errors go to standard error"),
    ("file_logger_options", "lines go to `output`, and files are not rotated: use logrotate"),
];

/// Keys that came with RoadRunner 3. They have their effect under both.
const SINCE_3: [&str; 3] = ["rpc.unix_socket", "server.relay_socket", "centrifuge.proxy_socket"];
const LOGS_SINCE_3: [&str; 3] = ["format", "time_format", "skip_line_ending"];

impl InForce {
    /// `set` is `causeway.compat` of the main file and the flags; without it, the environment has the default.
    pub(super) fn of(set: Option<Compat>, env: &Environment, problems: &Problems) -> Self {
        if let Some(version) = set {
            return Self { version, source: "causeway.compat" };
        }
        match env.get(VARIABLE).filter(|text| !text.is_empty()).map(str::parse) {
            Some(Ok(version)) => Self { version, source: VARIABLE },
            Some(Err(expected)) => {
                let expected: crate::compat::UnknownVersion = expected;
                problems.mistake(&At { file: VARIABLE.into(), line: 0 }, None, expected.to_string());
                Self { version: Compat::default(), source: VARIABLE }
            }
            None => Self { version: Compat::default(), source: "default" },
        }
    }
}

/// Finds everything that the other RoadRunner reads differently.
pub(super) fn notes(tree: &Node, config: &Config, compat: &InForce, sources: &Sources) -> Migration {
    let notes = Notes { tree, list: Problems::default() };
    let has_flags = !sources.overrides.is_empty();
    match compat.version {
        Compat::V2025 => notes.under_3(has_flags),
        Compat::V3 => notes.under_2025(has_flags),
    }
    notes.allocators(config);
    Migration { source: compat.source, notes: notes.list.finish(&sources.path).unwrap_or_default() }
}

struct Notes<'a> {
    tree: &'a Node,
    /// As warnings, which are sorted by their places.
    list: Problems,
}

impl Notes<'_> {
    fn add(&self, key: &str, text: impl Into<String>) {
        self.list.warn(&inspect::place(self.tree, key), Some(key), text);
    }

    fn get(&self, key: &str) -> Option<&Node> {
        find(self.tree, key)
    }

    fn word(&self, key: &str) -> Option<String> {
        self.get(key)?.text().map(str::to_lowercase)
    }

    fn under_3(&self, has_flags: bool) {
        for section in log_sections(self.tree) {
            for (key, instead) in LOGS_BEFORE_3 {
                self.note(&format!("{section}.{key}"), &format!("has no effect: {instead}"));
            }
            self.words_under_3(&section);
        }
        for channel in log_sections(self.tree).into_iter().skip(1) {
            let own = self.get(&channel);
            let logs = self.get("logs").map_or(&[][..], Node::entries);
            let is_ignored = |key: &str| LOGS_BEFORE_3.iter().any(|(ignored, _)| *ignored == key);
            let inherited = |key: &str| {
                key != "channels" && !is_ignored(key) && own.is_some_and(|own| own.get(key).is_none())
            };
            let lost: Vec<&str> =
                logs.iter().map(|(key, _)| key.as_str()).filter(|key| inherited(key)).collect();
            if !lost.is_empty() {
                let text = format!("inherits nothing from logs: it would lose {}", lost.join(", "));
                self.add(&channel, text);
            }
        }
        for key in SINCE_3.map(str::to_owned).into_iter().chain(self.new_keys_of_logs()) {
            self.note(&key, "is understood here too, but RoadRunner 2025 ignores it");
        }
        if self.word("otel.exporter").as_deref() == Some("zipkin") {
            self.add("otel.exporter", "zipkin is refused: use otlp");
        }
        if self.get("lock").is_some() && self.get("lock.driver").is_none() {
            self.add("lock", "is refused without a driver: add driver: memory");
        }
        self.shared_locks();
        if has_flags {
            self.note("include", "the included files win over -o");
        }
    }

    /// Locks in Redis came with RoadRunner 3.
    fn shared_locks(&self) {
        if self.word("lock.driver").as_deref() == Some("redis") {
            self.add("lock.driver", "is understood here too, but RoadRunner 2025 keeps locks in memory");
        }
    }

    fn words_under_3(&self, section: &str) {
        let key = |key: &str| format!("{section}.{key}");
        let has_format = self.get(&key("format")).is_some();
        match self.word(&key("mode")).as_deref() {
            Some("production" | "json") if !has_format => {
                self.add(
                    &key("mode"),
                    "lines are Go's slog in JSON: time, level, msg, logger, then the fields",
                );
            }
            Some("development") if !has_format => {
                self.add(&key("mode"), "lines are Go's slog as text: time=... level=... msg=... logger=...");
            }
            _ => {}
        }
        let level = self.word(&key("level"));
        if level.is_some_and(|level| !["debug", "info", "warn", "warning", "error"].contains(&&*level)) {
            self.add(&key("level"), "is read as debug");
        }
        if !has_format {
            self.note(&key("line_ending"), "has no effect without `format`");
        }
    }

    fn under_2025(&self, has_flags: bool) {
        for section in log_sections(self.tree) {
            for (key, _) in LOGS_BEFORE_3 {
                self.note(&format!("{section}.{key}"), "has its effect");
            }
            let mode = format!("{section}.mode");
            let is_formed = self.get(&format!("{section}.format")).is_none()
                && self.word(&mode).is_some_and(|mode| !["raw", "none", "off", "false"].contains(&&*mode));
            if is_formed {
                self.add(&mode, "lines have the form of zap");
            }
        }
        let logs = self.get("logs").map_or(&[][..], Node::entries);
        if logs.iter().any(|(key, _)| key != "channels") {
            for channel in log_sections(self.tree).into_iter().skip(1) {
                self.add(&channel, "inherits from logs what it does not set");
            }
        }
        for key in SINCE_3.map(str::to_owned).into_iter().chain(self.new_keys_of_logs()) {
            self.note(&key, "is understood here too, but RoadRunner 2025 ignores it");
        }
        self.shared_locks();
        if has_flags {
            self.note("include", "-o wins over the included files");
        }
    }

    /// Adds a note about a key if it is set.
    fn note(&self, key: &str, text: &str) {
        if self.get(key).is_some() {
            self.add(key, text);
        }
    }

    fn new_keys_of_logs(&self) -> Vec<String> {
        let sections = log_sections(self.tree);
        sections
            .iter()
            .flat_map(|section| LOGS_SINCE_3.map(|key| format!("{section}.{key}")))
            .filter(|key| self.get(key).is_some())
            .collect()
    }

    /// Limits of the pools' allocators that the other RoadRunner clips elsewhere.
    fn allocators(&self, config: &Config) {
        let pools = config.pools.iter().map(|pool| (pool.section(), &pool.pool));
        for (section, pool) in std::iter::once(("centrifuge.pool".to_owned(), &config.pool)).chain(pools) {
            let key = format!("{section}.dynamic_allocator.max_workers");
            let Some(set) = self.get(&key).and_then(Node::text).and_then(numbers::number) else { continue };
            let most = |compat| DynamicAllocator::most_workers(pool.num_workers, compat).min(set);
            let (here, there) = (most(config.compat), most(config.compat.other()));
            if here != there {
                self.add(&key, format!("is {there}, and not {here}"));
            }
        }
    }
}

/// `logs`, and each of its channels.
pub(super) fn log_sections(tree: &Node) -> Vec<String> {
    let channels = find(tree, "logs.channels").map_or(&[][..], Node::entries);
    let channels = channels.iter().map(|(name, _)| format!("logs.channels.{name}"));
    std::iter::once("logs".to_owned()).chain(channels).collect()
}

fn find<'a>(tree: &'a Node, key: &str) -> Option<&'a Node> {
    let node = key.split('.').try_fold(tree, Node::get)?;
    Some(node).filter(|node| !node.is_nothing())
}
