//! What separates two configurations.

use super::*;

fn loaded(text: &str) -> Loaded {
    load_text(&format!("version: '3'\nserver: {{command: php app.php}}\n{text}\n")).unwrap()
}

fn changes(old: &str, new: &str) -> Vec<String> {
    let shown = |value: Option<String>| value.unwrap_or_else(|| "-".into());
    let line = |change: Change| format!("{}: {} -> {}", change.key(), shown(change.old), shown(change.new));
    loaded(old).changes(&loaded(new)).into_iter().map(line).collect()
}

#[test]
fn each_key_with_another_value_is_named_and_no_secret_is_shown() {
    assert_eq!(
        changes(
            "centrifuge: {pool: {num_workers: 2, watch: [a, b]}, api_key: old}",
            "centrifuge: {pool: {watch: [a, c], max_jobs: '7'}, api_key: new}\nserver.env: {DB_PASSWORD: x}",
        ),
        [
            "server.env.db_password: - -> ***",
            r#"centrifuge.pool.watch: ["a","b"] -> ["a","c"]"#,
            "centrifuge.pool.max_jobs: - -> 7",
            "centrifuge.pool.num_workers: 2 -> -",
            "centrifuge.api_key: *** -> ***",
        ]
    );
    assert!(
        changes("centrifuge: {pool: {num_workers: '2'}}", "centrifuge:\n  pool:\n    num_workers: 2")
            .is_empty()
    );
}

#[test]
fn an_empty_section_that_comes_or_goes_is_a_change() {
    let (without, with) =
        ("centrifuge: {pool: {num_workers: 2}}", "centrifuge: {pool: {num_workers: 2, supervisor: {}}}");
    assert_eq!(changes(without, with), ["centrifuge.pool.supervisor: - -> {}"]);
    assert_eq!(changes(with, without), ["centrifuge.pool.supervisor: {} -> -"]);
    assert_eq!(changes("centrifuge: {}", "centrifuge: {}\notel: {}"), ["otel: - -> {}"]);
    assert!(changes("centrifuge: {}", "centrifuge: {}\notel:").is_empty());
}

#[test]
fn a_section_that_cannot_come_into_force_leaves_no_empty_one() {
    let (old, new) =
        (loaded("centrifuge: {}"), loaded("centrifuge: {}\nmetrics: {collect: {a: {type: gauge, help: a}}}"));
    let changes = old.changes(&new);
    let in_force = loaded("centrifuge: {}\nmetrics: {collect: {a: {type: gauge, help: a}}}")
        .keeping(&old, &changes.iter().collect::<Vec<_>>());
    assert!(in_force.config.metrics.is_none());
    assert!(old.changes(&in_force).is_empty());
}

#[test]
fn the_order_of_pools_is_a_change_and_that_of_other_keys_is_none() {
    let pools = |pools: &str| format!("centrifuge: {{pools: {{{pools}}}}}");
    let (one, two) = ("one: {match: {methods: a}}", "two: {match: {methods: b}}");
    assert_eq!(
        changes(&pools(&format!("{one}, {two}")), &pools(&format!("{two}, {one}"))),
        ["centrifuge.pools: one, two -> two, one"]
    );
    assert_eq!(
        changes(&pools(&format!("{one}, {two}")), &pools(two)),
        ["centrifuge.pools.one.match.methods: a -> -"]
    );
}

#[test]
fn what_cannot_change_keeps_its_old_value_and_is_a_change_the_next_time() {
    let old = loaded("centrifuge: {pool: {num_workers: 2}}\nrpc: {listen: 'tcp://127.0.0.1:1'}");
    let text = "centrifuge: {pool: {num_workers: 3}}\nrpc: {listen: 'tcp://127.0.0.1:2'}\nlock: {}\nendure: {grace_period: 1s}";
    let changes = old.changes(&loaded(text));
    let rpc: Vec<&Change> = changes.iter().filter(|change| change.path[0] == "rpc").collect();
    let in_force = loaded(text).keeping(&old, &rpc);
    assert_eq!(in_force.config.rpc, old.config.rpc);
    assert_eq!(in_force.config.pool.num_workers, 3);
    assert!(in_force.shown.contains("tcp://127.0.0.1:1") && !in_force.shown.contains("tcp://127.0.0.1:2"));
    let left = in_force.changes(&loaded(text));
    assert_eq!(left.iter().map(Change::key).collect::<Vec<_>>(), ["rpc.listen"]);
}
