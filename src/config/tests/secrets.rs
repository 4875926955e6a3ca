//! No message, no debug output and no answer of RPC shows a secret.

use super::*;
use crate::config::load;

/// What must be shown nowhere.
const SECRET: &str = "hunter2";

/// Loads a file with variables and flags. Returns everything that is shown of it.
fn seen(text: &str, env: &[(&str, &str)], flags: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".rr.yaml");
    std::fs::write(&path, text).unwrap();
    let env = env.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect();
    let overrides = flags.iter().map(|flag| (*flag).to_owned()).collect();
    let sources = Sources { path, overrides, env, ..Sources::default() };
    let loaded = match load(&sources) {
        Ok(loaded) => {
            let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
            let commands = format!("{} {:?}", loaded.config.server.command, loaded.config.pool.command);
            format!("{}\n{}\n{commands}\n{loaded:?}", warnings.join("\n"), loaded.shown)
        }
        Err(error) => format!("{error}\n{error:?}"),
    };
    format!("{loaded}\n{sources:?}\n{:?}", running(&sources))
}

const BEGIN: &str = "version: '3'\nserver.command: php app.php\n";

#[test]
fn secrets_are_not_shown() {
    let config =
        load_text("version: '3'\nserver: {command: x}\ncentrifuge: {api_key: hunter2}\n").unwrap().config;
    assert_eq!(config.api.api_key.as_ref().unwrap().expose(), "hunter2");
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn a_secret_anywhere_in_a_file_is_shown_nowhere() {
    let lines = [
        // Invalid references.
        "centrifuge: {api_key: 'a${hunter2'}",
        "centrifuge: {api_key: '${hunter2 }'}",
        "centrifuge: {api_key: '${X:?hunter2}'}",
        "centrifuge: {pool: {num_workers: '${hunter2'}}",
        // Wrong kinds of values, under keys of secrets and under others.
        "centrifuge: {api_key: {hunter2: x}}",
        "centrifuge: {api_key: hunter2, tls: {key: hunter2}}",
        "centrifuge: {api_key: [hunter2]}",
        "centrifuge: api_key hunter2",
        "centrifuge: {pool: {num_workers: 4\n  api_key hunter2}}",
        "centrifuge: {tls: hunter2=x}\nserver.env: hunter2",
        "server.env: [A=hunter2]",
        "server.env: {A: [hunter2]}",
        "server.env: {A=hunter2: x}",
        "server.env: {A: {B: hunter2}}",
        "server.env: {TOKEN: hunter2, other: 'hunter2'}",
        "server.on_init: {command: php --token=hunter2, env: {A: hunter2}}",
        "otel: {headers: {a: hunter2}, exporter: otlp}",
        "otel: {headers: [hunter2]}",
        "otel: {headers: hunter2}",
        "centrifuge: {proxy_address: 'tcp://user:hunter2@host'}",
        "rpc: {listen: 'http://host/?token=hunter2'}",
        "server.relay: 'redis://:hunter2@host'",
        "metrics: {address: 'x?api_key=hunter2', collect: {m: {type: 'password=hunter2'}}}",
        // Unknown keys, and sections that are not supported.
        "centrifuge: {apikey: hunter2}",
        "centrifuge: {api_key=hunter2: x}",
        "centrifuge: {api_key:hunter2}",
        "centrifuge:\n  api_key hunter2\n  name: x",
        "centrifuge:\n  api_key hunter2: x\n",
        "api_key hunter2: x",
        "secrets: {a: hunter2, b: [hunter2, {c: hunter2}]}",
        "kv: {a: {driver: redis, config: {password: hunter2, addrs: ['redis://u:hunter2@h']}}}",
        "amqp: {addr: 'amqp://guest:hunter2@127.0.0.1:5672/'}",
        "jobs: {pipelines: {a: {config: {pass: hunter2, pwd: hunter2, passphrase: hunter2, private_key: hunter2}}}}",
        "sqs: {key: hunter2, secret: hunter2, session_token: hunter2}",
        "db: {dsn: 'user:hunter2@tcp(h)/x', url: 'mysql://h/x?password=hunter2'}",
        "http: {ssl: {key: |-\n  -----BEGIN PRIVATE KEY-----\n  hunter2\n  }}",
        "service: {a: {command: 'FOO_TOKEN=hunter2 ./x --password hunter2 -phunter2', env: [{A: hunter2}]}}",
        "service: {a: {command: [./x, --token, hunter2]}}",
        "service: {a: {command: './x https://hunter2@h/', environment: {A: hunter2}}}",
        "service: {c: {command: ['./x', --token, hunter2, ~, {a: b}, --key, hunter2]}}",
        "service: {c: {command: ['./centrifugo', '--grpc_api.key', 'hunter2', -p, hunter2b]}}",
        "service: {c: {command: [env, 'TOKEN=x hunter2', './x', --header, 'X-Api-Key: a hunter2', '--token=a hunter2']}}",
        "service: {c: {command: ['./x', '--db=mysql://u:x hunter2@h/db', sh, -c, \"TOKEN='x hunter2' false\"]}}",
        "service: {c: {command: \"bash -lc \\\"php x --token='a hunter2' y\\\"\"}}",
        "service: {c: {command: './x -u user:hunter2 --token : hunter2'}}",
        "x: {dbPass: hunter2, userPwd: hunter2, dbDsn: hunter2, sentryDsn: hunter2, redisAuth: hunter2}",
        "x: {basicAuth: hunter2, mysqlPw: hunter2, hmacKey: hunter2, jwtKey: hunter2, masterKey: hunter2}",
        "x: {sslKey: hunter2, sshKey: hunter2, appKey: hunter2, serverKey: hunter2, adminKey: hunter2}",
        // Invalid YAML.
        "centrifuge: {api_key: 'hunter2}",
        "centrifuge: {api_key: \"hunter2\\q\"}",
        "centrifuge: {api_key: *hunter2}",
        "centrifuge: {api_key: !hunter2!x y}",
        "centrifuge: {api_key: @hunter2}",
        "centrifuge: {api_key: %hunter2}",
        "centrifuge:\n  api_key: hunter2\n api_key: hunter2",
        "centrifuge:\n  api_key: hunter2: x",
        "%hunter2\n---\na: b",
        "centrifuge: {api_key: hunter2, api_key: hunter2}",
        "centrifuge: {? [hunter2] : x}",
        "centrifuge: {<<: hunter2}",
        "include: [hunter2=x.yaml]\nserver.env: {A: hunter2}\nserver.env: {A: hunter2}",
    ];
    for line in lines {
        // The second file can be used, and is shown by `rpc.Config`.
        for rest in ["", "centrifuge: {}\n"] {
            // The name of an included file is part of messages.
            let all = seen(&format!("{BEGIN}{line}\n{rest}"), &[], &[]).replace("hunter2=x.yaml", "");
            assert!(!all.contains(SECRET), "{line}\n{all}");
        }
    }
}

#[test]
fn the_value_of_a_variable_is_shown_as_its_reference() {
    let lines = [
        (
            "centrifuge: {pool: {num_workers: $V}}",
            "centrifuge.pool.num_workers: expected a whole number, found \"${V}\"",
        ),
        ("centrifuge: {pool: {debug: '${V}'}}", "expected true or false, found \"${V}\""),
        (
            "centrifuge: {pool: {reset_timeout: '${V}'}}",
            "expected a duration such as 300ms, 1.5s or 1h30m, found \"${V}\"",
        ),
        ("centrifuge: {pool: {watch: ['${V}[']}}", "${V}["),
        ("centrifuge: {proxy_address: 'x://${V}'}", "found \"x://${V}\""),
        ("centrifuge: {tls: {cert: '${V}.pem'}}", "there is no file ${V}.pem"),
        ("centrifuge: {max_message_size: $V}", "expected a size such as 64MB, found \"${V}\""),
        ("centrifuge: $V", "expected a section of `key: value` lines, found \"${V}\""),
        ("logs: {encoding: $V}", "logs.encoding: expected one of"),
        (
            "rpc: {listen: $V, socket_mode: $V, allow: [$V]}",
            "rpc.allow[0]: expected a network such as 10.0.0.0/8, found \"${V}\"",
        ),
        ("server.relay: $V", "found \"${V}\""),
        ("server.user: $V", "server.user"),
        ("status: {check_timeout: $V}", "status.check_timeout: expected"),
        ("metrics: {collect: {m: {type: summary, objectives: {$V: x}}}}", "metrics.collect.m.objectives"),
    ];
    for (line, message) in lines {
        let all = seen(&format!("{BEGIN}{line}\n"), &[("V", SECRET)], &[]);
        assert!(!all.contains(SECRET), "{line}\n{all}");
        assert!(all.contains(message), "{line}\n{all}");
    }
}

#[test]
fn a_part_of_a_text_with_variables_is_shown_as_its_reference() {
    for (line, message) in [
        ("logs: {output: '/nonexist/$V/x.log'}", "/nonexist/${V}"),
        ("logs: {output: ['/nonexist/$V/x.log', stderr]}", "/nonexist/${V}"),
        ("logs: {output: ['/nonexist/$V/x.log']}", "/nonexist/${V}"),
        ("logs: {channels: {app: {output: '/nonexist/$V/x.log'}}}", "/nonexist/${V}"),
        ("rpc: {listen: 'unix:///nonexist/$V/x.sock'}", "/nonexist/${V}"),
        ("server.relay: 'unix:///nonexist/$V/x.sock'", "/nonexist/${V}"),
        ("centrifuge: {proxy_address: 'unix:///nonexist/$V/x.sock'}", "/nonexist/${V}"),
        ("logs: {output: '/nonexist/x${hunter2/x.log'}", "the directory /${...}/${...} does not exist"),
    ] {
        let centrifuge = if line.starts_with("centrifuge") { "" } else { "centrifuge: {}\n" };
        let all = seen(&format!("{BEGIN}{line}\n{centrifuge}"), &[("V", SECRET)], &[]);
        // What is used to reach a server has the values themselves.
        let is_message = |line: &&str| !line.starts_with('{') && !line.starts_with("Ok(Running");
        let messages = all.lines().filter(is_message).collect::<Vec<_>>().join("\n");
        assert!(!messages.contains(SECRET), "{line}\n{messages}");
        assert!(messages.contains(message), "{line}\n{messages}");
    }
}

#[test]
fn a_command_is_shown_with_its_references() {
    let env = [("V", SECRET), ("APP_TOKEN", SECRET)];
    for command in ["php app.php --key ${V}", "[php, app.php, --key, '${V}']", "php app.php $APP_TOKEN"] {
        let text = format!("version: '3'\nserver.command: {command}\ncentrifuge.pool.command: {command}\n");
        let all = seen(&text, &env, &[]);
        let reference = if command.contains("TOKEN") { "${APP_TOKEN}" } else { "--key ${V}" };
        assert!(all.contains(&format!("php app.php {reference}")), "{all}");
        // RPC shows the values of variables whose names are not those of secrets, as RoadRunner does.
        let without_rpc: Vec<&str> = all.lines().filter(|line| !line.starts_with('{')).collect();
        assert!(!without_rpc.join("\n").contains(SECRET), "{command}\n{all}");
    }
}

#[test]
fn a_flag_is_named_by_its_key() {
    for flag in [
        "centrifuge.apikey=hunter2",
        "centrifuge.api_key=${hunter2",
        "centrifuge.api_key:hunter2",
        "centrifuge.api_key hunter2=x",
        "hunter2",
        "=hunter2",
        "centrifuge.tls.key=hunter2",
        "server.env=hunter2",
        "secret=hunter2",
        "\"centrifuge.apikey='hunter2'\"",
        "centrifuge.pool=hunter2=",
    ] {
        let flag = flag.replace("pool=hunter2=", "pool=password=hunter2");
        let all = seen(&format!("{BEGIN}centrifuge: {{}}\n"), &[], &[&flag]);
        assert!(!all.contains(SECRET), "{flag}\n{all}");
    }
    let all = seen(BEGIN, &[], &["centrifuge.apikey=x"]);
    assert!(all.contains("-o centrifuge.apikey: unknown key; did you mean `api_key`?"), "{all}");
}

#[test]
fn a_dotenv_file_is_named_by_its_lines() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".rr.yaml");
    std::fs::write(&path, format!("{BEGIN}centrifuge: {{}}\nenvfile: .env\n")).unwrap();
    std::fs::write(folder.path().join(".env"), "A=b\nSECRET='hunter2\nB=hunter2\n").unwrap();
    let error = load(&Sources { path, ..Sources::default() }).unwrap_err().to_string();
    assert!(error.contains(".env:2: unterminated quoted value"), "{error}");
    assert!(!error.contains(SECRET), "{error}");
}

#[test]
fn hiding_a_short_value_leaves_the_words_of_a_message_alone() {
    let text = format!("{WITH_COMMAND}centrifuge: {{}}\nmetrics: {{address: $V}}\n");
    let message = load_with(&text, &[("V", "e")], &[]).unwrap_err();
    assert!(message.ends_with("metrics.address: expected host:port, found \"${V}\""), "{message}");
}
