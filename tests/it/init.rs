//! `causeway init`: what it writes runs, with its own tests and behind a real Centrifugo.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::real_centrifugo::{HOST, RealCentrifugo, binary, free_port};
use crate::support::{BINARY, Server, python, repository};

const KINDS: [&str; 6] = ["php", "python", "laravel", "symfony", "fastapi", "django"];

/// A project that `init` has written.
struct Project(Arc<TempDir>);

impl Project {
    fn new(kind: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let output = causeway(folder.path(), &["init", kind]);
        assert!(output.status.success(), "{kind}: {}", String::from_utf8_lossy(&output.stderr));
        if kind == "php" {
            // In place of `composer install`.
            let autoload = format!(
                "<?php require_once '{}'; require_once __DIR__ . '/../src/Centrifugo/Chat.php';",
                repository().join("workers/php/autoload.php").display()
            );
            fs::create_dir(folder.path().join("vendor")).unwrap();
            fs::write(folder.path().join("vendor/autoload.php"), autoload).unwrap();
        }
        Self(Arc::new(folder))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Runs a command of the README.
    #[track_caller]
    fn run(&self, words: &[&str]) {
        let output = command(self.0.path(), words).output().unwrap();
        let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
        assert!(output.status.success(), "{words:?}\n{out}\n{err}");
    }

    /// Puts other addresses in place of those that other programs may use.
    fn listen_elsewhere(&self, api: u16) {
        let config = self.read(".rr.yaml");
        let config =
            config.replace("127.0.0.1:10001", "127.0.0.1:0").replace("127.0.0.1:6001", "127.0.0.1:0");
        let config = config.replace("127.0.0.1:10000", &format!("{HOST}:{api}"));
        fs::write(self.path(".rr.yaml"), config.replace("127.0.0.1:34333", "127.0.0.1:0")).unwrap();
    }
}

fn causeway(folder: &Path, args: &[&str]) -> Output {
    command(folder, &[BINARY]).args(args).stdin(Stdio::null()).output().unwrap()
}

/// A command that finds Python with the packages of the tests, and Causeway's package.
fn command(folder: &Path, words: &[&str]) -> Command {
    let mut path = OsString::from(Path::new(&python()).parent().unwrap());
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap());
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).current_dir(folder).env("PATH", path);
    command.env("PYTHONPATH", repository().join("workers/python/src")).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

fn call(server: &Server, args: &[&str]) -> Value {
    let output = causeway(
        server.folder.path(),
        &[&["call"], args, &["--json", "--address", server.address()]].concat(),
    );
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Tests the project with `test`, starts it and calls its handlers.
fn it_runs(kind: &str, test: &[&str]) -> (Project, Server) {
    let project = Project::new(kind);
    project.run(test);
    project.run(&[BINARY, "check"]);
    let api = free_port();
    project.listen_elsewhere(api);
    let server = Server::in_project(Arc::clone(&project.0), command(project.0.path(), &[BINARY]));
    let connect = call(&server, &["connect", "--data", r#"{"user":"ann"}"#]);
    assert_eq!(connect, json!({"result": {"user": "ann", "data": {"user": "ann"}}}), "{kind}");
    let hello = call(&server, &["rpc", "--method", "hello", "--user", "ann"]);
    assert_eq!(hello, json!({"result": {"data": {"hello": "ann"}}}), "{kind}");
    (project, server)
}

/// The same, then lets a client chat through a real Centrifugo with the project's configuration.
async fn it_runs_behind_centrifugo(kind: &str, test: &[&str]) {
    let (project, server) = it_runs(kind, test);
    let Some(binary) = binary() else { return };
    project.run(&[binary.to_str().unwrap(), "checkconfig", "--strict", "-c", "centrifugo/config.json"]);
    let port = free_port();
    let config = project.read("centrifugo/config.json").replace("127.0.0.1:10001", server.address());
    let mut config: Value = serde_json::from_str(&config).unwrap();
    config["http_server"] = json!({"address": HOST, "port": port.to_string()});
    let api = project.read(".rr.yaml");
    let api = api.split_once(&format!("{HOST}:")).unwrap().1.lines().next().unwrap();
    config["grpc_api"]["address"] = HOST.into();
    config["grpc_api"]["port"] = api.parse::<u16>().unwrap().into();
    config["client"]["allowed_origins"] = json!(["*"]);
    // Started as the README says, it has the secrets in its environment.
    let secrets = project.read("centrifugo/.env");
    let secrets = secrets.lines().filter(|line| !line.starts_with('#'));
    let secrets = secrets.map(|line| line.split_once('=').unwrap());
    let centrifugo = RealCentrifugo::start_with_env(&binary, port, config, secrets).await;
    let seen = centrifugo.play(&["project"]).await;
    let expected = json!({
        "connect": {"user": "ann"},
        "hello": {"hello": "ann"},
        "chat": "subscribed",
        "other": 403,
        "say": "said",
        "publication": {"from": "ann", "text": "hi"},
    });
    assert_eq!(seen, expected, "{kind}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_php_project_runs_behind_a_real_centrifugo() {
    it_runs_behind_centrifugo("php", &["phpunit", "--bootstrap", "vendor/autoload.php", "tests"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_project_runs_behind_a_real_centrifugo() {
    it_runs_behind_centrifugo("python", &["python3", "-m", "pytest"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fastapi_project_runs_behind_a_real_centrifugo() {
    it_runs_behind_centrifugo("fastapi", &["python3", "-m", "pytest"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_django_project_runs_behind_a_real_centrifugo() {
    it_runs_behind_centrifugo("django", &["python3", "manage.py", "test"]).await;
}

#[test]
fn files_for_laravel_and_symfony_are_valid() {
    for kind in ["laravel", "symfony"] {
        let project = Project::new(kind);
        project.run(&[BINARY, "check"]);
        let list = command(project.0.path(), &["find", ".", "-name", "*.php"]).output().unwrap();
        let list = String::from_utf8(list.stdout).unwrap();
        assert!(list.lines().count() > 1, "{list}");
        for file in list.lines() {
            project.run(&["php", "-l", file]);
        }
    }
}

#[test]
fn every_project_has_secrets_of_its_own_which_git_does_not_see() {
    let mut known = Vec::new();
    for kind in KINDS {
        let project = Project::new(kind);
        let mode = fs::metadata(project.path("centrifugo/.env")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{kind}");
        assert_eq!(project.read("centrifugo/.gitignore"), ".env\n");
        let secrets = project.read("centrifugo/.env");
        let secrets: Vec<_> = secrets.lines().filter_map(|line| line.split_once('=')).collect();
        assert_eq!(secrets.len(), 2, "{kind}");
        for (_, secret) in secrets {
            assert!(secret.len() == 64 && !known.contains(&secret.to_owned()), "{kind}");
            known.push(secret.to_owned());
        }
        let schema = causeway(project.0.path(), &["schema"]).stdout;
        assert_eq!(project.read("causeway.schema.json").into_bytes(), schema, "{kind}");
        let first = project.read(".rr.yaml").lines().next().unwrap().to_owned();
        assert_eq!(first, "# yaml-language-server: $schema=causeway.schema.json", "{kind}");
    }
}

#[test]
fn init_never_overwrites_and_then_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("app.php"), "mine").unwrap();
    fs::write(folder.path().join("README.md"), "mine").unwrap();
    let output = causeway(folder.path(), &["init", "php"]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.trim_end().ends_with("exist in .: README.md, app.php"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    assert_eq!(fs::read_to_string(folder.path().join("app.php")).unwrap(), "mine");
    // A second time in the directory of the first.
    let folder = tempfile::tempdir().unwrap();
    for code in [0, 1] {
        let output = causeway(folder.path(), &["init", "python", "deep/chat"]);
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn without_a_kind_and_a_terminal_init_lists_the_kinds() {
    let folder = tempfile::tempdir().unwrap();
    let output = causeway(folder.path(), &["init"]);
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(KINDS.iter().all(|kind| error.contains(kind)) && error.lines().count() == 1, "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn each_command_has_a_manual_page_that_man_reads() {
    let folder = tempfile::tempdir().unwrap();
    assert!(causeway(folder.path(), &["man", "man1"]).status.success());
    let pages: Vec<_> = fs::read_dir(folder.path().join("man1")).unwrap().map(|page| page.unwrap()).collect();
    let has = |name: &str| pages.iter().any(|page| page.file_name() == name);
    assert!(
        has("causeway.1") && has("causeway-serve.1") && has("causeway-init.1") && !has("causeway-jobs.1")
    );
    for page in pages {
        let path = page.path();
        let words = ["man", "--warnings=w", "-l", path.to_str().unwrap()];
        let Ok(output) = command(folder.path(), &words).env("MANWIDTH", "200").output() else {
            eprintln!("skipped: there is no man");
            return;
        };
        let warnings = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && warnings.is_empty(), "{}: {warnings}", path.display());
        assert!(String::from_utf8_lossy(&output.stdout).contains("SYNOPSIS"), "{}", path.display());
    }
}
