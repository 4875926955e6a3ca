//! Many callers, and a checker that notices when two are inside at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use redis::{Script, Value as RedisValue};
use serde_json::json;
use tokio::task::JoinSet;

use super::bridge;
use crate::support::eventually;
use crate::support::redis::{Redis, redis};
use crate::support::rpc::Caller;

const RESOURCES: usize = 10;
const CALLERS: usize = 100;
const LOCKS: usize = 10_000;

/// What a lock protects: it counts who is inside, and remembers the last token.
#[derive(Default)]
struct Guarded {
    inside: AtomicUsize,
    last_token: AtomicI64,
    entered: AtomicUsize,
    /// How often another was inside, or a token did not increase.
    violations: AtomicUsize,
}

impl Guarded {
    /// Enters, stays for a moment, and leaves.
    async fn visit(&self, token: i64) {
        let is_alone = self.inside.fetch_add(1, Ordering::SeqCst) == 0;
        let is_later = self.last_token.swap(token, Ordering::SeqCst) < token;
        if !is_alone || !is_later {
            self.violations.fetch_add(1, Ordering::SeqCst);
        }
        tokio::task::yield_now().await;
        self.inside.fetch_sub(1, Ordering::SeqCst);
        self.entered.fetch_add(1, Ordering::SeqCst);
    }
}

/// All that are guarded.
fn guarded() -> Arc<Vec<Guarded>> {
    Arc::new((0..RESOURCES).map(|_| Guarded::default()).collect())
}

fn total(guarded: &[Guarded], what: impl Fn(&Guarded) -> &AtomicUsize) -> usize {
    guarded.iter().map(|one| what(one).load(Ordering::SeqCst)).sum()
}

/// A caller that locks, visits and releases again and again, until all have done so often enough. Whatever fails is tried again.
async fn come_and_go(mut caller: Caller, number: usize, all: Arc<Vec<Guarded>>) {
    let resource = number % RESOURCES;
    for claim in 0.. {
        if total(&all, |one| &one.entered) >= LOCKS {
            return;
        }
        let mut argument =
            json!({"resource": format!("resource {resource}"), "id": format!("{number} {claim}")});
        argument["ttl"] = json!(120_000_000);
        argument["wait"] = json!(20_000_000);
        let granted = caller.json("lock.LockFenced", &argument).await;
        if granted.as_ref().is_ok_and(|reply| reply["ok"] == true) {
            all[resource].visit(granted.unwrap()["token"].as_i64().unwrap()).await;
            argument["wait"] = json!(0);
            while caller.json("lock.Release", &argument).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        } else if let Err(text) = granted {
            assert!(text.starts_with("lock redis: "), "{text}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_callers_of_two_bridges_are_never_two_inside_even_if_redis_is_killed_in_between() {
    let mut redis = redis(&[]);
    let bridges = [bridge(&redis), bridge(&redis)];
    let all = guarded();
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        let caller = bridges[number / RESOURCES % 2].caller().await;
        callers.spawn(come_and_go(caller, number, Arc::clone(&all)));
    }
    let entered = || total(&all, |one| &one.entered);
    eventually("a third is done", || entered() > LOCKS / 3).await;
    redis.kill();
    tokio::time::sleep(Duration::from_millis(200)).await;
    redis.start();
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }
    assert!(entered() >= LOCKS);
    assert_eq!(total(&all, |one| &one.violations), 0);
    // Claims whose answers were lost are taken back.
    eventually("nothing is held", || redis.run::<Vec<String>>("KEYS rr:lock:*").is_empty()).await;
    for bridge in &bridges {
        assert!(!bridge.output().contains("panicked"));
    }
}

/// Runs the script without a bridge.
async fn come_and_go_by_hand(script: Arc<Script>, redis: Arc<Redis>, number: usize, all: Arc<Vec<Guarded>>) {
    let info = format!("redis://{}", redis.address());
    let client = redis::Client::open(info).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    for claim in 0..50 {
        let id = format!("{number} {claim}");
        loop {
            let mut call = script.key("rr:lock:r");
            let call = call.key("rr:fence").arg("lock").arg(&id).arg(60_000_000).arg("");
            let (granted, _, token): (i64, i64, i64) = call.invoke_async(&mut connection).await.unwrap();
            if granted == 1 {
                all[0].visit(token).await;
                break;
            }
            tokio::task::yield_now().await;
        }
        let mut call = script.key("rr:lock:r");
        let _: RedisValue =
            call.arg("release").arg(&id).arg(0).arg("").invoke_async(&mut connection).await.unwrap();
    }
}

async fn violations_of(script: &str) -> usize {
    let (redis, script, all) = (Arc::new(redis(&[])), Arc::new(Script::new(script)), guarded());
    let mut callers = JoinSet::new();
    for number in 0..4 {
        let (script, redis, all) = (Arc::clone(&script), Arc::clone(&redis), Arc::clone(&all));
        callers.spawn(come_and_go_by_hand(script, redis, number, all));
    }
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }
    total(&all, |one| &one.violations)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checker_notices_a_broken_script() {
    let script = include_str!("../../../src/rpc/locks/redis/script.lua");
    assert_eq!(violations_of(script).await, 0);
    let grants_all = script.replace("if count == 0 and may_begin then", "if may_begin then");
    let repeats_tokens = script.replace("math.max(last + 1, now)", "1");
    for broken in [grants_all, repeats_tokens] {
        assert_ne!(broken, script);
        assert!(violations_of(&broken).await > 0, "{broken}");
    }
}
