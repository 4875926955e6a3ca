//! Warnings about settings without an effect, and about sections that are not supported.

use super::migration::{LOGS_BEFORE_3, log_sections};
use super::nearest::nearest;
use super::node::{Node, Value};
use super::numbers;
use super::problems::Problems;
use super::sections::{OTHER_KEYS, OTHER_PLUGINS, SUPPORTED};
use crate::compat::Compat;
use crate::secrets;
use crate::telemetry::logs::CHANNELS;

/// Keys without an effect, and why. `config/reference.rr.yaml` marks them.
const IDLE: [(&str, &str); 8] = [
    ("server.relay_timeout", "centrifuge.pool.allocate_timeout limits how long a worker may take to connect"),
    ("centrifuge.name", "this name is not used"),
    ("centrifuge.version", "this version is not used"),
    ("logs.err_output", "the log's own errors go to standard error"),
    ("status.check_timeout", "checks answer immediately"),
    ("endure.log_level", "set logs.channels.endure.level instead"),
    ("endure.print_graph", "there is no plugin graph"),
    ("endure.watchdog_sec", "systemd's WatchdogSec sets the interval"),
];

/// Sections whose keys a pool of `centrifuge.pools` has as well.
const POOL_SECTIONS: [&str; 2] = ["server", "centrifuge.pool"];

/// Supported sections that have no settings.
const WITHOUT_SETTINGS: [&str; 3] = ["app", "informer", "resetter"];

/// Warns of all of them.
pub(super) fn check(tree: &Node, compat: Compat, problems: &Problems) {
    for (key, why) in IDLE {
        // Reported for `logs` and its channels alike.
        if compat.is_v3() && key == "logs.err_output" {
            continue;
        }
        if let Some(node) = find(tree, key) {
            problems.warn(&node.at, Some(key), format!("has no effect: {why}"));
        }
    }
    for section in WITHOUT_SETTINGS {
        for (key, node) in tree.get(section).map_or(&[][..], Node::entries) {
            let key = format!("{section}.{key}");
            problems.warn(&node.at, Some(&key), "has no effect: this section has no settings");
        }
    }
    pools(tree, problems);
    channels(tree, compat, problems);
    logs(tree, compat, problems);
    if compat.is_v3() {
        zipkin(tree, problems);
    }
    programs(tree, problems);
    others(tree, problems);
}

/// Removes log files whose name expands to nothing, as in `log_output: ${LOG_FILE}`: without a file, the section is absent.
pub(super) fn drop_unnamed_logs(tree: &mut Node) {
    let channels = find(tree, "logs.channels").map_or(&[][..], Node::entries);
    let channels = channels.iter().map(|(name, _)| format!("logs.channels.{name}"));
    for section in channels.chain(["logs".into()]).collect::<Vec<_>>() {
        let key = format!("{section}.file_logger_options");
        let Some(file) = find(tree, &key).and_then(|node| node.get("log_output")) else { continue };
        if file.is_nothing() && file.reference().is_some() {
            let at = file.at.clone();
            tree.set(&key, Node { value: Value::Null, at });
        }
    }
}

fn find<'a>(tree: &'a Node, key: &str) -> Option<&'a Node> {
    let node = key.split('.').try_fold(tree, Node::get)?;
    Some(node).filter(|node| !node.is_nothing())
}

/// Keys of a pool without an effect: those of `server` and `centrifuge.pool`.
fn pools(tree: &Node, problems: &Problems) {
    let pools = find(tree, "centrifuge.pools").map_or(&[][..], Node::entries);
    for (name, pool) in pools {
        let section = format!("centrifuge.pools.{name}");
        for (key, why) in IDLE {
            let Some((_, key)) = key.rsplit_once('.').filter(|(section, _)| POOL_SECTIONS.contains(section))
            else {
                continue;
            };
            if let Some(node) = find(pool, key) {
                problems.warn(&node.at, Some(&format!("{section}.{key}")), format!("has no effect: {why}"));
            }
        }
        debug(pool, &section, problems);
    }
    if let Some(pool) = find(tree, "centrifuge.pool") {
        debug(pool, "centrifuge.pool", problems);
    }
}

/// Warns of limits of workers that serve one request each.
fn debug(pool: &Node, section: &str, problems: &Problems) {
    const KEYS: [&str; 5] =
        ["max_jobs", "dynamic_allocator", "watch", "supervisor.ttl", "supervisor.idle_ttl"];
    if find(pool, "debug").and_then(Node::text).and_then(numbers::truth) != Some(true) {
        return;
    }
    for key in KEYS {
        if let Some(node) = find(pool, key) {
            let key = format!("{section}.{key}");
            problems.warn(&node.at, Some(&key), "has no effect: with debug, each request has a new worker");
        }
    }
}

/// Warns of channels that nothing is logged to.
fn channels(tree: &Node, compat: Compat, problems: &Problems) {
    for (name, node) in find(tree, "logs.channels").map_or(&[][..], Node::entries) {
        let key = format!("logs.channels.{name}");
        if let Some(output) = find(node, "err_output").filter(|_| !compat.is_v3()) {
            problems.warn(
                &output.at,
                Some(&format!("{key}.err_output")),
                "has no effect: the log's own errors go to standard error",
            );
        }
        if CHANNELS.contains(&name.as_str()) {
            continue;
        }
        // RoadRunner's other plugins have channels, too.
        let is_plugin = [&OTHER_KEYS[..], &OTHER_PLUGINS].concat().contains(&name.as_str());
        let text = match nearest(name, CHANNELS).filter(|_| !is_plugin) {
            Some(known) => format!("unknown channel; did you mean `{known}`?"),
            None => format!(
                "has no effect: nothing is logged to this channel; known channels: {}",
                CHANNELS.join(", ")
            ),
        };
        problems.warn(&node.at, Some(&key), text);
    }
}

/// Warns of keys of logs without an effect under this RoadRunner, or without `format`.
fn logs(tree: &Node, compat: Compat, problems: &Problems) {
    for section in log_sections(tree) {
        let Some(node) = find(tree, &section) else { continue };
        let warn = |key: &str, text: &str| {
            if let Some(node) = find(node, key) {
                problems.warn(&node.at, Some(&format!("{section}.{key}")), text);
            }
        };
        if compat.is_v3() {
            for (key, instead) in LOGS_BEFORE_3 {
                warn(key, &format!("has no effect under RoadRunner 3: {instead}"));
            }
        }
        if find(node, "format").is_none() {
            for key in ["time_format", "skip_line_ending"] {
                warn(key, "has no effect without `format`");
            }
            if compat.is_v3() {
                warn("line_ending", "has no effect without `format` under RoadRunner 3");
            }
        }
    }
}

/// Refuses what RoadRunner 3 refuses.
fn zipkin(tree: &Node, problems: &Problems) {
    let exporter = find(tree, "otel.exporter");
    if let Some(node) = exporter.filter(|node| node.text().is_some_and(|text| text == "zipkin")) {
        problems.mistake(&node.at, Some("otel.exporter"), "zipkin exporter is deprecated, use OTLP instead");
    }
}

/// Warns of `service`: programs that RoadRunner would start, often Centrifugo itself.
fn programs(tree: &Node, problems: &Problems) {
    let Some(node) = find(tree, "service") else { return };
    let program = |(name, service): &(String, Node)| {
        // Arguments may hold secrets.
        let command = service.get("command").map(|node| node.items().first().unwrap_or(node));
        let command = command.and_then(|node| node.reference().or_else(|| node.text()));
        let word = command.and_then(|command| command.split_whitespace().next());
        let program = word.filter(|word| !word.contains('=')).map(secrets::scrub);
        program.map_or_else(|| name.clone(), |program| format!("{name} (`{program}`)"))
    };
    let names: Vec<String> = node.entries().iter().map(program).collect();
    if names.is_empty() {
        return;
    }
    let text = format!(
        "these programs are not started: {}; run them with systemd or as containers",
        names.join(", ")
    );
    problems.warn(&node.at, Some("service"), text);
}

/// Warns of sections that are not read.
fn others(tree: &Node, problems: &Problems) {
    let mut others = Vec::new();
    for (key, node) in tree.entries() {
        let name = key.as_str();
        if SUPPORTED.contains(&name) || OTHER_KEYS.contains(&name) {
            continue;
        }
        if OTHER_PLUGINS.contains(&name) {
            others.push((name, node));
            continue;
        }
        let hint = match nearest(key, SUPPORTED) {
            Some(known) => format!("unknown section; did you mean `{known}`?"),
            None => "unknown section, ignored".into(),
        };
        problems.warn(&node.at, Some(key), hint);
    }
    if let Some((_, first)) = others.first() {
        let names: Vec<&str> = others.iter().map(|(key, _)| *key).collect();
        let text = format!("sections of RoadRunner plugins that are not supported: {}", names.join(", "));
        problems.warn(&first.at, None, text);
    }
}
