//! Settings that are read and change nothing, or not what they are for in RoadRunner. Who wrote them is told.

use super::node::{Node, Value};
use super::problems::Problems;
use super::sections::{OTHER_KEYS, OTHER_PLUGINS, SERVED};
use super::typed;
use crate::secrets;
use crate::telemetry::logs::CHANNELS;

/// Keys without an effect, and why. The reference marks them.
const IDLE: [(&str, &str); 11] = [
    ("server.relay_timeout", "centrifuge.pool.allocate_timeout says how long a worker may take to connect"),
    ("centrifuge.name", "nobody is told this name"),
    ("centrifuge.version", "nobody is told this version"),
    ("centrifuge.pool.stream_timeout", "workers give one answer, and none in parts"),
    ("logs.err_output", "the log's own errors go to standard error"),
    ("status.check_timeout", "a check waits for nothing and answers at once"),
    ("otel", "traces are not exported by this version"),
    ("endure.log_level", "logs.channels.endure.level says what is logged of the start and the end"),
    ("endure.print_graph", "there is no graph of plugins"),
    ("endure.watchdog_sec", "systemd's watchdog is not notified"),
    ("lock.config", "locks are kept in this process"),
];

/// Sections that are served and have no settings.
const WITHOUT_SETTINGS: [&str; 3] = ["app", "informer", "resetter"];

/// Looks for all of them.
pub(super) fn look(tree: &Node, problems: &Problems) {
    for (key, why) in IDLE {
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
    channels(tree, problems);
    locks(tree, problems);
    programs(tree, problems);
    others(tree, problems);
}

/// Takes out the log files whose names come to nothing, `log_output: ${LOG_FILE}`: without its file, the section is none.
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

/// Channels that nothing is logged to.
fn channels(tree: &Node, problems: &Problems) {
    for (name, node) in find(tree, "logs.channels").map_or(&[][..], Node::entries) {
        let key = format!("logs.channels.{name}");
        if let Some(output) = find(node, "err_output") {
            problems.warn(
                &output.at,
                Some(&format!("{key}.err_output")),
                "has no effect: the log's own errors go to standard error",
            );
        }
        if CHANNELS.contains(&name.as_str()) {
            continue;
        }
        let text = match typed::nearest(name, CHANNELS) {
            Some(known) => format!("there is no such channel; did you mean `{known}`?"),
            None => format!(
                "has no effect: nothing is logged to this channel here; known are {}",
                CHANNELS.join(", ")
            ),
        };
        problems.warn(&node.at, Some(&key), text);
    }
}

/// Locks are in memory: who asks for another place must not get this one.
fn locks(tree: &Node, problems: &Problems) {
    let Some(node) = find(tree, "lock") else { return };
    if !matches!(node.value, Value::Map(_)) {
        problems.mistake(&node.at, Some("lock"), "expected a section of `key: value` lines");
        return;
    }
    if let Some(driver) = find(node, "driver")
        && !driver.text().is_some_and(|text| matches!(text, "" | "memory"))
    {
        let text =
            "expected memory: locks are kept in this process, and no other driver is served by this version";
        problems.mistake(&driver.at, Some("lock.driver"), text);
    }
    for (key, node) in node.entries() {
        if !["driver", "config"].contains(&key.as_str()) {
            let key = format!("lock.{key}");
            problems.warn(&node.at, Some(&key), "unknown key; known here: driver, config");
        }
    }
}

/// `service`: programs that RoadRunner would start beside the workers, often Centrifugo itself.
fn programs(tree: &Node, problems: &Problems) {
    let Some(node) = find(tree, "service") else { return };
    let program = |(name, service): &(String, Node)| {
        // Arguments may hold secrets.
        let command = service.get("command").and_then(|node| node.reference().or_else(|| node.text()));
        let word = command.and_then(|command| command.split_whitespace().next());
        let program = word.filter(|word| !word.contains('=')).map(secrets::scrub);
        program.map_or_else(|| name.clone(), |program| format!("{name} (`{program}`)"))
    };
    let names: Vec<String> = node.entries().iter().map(program).collect();
    if names.is_empty() {
        return;
    }
    let text = format!(
        "the programs of this section are not started by this server: {}; start them otherwise, by systemd or as containers",
        names.join(", ")
    );
    problems.warn(&node.at, Some("service"), text);
}

/// Sections that nobody here reads.
fn others(tree: &Node, problems: &Problems) {
    let mut others = Vec::new();
    for (key, node) in tree.entries() {
        let name = key.as_str();
        if SERVED.contains(&name) || OTHER_KEYS.contains(&name) {
            continue;
        }
        if OTHER_PLUGINS.contains(&name) {
            others.push((name, node));
            continue;
        }
        let hint = match typed::nearest(key, SERVED) {
            Some(known) => format!("unknown section; did you mean `{known}`?"),
            None => "unknown section; it is ignored".into(),
        };
        problems.warn(&node.at, Some(key), hint);
    }
    if let Some((_, first)) = others.first() {
        let names: Vec<&str> = others.iter().map(|(key, _)| *key).collect();
        let text =
            format!("these sections of other RoadRunner plugins are not served here: {}", names.join(", "));
        problems.warn(&first.at, None, text);
    }
}
