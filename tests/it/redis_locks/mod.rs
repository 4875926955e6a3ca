//! Locks in a real Redis, shared by several servers.

mod compatible;
mod crowd;
mod layouts;
mod outages;
mod owners;

use causeway::goridge::Flags;
use serde_json::{Value, json};

use crate::support::redis::Redis;
use crate::support::rpc::Caller;
use crate::support::{Server, json, worker};

/// A server whose locks are in this Redis, with more of `lock.config`.
fn bridge_with(redis: &Redis, more: &str) -> Server {
    worker().rpc().more(&redis.section(more)).start()
}

fn bridge(redis: &Redis) -> Server {
    bridge_with(redis, "")
}

async fn ok(caller: &mut Caller, method: &str, argument: Value) -> bool {
    caller.json(&format!("lock.{method}"), &argument).await.unwrap()["ok"] == true
}

/// What is asked of the resource `r` for an id; times are in milliseconds.
fn of(id: &str) -> Value {
    json!({"resource": "r", "id": id})
}

/// A claim that waits long.
fn patient(id: &str) -> Value {
    json!({"resource": "r", "id": id, "wait": 60_000_000})
}

async fn begin(caller: &mut Caller, method: &str, argument: Value) {
    caller.begin(Flags::JSON, &format!("lock.{method}"), argument.to_string().as_bytes()).await;
}

/// The reply to a call that was begun.
async fn granted(caller: &mut Caller) -> bool {
    let reply = caller.next().await.expect("the server hung up");
    assert!(!reply.is_error(), "{}", reply.text());
    json(&reply.text())["ok"] == true
}

/// Waits until a caller is in the queue: frames of a connection are read in their order, and this one's script is behind that of the claim.
async fn queued(caller: &mut Caller) {
    begin(caller, "Exists", json!({"resource": "other", "id": "*"})).await;
    assert!(!granted(caller).await);
}
