//! What operators do with the pool.

use causeway::goridge::Flags;
use serde_json::{Value, json};

use crate::support::rpc::Caller;
use crate::support::{PATIENCE, eventually, is_alive, json, worker};

async fn pids(caller: &mut Caller) -> Vec<u64> {
    let list = caller.json("informer.Workers", &json!("centrifuge")).await.unwrap();
    let workers = list["workers"].as_array().unwrap();
    let stays = |worker: &&Value| worker["statusStr"] != "stopping";
    workers.iter().filter(stays).map(|worker| worker["pid"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_are_listed_with_state_and_usage() {
    let server = worker().pool("num_workers: 2").rpc().start();
    let (client, mut caller) = (server.client().await, server.caller().await);
    assert_eq!(caller.json("informer.List", &json!(true)).await, Ok(json!(["centrifuge"])));
    assert_eq!(caller.json("resetter.List", &json!(true)).await, Ok(json!(["centrifuge"])));
    assert_eq!(caller.json("informer.Jobs", &json!("centrifuge")).await, Ok(json!([])));
    assert_eq!(caller.json("informer.Workers", &json!("nope")).await, Ok(json!({"workers": []})));
    let pid = client.worker_pid().await;
    let list = caller.json("informer.Workers", &json!("centrifuge")).await.unwrap();
    let workers = list["workers"].as_array().unwrap();
    assert_eq!(workers.len(), 2);
    let one = workers.iter().find(|worker| worker["pid"] == pid).unwrap();
    assert_eq!(
        (&one["status"], &one["statusStr"], &one["numExecs"]),
        (&json!(1), &json!("ready"), &json!(1))
    );
    assert!(one["command"].as_str().unwrap().contains("worker.py"), "{one}");
    assert!(one["memoryUsage"].as_u64().unwrap() > 1 << 20, "{one}");
    assert!(one["created"].as_u64().unwrap() > 1_700_000_000_000_000_000, "{one}");
    assert!(one["CPUPercent"].is_number(), "{one}");
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_are_added_and_removed_and_the_last_one_stays() {
    let server = worker().rpc().start();
    let mut caller = server.caller().await;
    let plugin = json!("centrifuge");
    assert_eq!(caller.json("informer.AddWorker", &plugin).await, Ok(json!(true)));
    let deadline = std::time::Instant::now() + PATIENCE;
    while pids(&mut caller).await.len() < 2 {
        assert!(std::time::Instant::now() < deadline, "the second worker has not come");
    }
    assert_eq!(caller.json("informer.RemoveWorker", &plugin).await, Ok(json!(true)));
    assert_eq!(caller.json("informer.RemoveWorker", &plugin).await, Ok(json!(false)));
    assert_eq!(pids(&mut caller).await.len(), 1);
    for method in ["informer.AddWorker", "informer.RemoveWorker"] {
        let error = caller.json(method, &json!("nope")).await.unwrap_err();
        assert_eq!(error, "plugin nope does not support workers management");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_resets_in_a_row_fail_no_request() {
    let server = worker().pool("num_workers: 2").rpc().start();
    let (client, mut caller) = (server.client().await, server.caller().await);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let load: Vec<_> = (0..4)
        .map(|name| {
            let (client, stopped) = (client.clone(), stopped.clone());
            tokio::spawn(async move {
                let mut sent = 0_u32;
                while !*stopped.borrow() {
                    let token = format!("\"{name}-{sent}\"");
                    assert_eq!(client.rpc("sleep:0.002", &token).await.unwrap(), token);
                    sent += 1;
                }
                sent
            })
        })
        .collect();
    for _ in 0..20 {
        let before = pids(&mut caller).await;
        assert_eq!(caller.json("resetter.Reset", &json!("centrifuge")).await, Ok(json!(true)));
        // The new ones are ready; an old one may still have a request in hand.
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let after = pids(&mut caller).await;
            if before.iter().all(|pid| !after.contains(pid)) {
                assert_eq!(after.len(), 2, "{before:?} {after:?}");
                break;
            }
            assert!(std::time::Instant::now() < deadline, "{before:?} {after:?}");
        }
    }
    stop.send_replace(true);
    for caller in load {
        assert!(caller.await.unwrap() > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_to_code_that_does_not_boot_fails_with_the_reason_and_keeps_the_workers() {
    let (setup, flag) = worker().rpc().boots_unless("NO_BOOT");
    let server = setup.start();
    let (client, mut caller) = (server.client().await, server.caller().await);
    let before = client.worker_pid().await;
    std::fs::write(&flag, "").unwrap();
    let error = caller.json("resetter.Reset", &json!("centrifuge")).await.unwrap_err();
    assert!(error.contains("worker.py") && error.contains("exit status"), "{error}");
    assert_eq!(client.worker_pid().await, before);
    let error = caller.json("resetter.Reset", &json!("nope")).await.unwrap_err();
    assert_eq!(error, "resetter_rpc_reset:\n\tresetter_plugin_reset_by_name: no such plugin: nope");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_resets_at_once_each_succeeds() {
    let server = worker().rpc().env("BOOT_TAKES", "0.2").start();
    let (mut one, mut other) = (server.caller().await, server.caller().await);
    let reset = json!("centrifuge");
    let (a, b) = tokio::join!(one.json("resetter.Reset", &reset), other.json("resetter.Reset", &reset));
    assert_eq!((a, b), (Ok(json!(true)), Ok(json!(true))));
    let stats = one.json("causeway.Stats", &json!("")).await.unwrap();
    assert!((1..=2).contains(&stats["restarts"]["reset"].as_u64().unwrap()), "{stats}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_pool_is_ready() {
    let server = worker().rpc().start();
    let (client, mut caller) = (server.client().await, server.caller().await);
    let file = server.folder.path().join("go");
    let call = client.spawn_rpc(&format!("wait:{}", file.display()), "1");
    server.wait_for_output("it waits");
    let request = json!({"plugin": "centrifuge"});
    assert_eq!(caller.json("status.Status", &request).await, Ok(json!({"code": 200})));
    assert_eq!(caller.json("status.Ready", &request).await, Ok(json!({"code": 200})));
    let reply = caller.call(Flags::PROTO, "status.Ready", b"\x0a\x0acentrifuge").await;
    assert_eq!(reply.payload, b"\x08\xc8\x01"[..]);
    std::fs::write(file, "").unwrap();
    call.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_stops_the_server_after_the_calls_in_flight() {
    let mut server = worker().rpc().start();
    let (client, mut caller) = (server.client().await, server.caller().await);
    let pid = client.worker_pid().await;
    let file = server.folder.path().join("go");
    let call = client.spawn_rpc(&format!("wait:{}", file.display()), "1");
    server.wait_for_output("it waits");
    assert_eq!(caller.json("causeway.Stop", &json!({})).await, Ok(json!(true)));
    server.wait_for_output("draining connections");
    let reply = caller.json("status.Ready", &json!({"plugin": "centrifuge"})).await;
    assert_eq!(reply, Ok(json!({"code": 503, "message": "service is shutting down"})));
    std::fs::write(file, "").unwrap();
    assert_eq!(call.await.unwrap().unwrap(), "1");
    assert_eq!(server.exit().await.code(), Some(0));
    assert!(!is_alive(pid));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_stops_the_server_immediately() {
    let mut server = worker().rpc().start();
    let (client, mut caller) = (server.client().await, server.caller().await);
    let pid = client.worker_pid().await;
    let _call = client.spawn_rpc("hang", "");
    server.wait_for_output("it hangs");
    assert_eq!(caller.json("causeway.Stop", &json!({"force": true})).await, Ok(json!(true)));
    server.exit().await;
    eventually("the worker is gone", || !is_alive(pid)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_can_force_a_shutdown_that_it_has_waited_for() {
    let mut server = worker().rpc().start();
    let (client, mut caller) = (server.client().await, server.caller().await);
    let pid = client.worker_pid().await;
    let _call = client.spawn_rpc("hang", "");
    server.wait_for_output("it hangs");
    for _ in 0..2 {
        assert_eq!(caller.json("causeway.Stop", &json!({})).await, Ok(json!(true)));
    }
    server.wait_for_output("draining connections");
    assert_eq!(caller.json("causeway.Stop", &json!({"force": true})).await, Ok(json!(true)));
    server.wait_for_output("immediate stop requested over RPC");
    assert_eq!(server.exit().await.code(), Some(1));
    eventually("the worker is gone", || !is_alive(pid)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_stops_a_server_whose_workers_do_not_start() {
    let mut server = worker().rpc().env("BOOT_HANGS", "1").spawn();
    let mut caller = server.caller().await;
    assert_eq!(caller.json("causeway.Stop", &json!({})).await, Ok(json!(true)));
    assert_eq!(server.exit().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_is_shown_without_its_secrets() {
    let server = worker()
        .rpc()
        .centrifuge("api_key: hidden-1")
        .server("  env: {FOO: hidden-2}\n")
        .more("http: {address: 'http://user:hidden-3@host/', password: hidden-4}\n")
        .start();
    let mut caller = server.caller().await;
    let reply = caller.call(Flags::RAW, "rpc.Config", b"").await;
    assert_eq!(reply.flags, Flags::RAW.bits());
    let config = json(&reply.text());
    assert_eq!(config["version"], "3");
    assert_eq!(config["centrifuge"]["pool"]["num_workers"], 1);
    assert_eq!(config["server"]["env"]["foo"], "***");
    assert_eq!(config["http"]["address"], "http://user:***@host/");
    assert!(!reply.text().contains("hidden"), "{}", reply.text());
    let version = caller.json("rpc.Version", &json!(true)).await.unwrap();
    assert_eq!(version, "2025.1.15");
}
