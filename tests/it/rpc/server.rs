//! Who may call, over what, and how calls stand side by side.

use std::os::unix::fs::PermissionsExt as _;

use causeway::goridge::Flags;
use serde_json::json;

use crate::support::{json, worker};

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_file_is_created_with_its_mode_and_removed_at_shutdown() {
    for (mode, expected) in [("", 0o660), (", socket_mode: 0600", 0o600)] {
        let setup = worker().more(&format!("rpc: {{listen: unix://rpc.sock{mode}}}\n"));
        let path = setup.path("rpc.sock");
        // A file that an earlier server has left behind.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let mut server = setup.start();
        let mut caller = server.caller().await;
        assert_eq!(caller.json("informer.List", &json!(true)).await, Ok(json!(["centrifuge"])));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, expected);
        server.signal(nix::sys::signal::Signal::SIGTERM);
        server.exit().await;
        assert!(!path.exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_get_the_address_and_can_call_before_they_are_ready() {
    let server = worker().rpc().start();
    let client = server.client().await;
    let environment = json(&client.rpc("env", "").await.unwrap());
    assert_eq!(environment["RR_RPC"], server.rpc_address());
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_about_the_pool_wait_until_the_workers_are_ready() {
    let setup = worker().rpc();
    let gate = setup.path("gate");
    let server = setup.env("BOOT_WAITS", &gate.display().to_string()).spawn();
    let mut caller = server.caller().await;
    let workers = caller.begin(Flags::JSON, "informer.Workers", b"\"centrifuge\"").await;
    let version = caller.begin(Flags::JSON, "rpc.Version", b"true").await;
    assert_eq!(caller.next().await.unwrap().sequence, version);
    std::fs::write(gate, "").unwrap();
    let reply = caller.next().await.unwrap();
    assert_eq!(reply.sequence, workers);
    assert_eq!(json(&reply.text())["workers"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_arrive_as_they_are_ready() {
    let server = worker().rpc().env("BOOT_TAKES", "0.3").start();
    let mut caller = server.caller().await;
    let reset = caller.begin(Flags::JSON, "resetter.Reset", b"\"centrifuge\"").await;
    for _ in 0..500 {
        caller.begin(Flags::JSON, "rpc.Version", b"true").await;
    }
    let mut order = Vec::new();
    for _ in 0..501 {
        order.push(caller.next().await.unwrap().sequence);
    }
    assert_ne!(order[0], reset);
    order.sort_unstable();
    assert_eq!(order, (1..=501).collect::<Vec<u32>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_calls_in_flight_may_have_one_sequence() {
    let server = worker().rpc().start();
    let mut caller = server.caller().await;
    let twice = crate::support::rpc::frame(Flags::JSON, 7, "rpc.Version", b"true").repeat(2);
    caller.send(&twice).await;
    for _ in 0..2 {
        assert_eq!(caller.next().await.unwrap().sequence, 7);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_answered_after_the_client_has_closed_its_side() {
    let server = worker().rpc().env("BOOT_TAKES", "0.2").start();
    let mut caller = server.caller().await;
    caller.begin(Flags::JSON, "resetter.Reset", b"\"centrifuge\"").await;
    caller.hang_up_sending().await;
    assert_eq!(caller.next().await.unwrap().text(), "true");
    assert_eq!(caller.next().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_refused() {
    let server = worker().more("rpc: {listen: 'tcp://127.0.0.1:0', allow: [10.0.0.0/8]}\n").start();
    let mut caller = server.caller().await;
    caller.begin(Flags::JSON, "rpc.Version", b"true").await;
    assert_eq!(caller.next().await, None);
    server.wait_for_output("connection refused: peer is not in an allowed network");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_reachable_from_other_machines_causes_a_warning() {
    let server = worker().more("rpc: {listen: 'tcp://0.0.0.0:0'}\n").start();
    let warning = server.wait_for_output("reachable from other machines");
    assert!(warning.contains("publish to any channel") && warning.contains("rpc.allow"), "{warning}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_in_use_is_reported() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mut server = worker().more(&format!("rpc: {{listen: 'tcp://{address}'}}\n")).spawn();
    server.wait_for_output(&format!("rpc.listen: cannot listen on tcp://{address}"));
    assert_eq!(server.exit().await.code(), Some(1));
}
