//! Files, flags and variables mean what their authors meant, and what is said about them holds no secrets.

use std::process::{Command, Output};

use tempfile::TempDir;

use crate::support::{BINARY, worker};

/// A folder with files; the configuration is one of them.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

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
