//! What workers receive and send, over each relay.

use std::time::Duration;

use crate::support::{eventually, is_alive, json, worker};

const RELAYS: [&str; 3] = ["pipes", "tcp", "unix"];

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_answered_over_every_relay() {
    for relay in RELAYS {
        let server = worker().relay(relay).pool("num_workers: 3").start();
        let client = server.client().await;
        let calls: Vec<_> = (0..200).map(|n| client.spawn_rpc("echo", &n.to_string())).collect();
        for (n, call) in calls.into_iter().enumerate() {
            assert_eq!(call.await.unwrap().unwrap(), n.to_string());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_messages_pass_in_both_directions_while_the_worker_prints() {
    for relay in RELAYS {
        let server = worker().relay(relay).start();
        let client = server.client().await;
        let data = "x".repeat(5 << 20);
        assert!(client.rpc("echo", &data).await.unwrap() == data);
        assert!(client.rpc("flood", &data).await.unwrap() == data);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_gets_roadrunner_s_environment_and_none_of_the_server_s_descriptors() {
    for relay in RELAYS {
        let setup = worker()
            .relay(relay)
            .server("  env: {from_config: '${FROM_PARENT}-x', rr_version: mine}\n")
            .rpc()
            .env("FROM_PARENT", "value")
            .env("RR_MODE", "parent");
        let server = setup.start();
        let client = server.client().await;
        let env = json(&client.rpc("env", "").await.unwrap());
        assert_eq!(env["FROM_CONFIG"], "value-x");
        assert_eq!(env["RR_MODE"], "centrifuge");
        assert_eq!(env["RR_RPC"], server.rpc_address());
        assert_ne!(env["RR_VERSION"], "mine");
        let said = env["RR_RELAY"].as_str().unwrap();
        assert!(said.starts_with(relay) && !said.ends_with(":0"), "{said}");
        let process = json(&client.rpc("process", "").await.unwrap());
        assert_eq!(process["pgid"], process["pid"]);
        assert_eq!(process["parent"], server.pid());
        assert_eq!(
            process["cwd"].as_str().unwrap(),
            server.folder.path().canonicalize().unwrap().to_str().unwrap()
        );
        let fds = process["fds"].as_object().unwrap();
        let own = if relay == "pipes" { 3 } else { 4 };
        assert!(fds.len() <= own, "{fds:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_get_addresses_that_do_not_depend_on_their_directory() {
    let server = worker().relay("unix").more("rpc: {listen: unix://rpc.sock}\n").start();
    let env = json(&server.client().await.rpc("env", "").await.unwrap());
    let folder = server.folder.path().canonicalize().unwrap();
    for (name, socket) in [("RR_RELAY", "relay.sock"), ("RR_RPC", "rpc.sock")] {
        assert_eq!(env[name], format!("unix://{}", folder.join(socket).display()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_behind_a_wrapper_connects_and_exits_with_it() {
    for relay in RELAYS {
        let path = crate::support::repository().join("tests/workers/worker.py");
        let command = format!("sh -c 'python3 {}; true'", path.display());
        let mut server = crate::support::Setup::new(&command).relay(relay).start();
        let pid = server.client().await.worker_pid().await;
        assert!(is_alive(pid));
        server.signal(nix::sys::signal::Signal::SIGTERM);
        assert!(server.exit().await.success());
        eventually("the worker is gone", || !is_alive(pid)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_on_the_relay_disturb_no_worker() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    let server = worker().relay("tcp").pool("num_workers: 2").start();
    let client = server.client().await;
    let relay = json(&client.rpc("env", "").await.unwrap())["RR_RELAY"].as_str().unwrap()["tcp://".len()..]
        .to_owned();
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(&relay).await.unwrap());
        drop(TcpStream::connect(&relay).await.unwrap());
        TcpStream::connect(&relay).await.unwrap().write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    }
    // A stranger that sends the pid of a worker which is already connected, and one that sends its own.
    for pid in [client.worker_pid().await, std::process::id()] {
        let mut liar = TcpStream::connect(&relay).await.unwrap();
        let mut asked = [0; 12];
        liar.read_exact(&mut asked).await.unwrap();
        liar.write_all(&causeway::goridge::pid_request(pid)).await.unwrap();
        silent.push(liar);
    }
    // New workers still connect, and old ones go on.
    for _ in 0..3 {
        let died = client.rpc("exit:3", "").await.unwrap_err();
        assert_eq!(died.code(), tonic::Code::Unavailable);
        assert_eq!(client.rpc("echo", "1").await.unwrap(), "1");
    }
    server.wait_for_output("relay connection dropped");
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_get_a_secret_for_tcp_relays_only() {
    for relay in RELAYS {
        let server = worker().relay(relay).start();
        let env = json(&server.client().await.rpc("env", "").await.unwrap());
        assert_eq!(env["CAUSEWAY_RELAY_SECRET"].as_str().map(str::len), (relay == "tcp").then_some(32));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_on_every_address_works_and_causes_a_warning() {
    let server = worker().relay("tcp://0.0.0.0:0").pool("num_workers: 2").start();
    assert_eq!(server.client().await.rpc("echo", "1").await.unwrap(), "1");
    server.wait_for_output("the relay is reachable from other machines");
    let server = worker().relay("tcp").start();
    assert_eq!(server.count_output("the relay is reachable from other machines"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_socket_file_is_replaced_and_removed_at_shutdown() {
    let setup = worker().relay("unix");
    let path = setup.path("relay.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let mut server = setup.start();
    assert_eq!(server.client().await.rpc("echo", "1").await.unwrap(), "1");
    server.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(server.exit().await.success());
    assert!(!path.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_in_use_fails_the_start() {
    let setup = worker().relay("unix");
    let _other = std::os::unix::net::UnixListener::bind(setup.path("relay.sock")).unwrap();
    let mut server = setup.spawn();
    assert_eq!(server.exit().await.code(), Some(1));
    server.wait_for_output("another process listens on this socket");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_workers_print_is_logged_line_by_line_with_their_pid() {
    for relay in RELAYS {
        let server = worker().relay(relay).start();
        let client = server.client().await;
        let pid = client.worker_pid().await;
        assert_eq!(client.rpc_within("noise", "1", Duration::from_secs(5)).await.unwrap(), "1");
        assert_eq!(client.rpc("echo", "2").await.unwrap(), "2");
        for line in ["a line at the start", "Warning: something", "and a line without its end", "red\\u001b"]
        {
            let logged = server.wait_for_output(line);
            assert!(logged.contains(&format!("\"pid\": {pid}")), "{logged}");
        }
    }
}
