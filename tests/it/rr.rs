//! The program under RoadRunner's name: scripts that call `./rr` keep working.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use bytes::BytesMut;
use causeway::goridge::{Decoder, Flags, Item, StreamBits, encode};
use serde_json::json;

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
fn help_versions_and_mistakes_are_as_scripts_expect() {
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
    // Tools read the version of RoadRunner from it.
    for args in [["-v"], ["--version"]] {
        let (code, out, _) = ran(&args);
        assert_eq!(code, 0);
        assert!(out.starts_with("rr version 2025.1.15 (Causeway "), "{out}");
    }
    let under_3 =
        Command::new("./rr").arg("-v").env("CAUSEWAY_COMPAT", "3").current_dir(&folder).output().unwrap();
    assert!(text(&under_3.stdout).starts_with("rr version 3.2.0 (Causeway "), "{under_3:?}");
    for args in [&["nope"][..], &["serve", "--nope"], &["serve", "-c"], &["workers"], &["jobs", "--list"]] {
        let (code, out, err) = ran(args);
        assert_eq!((code, &*out), (1, ""), "{args:?}: {err}");
        assert!(!err.is_empty() && !err.contains("causeway"), "{err}");
    }
    let (code, out, _) = ran(&["completion", "bash"]);
    assert!(code == 0 && out.contains("_rr"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_s_own_scripts_serve_watch_reset_and_stop() {
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

/// Answers like RoadRunner 2025.1.15, which knows nothing of the `causeway` service.
fn answer(mut stream: TcpStream) {
    let (mut decoder, mut input, mut chunk) = (Decoder::strict(1 << 20), BytesMut::new(), [0; 4096]);
    while let Ok(read @ 1..) = stream.read(&mut chunk) {
        input.extend_from_slice(&chunk[..read]);
        while let Some(Item::Frame(call)) = decoder.decode(&mut input).unwrap() {
            let name = &call.payload[..call.options.as_slice()[1] as usize];
            let worker =
                |pid: u32, created: u64| json!({"pid": pid, "created": created, "statusStr": "ready"});
            let result = match text(name).as_str() {
                "informer.List" | "resetter.List" => json!(["http", "centrifuge"]),
                "informer.Workers" if call.payload.ends_with(b"\"http\"") => json!({"workers": null}),
                "informer.Workers" => json!({"workers": [worker(8, 20), worker(9, 10)]}),
                "resetter.Reset" => json!(true),
                _ => json!(null),
            };
            let (flags, body) = match &result {
                result if result.is_null() => {
                    (Flags::JSON | Flags::ERROR, format!("rpc: can't find service {}", text(name)))
                }
                result => (Flags::JSON, result.to_string()),
            };
            let mut reply = BytesMut::new();
            encode(&mut reply, flags, StreamBits::empty(), call.options, &[name, body.as_bytes()]).unwrap();
            stream.write_all(&reply).unwrap();
        }
    }
}

#[test]
fn commands_operate_roadrunner_s_own_server_too() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.incoming().flatten().for_each(answer));
    let folder = tempfile::tempdir().unwrap();
    let config = format!("version: '3'\nrpc: {{listen: 'tcp://:{port}'}}\n");
    std::fs::write(folder.path().join(".rr.yaml"), config).unwrap();

    let all = rr(folder.path(), &["workers", "--json"]);
    let all: serde_json::Value = serde_json::from_slice(&all.stdout).unwrap();
    let pids: Vec<_> = all["workers"].as_array().unwrap().iter().map(|worker| &worker["pid"]).collect();
    assert_eq!(pids, [9, 8], "the oldest first");
    assert!(all.get("stats").is_none(), "{all}");
    let tables = text(&rr(folder.path(), &["workers"]).stdout);
    assert!(tables.find("[http]").unwrap() < tables.find("[centrifuge]").unwrap(), "{tables}");
    let reset = text(&rr(folder.path(), &["reset"]).stdout);
    assert_eq!(reset.matches(": all workers were replaced").count(), 2, "{reset}");
    let stop = rr(folder.path(), &["stop"]);
    assert_eq!(stop.status.code(), Some(1));
    assert!(text(&stop.stderr).contains("is not Causeway"), "{stop:?}");
}
