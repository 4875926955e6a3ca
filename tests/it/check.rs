//! `check` finds what would keep `serve` from starting, and both say it in the same words.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::support::{BINARY, folder, worker};

fn run(command: &str, folder: &Path) -> Output {
    Command::new(BINARY)
        .arg(command)
        .current_dir(folder)
        .env("PATH", "/usr/bin:/bin")
        .env("WORD", "from-the-environment")
        .output()
        .unwrap()
}

fn stderr(output: &Output, folder: &Path) -> String {
    String::from_utf8_lossy(&output.stderr).replace(&folder.display().to_string(), "DIR")
}

/// What `check` says to a configuration that cannot be used; that `serve` says the same, and nothing else, is checked here.
fn refused(folder: &TempDir) -> String {
    let path = folder.path();
    let [check, serve] = ["check", "serve"].map(|command| run(command, path));
    let text = stderr(&check, path);
    assert_eq!(check.status.code(), Some(2), "{text}");
    assert_eq!(serve.status.code(), Some(2), "{text}");
    assert_eq!(stderr(&serve, path), text);
    assert_eq!((check.stdout.len(), serve.stdout.len()), (0, 0));
    text
}

fn refused_text(text: &str) -> String {
    refused(&folder(&[(".rr.yaml", text)]))
}

/// What `check` prints for a configuration that can be used.
fn accepted(folder: &TempDir) -> String {
    let output = run("check", folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output, folder.path()));
    assert_eq!(stderr(&output, folder.path()), "");
    String::from_utf8_lossy(&output.stdout).replace(&folder.path().display().to_string(), "DIR")
}

#[test]
fn all_mistakes_of_a_file_are_reported_in_one_run() {
    insta::assert_snapshot!(refused_text(
        "version: 3
server:
  comand: sh
  relay: udp://x:1
  env: {A=B: c}
rpc:
  listen: nowhere
  socket_mode: rwx
  allow: [10.0.0.0/8, x]
logs: {encoding: xml, level: [7]}
metrics:
  address: http://127.0.0.1:2112
  collect:
    a: {type: meter}
    b: {help: b}
status: {address: 127.0.0.1, unavailable_status_code: 42}
endure: {grace_period: soon}
"
    ), @r#"
causeway: .rr.yaml:1: version: expected a string, found a number; write version: '3'
causeway: .rr.yaml:1: centrifuge: missing section: there is nothing to serve
causeway: .rr.yaml:3: server.command: missing: expected a command such as "php app.php"
causeway: .rr.yaml:4: server.relay: expected pipes, tcp://host:port or unix://path, found "udp://x:1"
causeway: .rr.yaml:5: server.env.a...: not a valid name of an environment variable
causeway: .rr.yaml:7: rpc.listen: expected tcp://host:port or unix://path, found "nowhere"
causeway: .rr.yaml:8: rpc.socket_mode: expected permissions such as 0660, found "rwx"
causeway: .rr.yaml:9: rpc.allow[1]: expected a network such as 10.0.0.0/8, found "x"
causeway: .rr.yaml:10: logs.encoding: expected one of console, json, found "xml"
causeway: .rr.yaml:10: logs.level: expected a word, found a list
causeway: .rr.yaml:12: metrics.address: expected host:port, found "http://127.0.0.1:2112"
causeway: .rr.yaml:14: metrics.collect.a.type: expected one of counter, gauge, histogram, summary, found "meter"
causeway: .rr.yaml:15: metrics.collect.b.type: missing
causeway: .rr.yaml:16: status.address: expected host:port, found "127.0.0.1"
causeway: .rr.yaml:16: status.unavailable_status_code: expected an HTTP status from 400 to 599, found "42"
causeway: .rr.yaml:17: endure.grace_period: expected a duration such as 300ms, 1.5s or 1h30m, found "soon": a number is missing
causeway: warning: .rr.yaml:3: server.comand: unknown key; did you mean `command`?
"#);
}

#[test]
fn addresses_that_cannot_be_listened_on_are_mistakes() {
    let long = format!(
        "version: '3'\nserver: {{command: sh, relay: 'unix://{}'}}\ncentrifuge: {{proxy_address: unix://no/such.sock}}\nrpc: {{listen: 'tcp://192.0.2.1:6001'}}\nmetrics: {{address: '192.0.2.1:2112'}}\nstatus: {{address: '[2001:db8::1]:34333'}}\n",
        "x".repeat(108)
    );
    insta::assert_snapshot!(refused_text(&long), @r#"
causeway: .rr.yaml:2: server.relay: cannot listen on unix://xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...: the path has 108 bytes, and that of a socket may have 107
causeway: .rr.yaml:3: centrifuge.proxy_address: cannot listen on unix://no/such.sock: the directory DIR/no does not exist
causeway: .rr.yaml:4: rpc.listen: cannot listen on tcp://192.0.2.1:6001: 192.0.2.1 is not an address of this machine
causeway: .rr.yaml:5: metrics.address: cannot listen on tcp://192.0.2.1:2112: 192.0.2.1 is not an address of this machine
causeway: .rr.yaml:6: status.address: cannot listen on tcp://[2001:db8::1]:34333: 2001:db8::1 is not an address of this machine
"#);
    let folder = folder(&[
        (
            ".rr.yaml",
            "version: '3'\nserver: {command: sh}\ncentrifuge: {proxy_address: unix://taken}\nrpc: {listen: unix://taken/rpc.sock}\n",
        ),
        ("taken", ""),
    ]);
    insta::assert_snapshot!(refused(&folder), @r#"
causeway: .rr.yaml:3: centrifuge.proxy_address: cannot listen on unix://taken: the file exists and is not a socket
causeway: .rr.yaml:4: rpc.listen: cannot listen on unix://taken/rpc.sock: DIR/taken is not a directory
"#);
}

#[test]
fn an_address_used_by_two_sections_is_a_mistake() {
    insta::assert_snapshot!(refused_text(
        "version: '3'
server: {command: sh, relay: tcp://:30000}
centrifuge: {}
rpc: {listen: tcp://127.0.0.1:2112}
metrics:
  address: 0.0.0.0:2112
status: {address: 127.0.0.1:6001}
"
    ), @r#"
causeway: .rr.yaml:2: server.relay: tcp://127.0.0.1:30000 is already used by centrifuge.proxy_address (.rr.yaml:3)
causeway: .rr.yaml:6: metrics.address: tcp://127.0.0.1:2112 is already used by rpc.listen (.rr.yaml:4)
causeway: warning: .rr.yaml:2: server.relay: the relay is reachable from other machines: until a worker has sent CAUSEWAY_RELAY_SECRET, a peer that sends the pid of a starting worker gets its requests; prefer tcp://127.0.0.1, a unix socket or pipes
"#);
    insta::assert_snapshot!(refused_text(
        "version: '3'
server: {command: sh, relay: unix://./a.sock}
centrifuge: {proxy_address: unix://a.sock}
"
    ), @r#"
causeway: .rr.yaml:2: server.relay: unix://a.sock is already used by centrifuge.proxy_address (.rr.yaml:3)
"#);
}

#[test]
fn check_reads_certificates_and_keys_too() {
    let pair = |name: &str| rcgen::generate_simple_self_signed(vec![name.into()]).unwrap();
    let (one, other) = (pair("one"), pair("other"));
    let (cert, key, strange) =
        (one.cert.pem(), one.signing_key.serialize_pem(), other.signing_key.serialize_pem());
    let text = |tls: &str| format!("version: '3'\nserver: {{command: sh}}\ncentrifuge:\n  tls: {{{tls}}}\n");
    let files = |tls: &str| {
        let folder = folder(&[
            (".rr.yaml", &text(tls)),
            ("cert.pem", &cert),
            ("key.pem", &key),
            ("strange.pem", &strange),
            ("text.pem", "hunter2\n"),
            ("broken.pem", "-----BEGIN CERTIFICATE-----\nhunter2!\n-----END CERTIFICATE-----\n"),
        ]);
        for key in ["key.pem", "strange.pem"] {
            let only_ours = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(folder.path().join(key), only_ours).unwrap();
        }
        folder
    };
    insta::assert_snapshot!(refused(&files("cert: no.pem, key: text.pem, root_ca: broken.pem, server_name: 'a b'")), @r#"
causeway: .rr.yaml:4: centrifuge.tls.root_ca: broken.pem is not PEM
causeway: .rr.yaml:4: centrifuge.tls.cert: there is no file no.pem
causeway: .rr.yaml:4: centrifuge.tls.key: no private key found in "text.pem"
causeway: .rr.yaml:4: centrifuge.tls.server_name: not a valid server name
"#);
    insta::assert_snapshot!(refused(&files("cert: cert.pem, key: strange.pem, root_ca: cert.pem")), @r#"
causeway: .rr.yaml:4: centrifuge.tls.key: the key in strange.pem does not belong to the certificate
"#);
    insta::assert_snapshot!(refused(&files("cert: cert.pem, root_ca: key.pem")), @r#"
causeway: .rr.yaml:4: centrifuge.tls.root_ca: no certificate found in "key.pem"
"#);
    accepted(&files("cert: cert.pem, key: key.pem, root_ca: cert.pem"));
}

#[test]
fn logs_that_cannot_be_opened_are_mistakes() {
    let folder = folder(&[
        (
            ".rr.yaml",
            "version: '3'
server: {command: sh}
centrifuge: {}
logs:
  output: [stderr, no/app.log]
  channels:
    server:
      file_logger_options: {log_output: taken/server.log}
    rpc: {output: .}
    app: {file_logger_options: {max_size: 5}}
    lock: {mode: off, output: no/lock.log}
",
        ),
        ("taken", ""),
    ]);
    insta::assert_snapshot!(refused(&folder), @r#"
causeway: .rr.yaml:5: logs.output[1]: cannot open the log no/app.log: the directory DIR/no does not exist
causeway: .rr.yaml:8: logs.channels.server.file_logger_options.log_output: cannot open the log taken/server.log: DIR/taken is not a directory
causeway: .rr.yaml:9: logs.channels.rpc.output: cannot open the log .: DIR/. is a directory
causeway: .rr.yaml:10: logs.channels.app.file_logger_options.log_output: missing: expected a file such as app.log
"#);
}

#[test]
fn api_addresses_that_are_invalid_in_grpc_are_mistakes() {
    for address in
        ["http://127.0.0.1:10000", "unix:///run/centrifugo.sock", "centrifugo", "dns://8.8.8.8/a:1"]
    {
        let text =
            format!("version: '3'\nserver: {{command: sh}}\ncentrifuge:\n  grpc_api_address: {address}\n");
        let said = refused_text(&text);
        let begin = "causeway: .rr.yaml:4: centrifuge.grpc_api_address: expected host:port";
        assert!(said.starts_with(begin) && said.lines().count() == 1, "{said}");
    }
    for address in ["dns:///127.0.0.1:10000", "passthrough:///127.0.0.1:10000", "tcp://127.0.0.1:10000"] {
        let text =
            format!("version: '3'\nserver: {{command: sh}}\ncentrifuge: {{grpc_api_address: '{address}'}}\n");
        let said = accepted(&folder(&[(".rr.yaml", &text)]));
        assert!(said.contains("api           127.0.0.1:10000\n"), "{said}");
    }
}

#[test]
fn commands_that_cannot_run_are_mistakes() {
    insta::assert_snapshot!(refused_text(
        "version: '3'
server:
  command: nosuchprogram --token hunter2
  on_init: {command: ./init.sh, exit_on_error: true}
centrifuge: {}
"
    ), @r#"
causeway: .rr.yaml:3: server.command: `nosuchprogram` is not found in PATH (/usr/bin:/bin)
causeway: .rr.yaml:4: server.on_init.command: `./init.sh` is not an executable file
"#);
    insta::assert_snapshot!(refused_text(
        "version: '3'
server: {command: sh, on_init: {exit_on_error: true}, env: {PATH: /nonexistent}}
centrifuge: {pool: {command: \"php\\0\"}}
"
    ), @r#"
causeway: .rr.yaml:2: server.on_init.command: missing
causeway: .rr.yaml:2: server.command: `sh` is not found in PATH (/nonexistent)
causeway: .rr.yaml:3: centrifuge.pool.command: expected a command without zero bytes
"#);
}

#[test]
fn a_hard_memory_limit_without_the_limit_that_it_multiplies_is_a_mistake() {
    let said = refused_text(
        "version: '3'
server: {command: sh}
centrifuge: {pool: {supervisor: {max_worker_memory_hard: 1.5}}}
",
    );
    let expected = "causeway: .rr.yaml:3: centrifuge.pool.supervisor.max_worker_memory_hard: is a multiple of max_worker_memory, which is not set\n";
    assert_eq!(said, expected);
}

#[test]
fn collectors_that_cannot_be_declared_are_mistakes() {
    insta::assert_snapshot!(refused_text(
        "version: '3'
server: {command: sh}
centrifuge: {}
metrics:
  collect:
    orders: {type: counter, labels: [a, a]}
    bad: {type: gauge, labels: ['']}
    process_x: {type: gauge, buckets: [1]}
"
    ), @r#"
causeway: .rr.yaml:6: metrics.collect.orders: duplicate label name "a" for metric "orders"
causeway: .rr.yaml:7: metrics.collect.bad: "" is not a valid label name for metric "bad"
causeway: .rr.yaml:8: metrics.collect.process_x: duplicate metrics collector registration attempted
"#);
}

#[test]
fn mistakes_in_other_files_are_reported_with_those_in_the_main_one() {
    let folder = folder(&[
        (
            ".rr.yaml",
            "version: '3'
include: [no.yaml, more.yaml]
envfile: no.env
server: {command: sh}
server: {command: bash}
lock: {driver: etcd}
",
        ),
        (
            "more.yaml",
            "version: '2.7'\ninclude: [x.yaml]\ncentrifuge: {pool: {num_workers: 501, watch: ['[']}}\n",
        ),
    ]);
    insta::assert_snapshot!(refused(&folder), @r#"
causeway: .rr.yaml:2: include: cannot read no.yaml: No such file or directory (os error 2)
causeway: .rr.yaml:3: envfile: cannot read no.env: No such file or directory (os error 2)
causeway: .rr.yaml:5: server: duplicate key, first used in line 4
causeway: .rr.yaml:6: lock.driver: unsupported lock driver: "etcd"; expected memory or redis
causeway: more.yaml:1: version: expected the version of the main file, '3', found '2.7'
causeway: more.yaml:3: centrifuge.pool.num_workers: expected at most 500 workers
causeway: more.yaml:3: centrifuge.pool.watch[0]: error parsing glob '[': unclosed character class; missing ']'
causeway: warning: more.yaml:2: include: has no effect in an included file: only that of the main file is read
"#);
}

#[test]
fn users_that_do_not_exist_are_mistakes() {
    if !nix::unistd::Uid::effective().is_root() {
        let said = refused_text("version: '3'\nserver: {command: sh, user: nobody}\ncentrifuge: {}\n");
        assert_eq!(
            said,
            "causeway: .rr.yaml:2: server.user: only root can run workers as another user or group\n"
        );
        return;
    }
    insta::assert_snapshot!(refused_text(
        "version: '3'
server:
  command: sh
  user: nosuchuser
  group: nosuchgroup
  groups: [daemon, nosuchgroup2]
  umask: '0999'
  on_init: {command: sh, user: nosuchuser2}
centrifuge: {}
"
    ), @r#"
causeway: .rr.yaml:4: server.user: there is no user `nosuchuser`
causeway: .rr.yaml:5: server.group: there is no group `nosuchgroup`
causeway: .rr.yaml:6: server.groups: there is no group `nosuchgroup2`
causeway: .rr.yaml:7: server.umask: expected a umask of three or four octal digits, such as 0027, found "0999"
causeway: .rr.yaml:8: server.on_init.user: there is no user `nosuchuser2`
"#);
}

/// What is odd about a configuration with which a server starts.
const ODD: &str = "rpc: {listen: unix://rpc.sock, allow: [10.0.0.0/8]}
status: {address: 127.0.0.1:0, check_timeout: 5}
otel: {exporter: zipkin}
service: {centrifugo: {command: ./centrifugo --api_key hunter2}}
http: {address: x}
serve: {}
logs: {err_output: stdout, channels: {sever: {level: info}}}
";

#[test]
fn check_warns_of_what_serve_warns_of() {
    let setup = worker().centrifuge("name: bridge").more(ODD);
    let server = setup.start();
    let output = run("check", server.folder.path());
    let text = String::from_utf8_lossy(&output.stdout);
    let warnings: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("warning: ")).collect();
    for warning in &warnings {
        server.wait_for_output(warning);
    }
    insta::assert_snapshot!(warnings.join("\n"), @r#"
.rr.yaml:8: centrifuge.name: has no effect: this name is not used
.rr.yaml:10: rpc.allow: has no effect on a unix socket: its permissions (rpc.socket_mode) say who may connect
.rr.yaml:11: status.check_timeout: has no effect: checks answer immediately
.rr.yaml:12: otel.exporter: zipkin is not supported, and no spans are exported: use otlp, which collectors and Jaeger read
.rr.yaml:13: service: these programs are not started: centrifugo (`./centrifugo`); run them with systemd or as containers
.rr.yaml:14: sections of RoadRunner plugins that are not supported: http
.rr.yaml:15: serve: unknown section; did you mean `server`?
.rr.yaml:16: logs.err_output: has no effect: the log's own errors go to standard error
.rr.yaml:16: logs.channels.sever: unknown channel; did you mean `server`?
"#);
}

#[test]
fn swapped_addresses_are_noticed() {
    let text = "version: '3'\nserver: {command: sh}\ncentrifuge:\n  proxy_address: tcp://0.0.0.0:30123\n  grpc_api_address: localhost:30123\n";
    let said = accepted(&folder(&[(".rr.yaml", text)]));
    let line = said.lines().find(|line| line.contains("grpc_api_address"));
    insta::assert_snapshot!(line.unwrap(), @r#"
warning: .rr.yaml:5: centrifuge.grpc_api_address: this server itself listens there (centrifuge.proxy_address); expected the address of Centrifugo's gRPC API (grpc_api.port, 10000)
"#);
}

#[test]
fn an_address_in_use_is_found_by_serve_alone() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let text =
        format!("version: '3'\nserver: {{command: sh}}\ncentrifuge: {{proxy_address: 'tcp://{address}'}}\n");
    let folder = folder(&[(".rr.yaml", &text)]);
    accepted(&folder);
    let output = run("serve", folder.path());
    let said = stderr(&output, folder.path());
    assert_eq!(output.status.code(), Some(1), "{said}");
    let expected = format!(
        "causeway: .rr.yaml:3: centrifuge.proxy_address: cannot listen on tcp://{address}: Address already in use (os error 98)\n"
    );
    assert!(said.ends_with(&expected), "{said}");
}

#[test]
fn addresses_reachable_from_other_machines_are_reported_before_the_start() {
    let text = "version: '3'\nserver: {command: sh, relay: 'tcp://0.0.0.0:7000'}\ncentrifuge: {}\nrpc: {listen: 'tcp://:6001'}\n";
    let said = accepted(&folder(&[(".rr.yaml", text)]));
    assert!(
        said.contains("warning: .rr.yaml:2: server.relay: the relay is reachable from other machines"),
        "{said}"
    );
    assert!(
        said.contains("warning: .rr.yaml:4: rpc.listen: this address is reachable from other machines"),
        "{said}"
    );
    let text = "version: '3'\nserver: {command: sh, relay: 'tcp://localhost:7000'}\ncentrifuge: {}\nrpc: {listen: 'tcp://0.0.0.0:6001', allow: [10.0.0.0/8]}\n";
    let said = accepted(&folder(&[(".rr.yaml", text)]));
    assert!(!said.contains("other machines"), "{said}");
}

const POOLS: &str = "version: '3'
server: {command: cat}
centrifuge:
  pool: {num_workers: 4}
  pools:
    reports:
      match: {types: [rpc], methods: ['report.*', export]}
      command: [cat, reports, --password=hunter2]
      relay: unix://reports.sock
      num_workers: 2
      required: false
    chat: {match: {channels: ['chat:*']}, num_workers: 1}
    rest: {match: {types: [rpc, connect]}, num_workers: 1}
";

#[test]
fn the_routes_of_several_pools_are_a_table() {
    insta::assert_snapshot!(accepted(&folder(&[(".rr.yaml", POOLS)])), @"
    workers       4 x `cat`
    program       /usr/bin/cat
    directory     DIR
    relay         pipes
    proxy         tcp://127.0.0.1:30000
    api           127.0.0.1:10000
    rpc           none
    grace period  30s
    compat        2025 (default)
    pool          centrifuge.reports: 2 x `cat reports --password=***`, unix://reports.sock, not required
    pool          centrifuge.chat: 1 x `cat`, pipes
    pool          centrifuge.rest: 1 x `cat`, pipes
    route         pool               types        methods          channels
    1             centrifuge.reports rpc          report.*, export -
    2             centrifuge.chat    -            -                chat:*
    3             centrifuge.rest    rpc, connect -                -
    all other calls go to centrifuge
    ");
}

#[test]
fn check_route_says_which_pool_answers_a_call_and_why() {
    let folder = folder(&[(".rr.yaml", POOLS)]);
    let route = |arguments: &str| {
        let mut command = Command::new(BINARY);
        command.args(["check", "--route"]).args(arguments.split(' ')).current_dir(folder.path());
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let mut text = String::new();
    for arguments in
        ["rpc report.daily", "rpc sum", "SubRefresh chat:1", "publish news", "connect", "invented"]
    {
        let (code, answer) = route(arguments);
        assert_eq!(code, Some(0), "{answer}");
        text.push_str(&answer);
    }
    insta::assert_snapshot!(text, @"
    rpc report.daily is answered by centrifuge.reports
      centrifuge.reports: it matches types rpc and methods report.*, export
    rpc sum is answered by centrifuge.rest
      centrifuge.reports: the method matches none of report.*, export
      centrifuge.chat: calls of this type have no channel
      centrifuge.rest: it matches types rpc, connect
    subrefresh chat:1 is answered by centrifuge.chat
      centrifuge.reports: the type matches none of rpc
      centrifuge.chat: it matches channels chat:*
    publish news is answered by centrifuge
      centrifuge.reports: the type matches none of rpc
      centrifuge.chat: the channel matches none of chat:*
      centrifuge.rest: the type matches none of rpc, connect
      centrifuge: no other pool matches
    connect is answered by centrifuge.rest
      centrifuge.reports: the type matches none of rpc
      centrifuge.chat: calls of this type have no channel
      centrifuge.rest: it matches types rpc, connect
    invented is answered by centrifuge
      centrifuge.reports: the type matches none of rpc
      centrifuge.chat: calls of this type have no channel
      centrifuge.rest: the type matches none of rpc, connect
      centrifuge: no other pool matches
    ");
    let refused = (
        Some(2),
        "causeway: --route: calls of the type connect have neither a method nor a channel\n".to_owned(),
    );
    assert_eq!(route("connect chat:1"), refused);
}

#[test]
fn pools_that_no_call_can_reach_are_warnings() {
    let text = "version: '3'
server: {command: cat}
centrifuge:
  pools:
    none: {num_workers: 1}
    first: {match: {types: [connect]}}
    second: {match: {types: [rpc], methods: ['*']}}
    third: {match: {types: [rpc, connect]}}
    odd: {match: {methods: [a], channels: [b]}}
    optional: {match: {types: [refresh]}, command: no-such-program, user: nosuchuser, required: false}
";
    let shown = accepted(&folder(&[(".rr.yaml", text)]));
    let warnings: Vec<&str> = shown.lines().filter(|line| line.starts_with("warning")).collect();
    insta::assert_snapshot!(warnings.join("\n"), @"
    warning: .rr.yaml:5: centrifuge.pools.none.match: no call can reach this pool: expected types, methods or channels
    warning: .rr.yaml:8: centrifuge.pools.third.match: no call can reach this pool: its calls go to centrifuge.pools.first and centrifuge.pools.second
    warning: .rr.yaml:9: centrifuge.pools.odd.match: no call can reach this pool: no call has both a method and a channel
    warning: .rr.yaml:10: centrifuge.pools.optional.command: `no-such-program` is not found in PATH (/usr/bin:/bin)
    warning: .rr.yaml:10: centrifuge.pools.optional.user: there is no user `nosuchuser`
    ");
}

#[test]
fn mistakes_of_the_machine_are_found_in_pools_as_well() {
    let text = "version: '3'
server: {command: cat, relay: unix://a.sock}
centrifuge:
  pools:
    missing: {match: {types: [connect]}, command: no-such-program}
    shared: {match: {types: [rpc]}, user: daemon}
    taken: {match: {types: [publish]}, relay: 'tcp://127.0.0.1:30000'}
    same: {match: {types: [refresh]}, relay: 'unix://a.sock'}
    nowhere: {match: {types: [refresh]}, relay: 'unix://no/such/folder.sock'}
";
    insta::assert_snapshot!(refused_text(text), @"
    causeway: .rr.yaml:5: centrifuge.pools.missing.command: `no-such-program` is not found in PATH (/usr/bin:/bin)
    causeway: .rr.yaml:6: centrifuge.pools.shared.relay: workers of another user or group use the same socket (server.relay); expected another path
    causeway: .rr.yaml:7: centrifuge.pools.taken.relay: tcp://127.0.0.1:30000 is already used by centrifuge.proxy_address (.rr.yaml:4)
    causeway: .rr.yaml:9: centrifuge.pools.nowhere.relay: cannot listen on unix://no/such/folder.sock: the directory DIR/no/such does not exist
    causeway: warning: .rr.yaml:9: centrifuge.pools.nowhere.match: no call can reach this pool: its calls go to centrifuge.pools.same
    ");
}
