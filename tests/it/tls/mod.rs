//! Listeners with TLS and credentials, seen by real clients: Centrifugo, OpenSSL, Prometheus, and the command line.

mod admin;
mod operators;
mod proxy;

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{BINARY, ports};

/// An address that no other test uses, since its port is free for a while.
const HOST: &str = "127.0.1.4";

fn free_port() -> u16 {
    ports::free_port(HOST)
}

/// What `openssl s_client` prints of a connection to this address; `None` if it is not installed.
fn s_client(folder: &Path, address: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new("openssl")
        .args(["s_client", "-connect", address, "-CAfile", "ca.pem", "-verify_return_error"])
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output();
    let Ok(output) = output else {
        eprintln!("skipped: there is no openssl");
        return None;
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(text(&output.stdout) + &text(&output.stderr))
}

/// Runs a command. Returns whether it succeeded, and what it printed.
fn run(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let output =
        Command::new(BINARY).args(arguments).current_dir(folder).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

#[track_caller]
fn succeeds(folder: &Path, arguments: &[&str]) -> String {
    let (has_succeeded, said) = run(folder, arguments);
    assert!(has_succeeded, "{arguments:?}: {said}");
    said
}

#[track_caller]
fn fails(folder: &Path, arguments: &[&str]) -> String {
    let (has_succeeded, said) = run(folder, arguments);
    assert!(!has_succeeded, "{arguments:?}: {said}");
    said
}
