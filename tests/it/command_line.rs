//! Commands, their words and their exit codes.

use std::process::{Command, Output};

use crate::support::{BINARY, worker};

fn run(args: &[&str], config: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(".rr.yaml"), config).unwrap();
    Command::new(BINARY).args(args).current_dir(folder.path()).output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

const GOOD: &str = "version: '3'\nserver: {command: 'sh -c true'}\ncentrifuge: {}\n";

#[test]
fn a_mistake_in_the_configuration_is_exit_code_2_and_starts_nothing() {
    for (config, words) in [
        ("version: 3\n", ".rr.yaml:1: version: expected a string"),
        ("server: {command: x}\n", "version: missing"),
        ("version: '3'\ncentrifuge: {}\n", "server.command: missing"),
        (
            "version: '3'\nserver: {command: x}\ncentrifuge: {pool: {num_workers: x}}\n",
            ".rr.yaml:3: centrifuge.pool.num_workers",
        ),
        ("a: [", "invalid YAML"),
    ] {
        for command in ["serve", "check"] {
            let output = run(&[command], config);
            assert_eq!(output.status.code(), Some(2), "{}", text(&output));
            assert!(text(&output).contains(words), "{}", text(&output));
        }
    }
    let output = Command::new(BINARY).args(["serve", "-c", "/nonexistent/.rr.yaml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("/nonexistent/.rr.yaml"), "{}", text(&output));
}

#[test]
fn check_shows_what_would_run() {
    let output = run(&["check", "-o", "centrifuge.pool.num_workers=3"], GOOD);
    let shown = text(&output);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    assert!(shown.contains("3 x `sh -c true`") && shown.contains("/sh\n"), "{shown}");
    let output = run(&["check"], &GOOD.replace("sh -c true", "nosuchprogram"));
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("`nosuchprogram` is not found in PATH"), "{}", text(&output));
}

#[test]
fn unknown_commands_and_flags_are_exit_code_2() {
    for args in [
        &["nope"][..],
        &["serve", "--nope"],
        &["call"],
        &["call", "nope"],
        &["call", "rpc", "--data", "{"],
        &[],
    ] {
        assert_eq!(run(args, GOOD).status.code(), Some(2), "{args:?}");
    }
    for args in [["--help"], ["--version"]] {
        let output = run(&args, GOOD);
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output).contains("causeway"));
    }
}

#[test]
fn a_call_without_a_server_is_one_line_and_exit_code_1() {
    let output = run(&["call", "rpc", "--address", "127.0.0.1:1"], GOOD);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output),
        "causeway: cannot connect to tcp://127.0.0.1:1: Connection refused (os error 111)\n"
    );
}

#[test]
fn a_call_that_fails_shows_its_status() {
    let server = worker().start();
    let output = run(&["call", "rpc", "--method", "error:no luck", "--address", server.address()], GOOD);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output), "causeway: Internal: no luck\n");
    let output = run(
        &["call", "rpc", "--method", "sleep:5", "--timeout", "200ms", "--address", server.address()],
        GOOD,
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("DeadlineExceeded"), "{}", text(&output));
}

#[test]
fn headers_of_a_call_reach_the_worker() {
    let server = worker().start();
    let output = run(
        &[
            "call",
            "rpc",
            "--method",
            "context",
            "--header",
            "X-User=7",
            "--json",
            "--address",
            server.address(),
        ],
        GOOD,
    );
    assert!(text(&output).contains(r#""x-user":["7"]"#), "{}", text(&output));
}

#[test]
fn unknown_keys_are_logged_when_the_server_starts() {
    let server = worker().more("serve: {}\nhttp: {address: x}\n").start();
    server.wait_for_output("did you mean `server`?");
    server.wait_for_output("not supported: http");
}
