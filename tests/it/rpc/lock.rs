//! Locks that workers share.

use causeway::goridge::Flags;
use serde_json::{Value, json};

use crate::support::rpc::Caller;
use crate::support::{json, worker};

async fn ok(caller: &mut Caller, method: &str, argument: Value) -> bool {
    caller.json(method, &argument).await.unwrap()["ok"] == true
}

/// A claim that waits long.
fn claim(id: &str) -> Value {
    json!({"resource": "r", "id": id, "wait": 60_000_000})
}

async fn begin(caller: &mut Caller, method: &str, argument: Value) {
    caller.begin(Flags::JSON, method, argument.to_string().as_bytes()).await;
}

async fn granted(caller: &mut Caller) -> bool {
    let reply = caller.next().await.expect("the server hung up");
    json(&reply.text())["ok"] == true
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_belongs_to_one_client_until_it_is_released_or_expires() {
    let server = worker().rpc().start();
    let (mut one, mut two) = (server.caller().await, server.caller().await);
    assert!(ok(&mut one, "lock.Lock", json!({"resource": "r", "id": "a"})).await);
    assert!(!ok(&mut two, "lock.Lock", json!({"resource": "r", "id": "b", "wait": 1_000})).await);
    begin(&mut two, "lock.LockRead", claim("b")).await;
    assert!(ok(&mut one, "lock.Release", json!({"resource": "r", "id": "a"})).await);
    assert!(granted(&mut two).await);
    let update = json!({"resource": "r", "id": "b", "ttl": 20_000});
    begin(&mut one, "lock.Lock", claim("a")).await;
    assert!(ok(&mut two, "lock.UpdateTTL", update).await);
    assert!(granted(&mut one).await, "the reader's time is over");
    assert!(ok(&mut two, "lock.Exists", json!({"resource": "r", "id": "*"})).await);
    assert!(ok(&mut two, "lock.ForceRelease", json!({"resource": "r"})).await);
    assert!(!ok(&mut two, "lock.Exists", json!({"resource": "r", "id": "*"})).await);
    let error = one.json("lock.Lock", &json!({"resource": "r"})).await.unwrap_err();
    assert_eq!(error, "empty ID is not allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_disconnects_leaves_the_queue() {
    let server = worker().rpc().start();
    let (mut holder, mut gone) = (server.caller().await, server.caller().await);
    let mut last = server.caller().await;
    assert!(ok(&mut holder, "lock.Lock", claim("a")).await);
    begin(&mut gone, "lock.Lock", claim("b")).await;
    // Frames of a connection are read in their order: when this is answered, the claim before it has been read.
    begin(&mut gone, "lock.Exists", json!({"resource": "r", "id": "a"})).await;
    assert!(granted(&mut gone).await);
    begin(&mut last, "lock.Lock", claim("c")).await;
    drop(gone);
    assert!(ok(&mut holder, "lock.Release", json!({"resource": "r", "id": "a"})).await);
    assert!(granted(&mut last).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn under_compat_3_times_have_bounds_and_a_reader_may_become_the_writer() {
    let server = worker().rpc().more("causeway: {compat: 3}\n").start();
    let mut caller = server.caller().await;
    let reader = json!({"resource": "r", "id": "a", "wait": 0});
    assert!(ok(&mut caller, "lock.LockRead", reader.clone()).await);
    assert!(!ok(&mut caller, "lock.LockRead", reader.clone()).await);
    assert!(ok(&mut caller, "lock.Lock", reader).await);
    for method in ["lock.Lock", "lock.LockRead", "lock.UpdateTTL"] {
        let error = caller.json(method, &json!({"resource": "r", "id": "a", "ttl": -1})).await.unwrap_err();
        assert_eq!(error, "ttl must be between 0 and 9223372036854775 microseconds");
    }
    let methods = ["Lock", "LockRead", "Release", "ForceRelease", "Exists", "UpdateTTL"];
    for method in methods.map(|method| format!("lock.{method}")) {
        let error = caller.json(&method, &json!({"resource": "r", "id": "a", "wait": -1})).await.unwrap_err();
        assert_eq!(error, "wait must be between 0 and 9223372036854775 microseconds", "{method}");
    }
    assert_eq!(caller.json("rpc.Version", &json!(true)).await.unwrap(), "3.2.0");
}
