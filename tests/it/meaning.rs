//! Files, flags and variables mean what their authors meant, and what is said about them holds no secrets.

use std::process::{Command, Output};

use tempfile::TempDir;

use crate::support::{BINARY, folder, worker};

fn run(folder: &TempDir, args: &[&str]) -> Output {
    Command::new(BINARY).args(args).env("V", "hunter2").current_dir(folder.path()).output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

const GOOD: &str = "version: '3'\nserver: {command: 'sh -c true'}\ncentrifuge: {}\n";

#[test]
fn neither_check_nor_serve_prints_a_secret() {
    let commands = [
        "/nonexistent/php --token hunter2",
        "/nonexistent/php -phunter2",
        "/nonexistent/php ${V}",
        "FOO_TOKEN=hunter2 php app.php",
        "/nonexistent/php http://u:hunter2@h/?api_key=hunter2",
        "sh -c 'exit 3' --password=hunter2",
        "sh -c 'exit 3' $V",
    ];
    for command in commands {
        let text_of_file = format!(
            "version: '3'\nserver:\n  command: \"{command}\"\ncentrifuge:\n  proxy_address: tcp://127.0.0.1:0\n  \
             apikey: hunter2\n  api_key: 'x${{hunter2'\n  pool: {{num_workers: 1}}\n"
        );
        let folder = folder(&[(".rr.yaml", &text_of_file)]);
        for command_line in ["check", "serve"] {
            // Only the start of a program that is there takes place.
            let output = run(&folder, &[command_line, "-o", "centrifuge.apikeys=hunter2", "-o", "hunter2"]);
            assert!(!text(&output).contains("hunter2"), "{command}\n{}", text(&output));
            let output = run(&folder, &[command_line]);
            assert!(!text(&output).contains("hunter2"), "{command}\n{}", text(&output));
            assert!(text(&output).contains("did you mean `api_key`?"), "{}", text(&output));
        }
    }
    let folder = folder(&[(".rr.yaml", GOOD), (".env", "A=b\nB='hunter2\nC=hunter2\n")]);
    let output = run(&folder, &["check", "--dotenv", ".env"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains(".env:2: "), "{}", text(&output));
    assert!(!text(&output).contains("hunter2"), "{}", text(&output));
}

#[test]
fn no_command_prints_the_value_of_a_variable_in_a_setting() {
    let lines = [
        "logs: {file_logger_options: {log_output: /proc/$V}}",
        "logs: {output: /proc/$V}",
        "logs: {output: ['/proc/${V}/x', stderr]}",
        "logs: {channels: {rpc: {output: '/proc/${V}'}}}",
        "centrifuge.proxy_address: 'unix:///proc/${V}'",
        "centrifuge.proxy_address: 'unix:///proc/${V}/x'",
        "centrifuge.proxy_address: 'tcp://192.0.2.1:${V}'",
        "centrifuge.proxy_address: 'unix://${V}.sock'",
        "centrifuge.grpc_api_address: '${V}.invalid:10000'",
        "centrifuge.tls: {root_ca: '/proc/${V}', cert: '${V}.pem', key: '${V}.pem'}",
        "rpc.listen: 'unix:///proc/$V'",
        "rpc.listen: 'unix:///proc/$V/x'",
        "rpc.listen: 'tcp://${V}.invalid:1'",
        "rpc.listen: 'unix://${V}.sock'",
        "server.relay: 'unix:///proc/$V'",
        "server.relay: 'unix://${V}.sock'",
        "server.user: $V",
        "server.group: $V",
        "server.on_init: {command: '/proc/$V'}",
        "metrics.address: '${V}.invalid:1'",
        "metrics.collect: {m: {type: $V}}",
        "status.address: '${V}.invalid:1'",
        "include: ['${V}.yaml']",
        "include: ['${V}.bad.yaml']",
        "envfile: '${V}.env'",
        "envfile: '${V}.bad.env'",
        "centrifuge.pool.command: '/proc/$V/php app.php'",
        "centrifuge.pool.command: '${V} app.php'",
        "centrifuge.pool.watch: ['/${V}/**/[']",
    ];
    for line in lines {
        let proxy =
            if line.contains("proxy_address") { "" } else { "centrifuge.proxy_address: tcp://127.0.0.1:0\n" };
        let file = format!(
            "version: '3'\nserver.command: 'sh -c true'\n{line}\n{proxy}centrifuge.pool.num_workers: 1\n"
        );
        let bad = ("a: [\n", "A='x\n");
        let folder = folder(&[(".rr.yaml", &file), ("hunter2.bad.yaml", bad.0), ("hunter2.bad.env", bad.1)]);
        let commands: [&[&str]; 7] = [
            &["check"],
            &["serve"],
            &["workers"],
            &["reset"],
            &["stop"],
            &["publish", "news", "{}"],
            &["call", "rpc", "--method", "x", "--timeout", "100ms"],
        ];
        for command in commands {
            let output = text(&run(&folder, command));
            // In the log of a server, an address at which it listens is no message about a setting.
            let mut messages = output.lines().filter(|message| !message.contains("\tlistening\t"));
            assert!(messages.all(|message| !message.contains("hunter2")), "{line}\n{command:?}\n{output}");
        }
    }
}

#[test]
fn an_error_of_the_start_has_the_place_of_its_setting() {
    let rotated = "version: '3'\nserver: {command: 'sh -c true'}\nlogs:\n  file_logger_options:\n    log_output: /proc/x-$V\ncentrifuge: {}\n";
    let folder = folder(&[(".rr.yaml", rotated)]);
    let output = text(&run(&folder, &["serve"]));
    let message = ".rr.yaml:5: logs.file_logger_options.log_output: cannot open the log /proc/x-${V}: ";
    assert!(output.contains(message), "{output}");
}

#[test]
fn empty_paths_count_as_not_given_and_flags_may_set_required_keys() {
    let folder = folder(&[(".rr.yaml", "server: {command: 'sh -c true'}\n")]);
    let args = ["check", "--dotenv", "", "-w", "", "-o", "version=3", "-o", "centrifuge.name=x"];
    let output = run(&folder, &args);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}

#[test]
fn a_configuration_file_without_its_flag_causes_a_hint() {
    let folder = folder(&[("app.rr.yaml", GOOD)]);
    for args in [&["serve", "app.rr.yaml"][..], &["app.rr.yaml"], &["serve", "nope.yml"]] {
        let output = run(&folder, args);
        let file = args.last().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output).contains(&format!("causeway serve -c {file}")), "{}", text(&output));
    }
    assert!(!text(&run(&folder, &["serve", "nope"])).contains(" -c nope"));
}

#[test]
fn check_reports_a_number_that_is_read_as_seconds() {
    let folder = folder(&[(".rr.yaml", &GOOD.replace("{}", "{pool: {reset_timeout: 10}}"))]);
    let output = run(&folder, &["check"]);
    let line = "warning: .rr.yaml:3: centrifuge.pool.reset_timeout: 10 is read as 10 seconds; write 10s";
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output).contains(line), "{}", text(&output));
}

#[test]
fn a_reset_works_with_the_timeout_of_a_tutorial() {
    let server = worker().pool("num_workers: 1, reset_timeout: 10").rpc().start();
    server.wait_for_output("centrifuge.pool.reset_timeout: 10 is read as 10 seconds; write 10s");
    let output = Command::new(BINARY)
        .args(["reset", "--address", &server.rpc_address()])
        .current_dir(server.folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}
