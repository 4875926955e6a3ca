//! The program under RoadRunner's name: scripts that call `./rr` go on working.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::{BINARY, worker};

fn rr(folder: &Path, args: &[&str]) -> Output {
    if !folder.join("rr").exists() {
        symlink(BINARY, folder.join("rr")).unwrap();
    }
    Command::new("./rr").args(args).current_dir(folder).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn help_versions_and_mistakes_are_as_scripts_know_them() {
    let folder = tempfile::tempdir().unwrap();
    let ran = |args: &[&str]| {
        let output = rr(folder.path(), args);
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    };
    for args in [&[][..], &["help"], &["--help"], &["-h"]] {
        let (code, out, err) = ran(args);
        assert_eq!((code, &*err), (0, ""), "{args:?}");
        assert!(out.contains("Usage: rr ") && !out.contains("causeway "), "{out}");
    }
    // Tools read the version of RoadRunner that this stands for.
    for args in [["-v"], ["--version"]] {
        let (code, out, _) = ran(&args);
        assert_eq!(code, 0);
        assert!(out.starts_with("rr version 2025.1.15 (Causeway "), "{out}");
    }
    for args in [&["nope"][..], &["serve", "--nope"], &["serve", "-c"], &["workers"], &["jobs", "--list"]] {
        let (code, out, err) = ran(args);
        assert_eq!((code, &*out), (1, ""), "{args:?}: {err}");
        assert!(!err.is_empty() && !err.contains("causeway"), "{err}");
    }
    let (code, out, _) = ran(&["completion", "bash"]);
    assert!(code == 0 && out.contains("_rr"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_s_own_calls_serve_watch_reset_and_stop() {
    let setup = worker().pool("num_workers: 2").more("rpc: {listen: unix://rpc.sock}\n");
    symlink(BINARY, setup.path("rr")).unwrap();
    // Flags of RoadRunner before and behind the command.
    let mut server = setup.through(&["sh", "-c", "exec ./rr -p -c .rr.yaml serve -w . -d"]).start();
    let folder = server.folder.path();
    let workers = rr(folder, &["workers", "-c", ".rr.yaml"]);
    assert!(text(&workers.stdout).starts_with("Workers of [centrifuge]:\n"), "{workers:?}");
    let reset = rr(folder, &["reset", "centrifuge"]);
    assert!(reset.status.success(), "{reset:?}");
    let stop = rr(folder, &["stop", "-s"]);
    assert!(stop.status.success() && stop.stdout.is_empty(), "{stop:?}");
    assert!(server.exit().await.success());
    let again = rr(server.folder.path(), &["stop"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).starts_with("rr: there is no "), "{again:?}");
}
