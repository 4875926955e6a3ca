//! `centrifuge.pools`: order, inheritance, and what is wrong with them.

use super::*;
use crate::worker::RelayAddress;

const TWO: &str = "version: '3'
server: {command: php app.php, user: www, env: {A: '1', B: '2'}, relay: 'tcp://127.0.0.1:7000', on_init: {command: migrate}}
centrifuge:
  pool: {max_jobs: 7, num_workers: 3, command: php default.php}
  pools:
    zeta:
      match: {types: [rpc], methods: report.*}
      command: [python3, reports.py]
      relay: pipes
      env: {b: '3', c: '4'}
      num_workers: 2
      supervisor: {exec_ttl: 5s}
      required: false
    alpha:
      match: {channels: ['chat:*', news]}
      debug: true
";

fn keys(config: &Config) -> Vec<&str> {
    config.pools.iter().map(|pool| pool.key.as_str()).collect()
}

#[test]
fn a_pool_inherits_from_server_and_nothing_from_the_default_pool() {
    let config = load_text(TWO).unwrap().config;
    let [zeta, alpha] = &config.pools[..] else { panic!("{:?}", config.pools) };
    let env = |pairs: &[(&str, &str)]| -> Vec<_> {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    assert_eq!(zeta.name(), "centrifuge.zeta");
    assert_eq!(zeta.pool.command.as_ref().unwrap().argv, ["python3", "reports.py"]);
    assert_eq!(zeta.server.env, env(&[("A", "1"), ("B", "2"), ("B", "3"), ("C", "4")]));
    assert_eq!((&zeta.server.relay, zeta.server.user.as_deref()), (&RelayAddress::Pipes, Some("www")));
    assert_eq!((zeta.pool.num_workers, zeta.pool.max_jobs, zeta.server.on_init.is_none()), (2, 0, true));
    assert_eq!(zeta.pool.supervisor.as_ref().unwrap().exec_ttl, Duration::from_secs(5));
    assert_eq!((zeta.routing.required, alpha.routing.required), (false, true));
    assert_eq!(alpha.server.relay, RelayAddress::Tcp("127.0.0.1:7000".into()));
    assert_eq!(alpha.server.command.argv, ["php", "app.php"]);
    assert_eq!(alpha.pool, pool::Config { debug: true, ..pool::Config::default() });
    let matches = &alpha.routing.matches;
    assert!(
        matches.types.is_empty()
            && matches.channels.iter().map(crate::pools::Glob::as_str).eq(["chat:*", "news"])
    );
    assert_eq!(config.workers(), 3 + 2 + pool::Config::default().num_workers);
}

#[test]
fn the_order_of_the_file_survives_includes_and_flags() {
    let main = TWO.replace("version: '3'\n", "version: '3'\ninclude: [more.yaml]\n");
    let more = "version: '3'\ncentrifuge:\n  pools:\n    beta: {match: {types: publish}}\n    alpha: {num_workers: 9}\n";
    let (_folder, mut sources) = folder(&[(".rr.yaml", &main), ("more.yaml", more)]);
    sources.overrides =
        ["centrifuge.pools.zeta.num_workers=4", "centrifuge.pools.gamma.match.types=connect,refresh"]
            .map(str::to_owned)
            .to_vec();
    let loaded = load(&sources).unwrap();
    // Flags are applied before the included files.
    assert_eq!(keys(&loaded.config), ["zeta", "alpha", "gamma", "beta"]);
    let workers: Vec<_> = loaded.config.pools.iter().map(|pool| pool.pool.num_workers).collect();
    assert_eq!(workers[..2], [4, 9]);
    assert_eq!(loaded.config.pools[2].routing.matches.types.len(), 2);
    let shown: serde_json::Value = serde_json::from_str(&loaded.shown).unwrap();
    let names: Vec<_> = shown["centrifuge"]["pools"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["zeta", "alpha", "gamma", "beta"]);
}

#[test]
fn mistakes_in_a_pool_are_reported_like_all_others() {
    let cases = [
        (
            "{centrifuge: {}}",
            "centrifuge.pools.centrifuge: this is the name of the default pool, centrifuge.pool; expected another name",
        ),
        ("{ä: {}}", "centrifuge.pools.ä: expected a name of letters, digits, `-` and `_`"),
        (
            "[a]",
            "centrifuge.pools: expected pools by their names, such as pools: {reports: {match: {types: [rpc]}}}",
        ),
        ("{a: 5}", "centrifuge.pools.a: expected a section of `key: value` lines, found \"5\""),
        (
            "{a: {num_workers: many}}",
            "centrifuge.pools.a.num_workers: expected a whole number, found \"many\"",
        ),
        ("{a: {command: '\"x'}}", "centrifuge.pools.a.command: expected a command: missing closing quote"),
        (
            "{a: {match: {types: []}}}",
            "centrifuge.pools.a.match.types: expected at least one glob such as \"chat:*\", found a list",
        ),
        (
            "{a: {match: {channels: ''}}}",
            "centrifuge.pools.a.match.channels: expected at least one glob such as \"chat:*\", found \"\"",
        ),
        (
            "{a: {match: {methods: $NONE}}}",
            "centrifuge.pools.a.match.methods: expected at least one glob such as \"chat:*\", found nothing: ${NONE} is empty or not set",
        ),
        (
            "{a: {match: {methods: ['a\\']}}}",
            "centrifuge.pools.a.match.methods[0]: expected a glob such as \"chat:*\"",
        ),
        ("{a: {on_init: {exec_timeout: 1s}}}", "centrifuge.pools.a.on_init.command: missing"),
    ];
    for (pools, expected) in cases {
        let found =
            error(&format!("version: '3'\nserver.command: php app.php\ncentrifuge:\n  pools: {pools}\n"));
        let (line, rest) = found.split_once(": ").unwrap();
        assert!(line == "4" && rest.starts_with(expected) && !rest.contains('\n'), "{pools}\n{found}");
    }
    let without =
        error("version: '3'\ncentrifuge: {pool: {command: a}, pools: {b: {match: {types: rpc}}}}\n");
    assert_eq!(
        without,
        "2: centrifuge.pools.b.command: missing: expected a command such as \"php app.php\", here or in server"
    );
}

#[test]
fn oddities_in_a_pool_are_warnings() {
    let cases = [
        ("numworkers: 1", "numworkers: unknown key; did you mean `num_workers`?"),
        ("comand: x", "comand: unknown key; did you mean `command`?"),
        ("match: {type: rpc}", "match.type: unknown key; did you mean `types`?"),
        ("match: {types: [rpcs]}", "match.types: Centrifugo has no type `rpcs`; did you mean `rpc`?"),
        (
            "match: {types: [polling]}",
            "match.types: Centrifugo has no type `polling`; known types: connect, refresh,",
        ),
        ("relay_timeout: 5s", "relay_timeout: has no effect: "),
        ("{debug: true, max_jobs: 1}", "max_jobs: has no effect: with debug, each request has a new worker"),
    ];
    for (keys, expected) in cases {
        let keys = keys.trim_matches(['{', '}']);
        let keys = if keys.starts_with("match") {
            format!("{keys}{}", "}".repeat(keys.matches('{').count()))
        } else {
            keys.to_owned()
        };
        let found =
            warnings(&format!("version: '3'\nserver.command: x\ncentrifuge: {{pools: {{a: {{{keys}}}}}}}\n"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(&format!("3: centrifuge.pools.a.{expected}")), "{found:?}");
    }
    // Types may be written as in Centrifugo's own settings.
    assert_eq!(
        warnings(
            "version: '3'\nserver.command: x\ncentrifuge: {pools: {a: {match: {types: [sub_refresh, SubRefresh, sub*]}}}}\n"
        ),
        [""; 0]
    );
}

#[test]
fn secrets_of_pools_are_hidden_and_a_name_hides_nothing() {
    let text = "version: '3'
server.command: x
centrifuge:
  pools:
    token: {match: {types: rpc}, num_workers: 2, command: 'php a.php --password=hunter2', env: {ANY: hunter2}}
    secret: {num_workers: hunter2}
";
    let found = error(text);
    assert_eq!(found, "6: centrifuge.pools.secret.num_workers: expected a whole number, found \"hunter2\"");
    let loaded = load_text(&text.replace("num_workers: hunter2", "num_workers: 1")).unwrap();
    let shown: serde_json::Value = serde_json::from_str(&loaded.shown).unwrap();
    let token = &shown["centrifuge"]["pools"]["token"];
    assert_eq!((&token["num_workers"], &token["match"]["types"]), (&2.into(), &"rpc".into()));
    assert!(
        !loaded.shown.contains("hunter2") && !format!("{loaded:?}").contains("hunter2"),
        "{}",
        loaded.shown
    );
    let by_variable = load_with(
        &text.replace("hunter2}", "1}").replace("=hunter2'", "=$PASSWORD'"),
        &[("PASSWORD", "opensesame")],
        &[],
    )
    .unwrap();
    assert_eq!(
        by_variable.config.pools[0].pool.command.as_ref().unwrap().to_string(),
        "php a.php --password=${PASSWORD}"
    );
}
