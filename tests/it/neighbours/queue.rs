//! Callers with more calls in flight than there are workers.

use std::time::{Duration, Instant};

use crate::support::neighbour::is_unharmed;
use crate::support::{Client, Server, worker};

/// How long they keep it up.
const LASTS: Duration = Duration::from_secs(2);

/// Keeps calls in flight on one connection; returns how many were answered.
async fn keep_in_flight(server: &Server, calls: usize, method: &'static str) -> usize {
    let (client, end) = (server.client().await, Instant::now() + LASTS);
    let one = async |client: Client| {
        let mut answered = 0;
        while Instant::now() < end {
            assert_eq!(client.rpc(method, "1").await.unwrap(), "1");
            answered += 1;
        }
        answered
    };
    let all = (0..calls).map(|_| one(client.clone()));
    futures_util::future::join_all(all).await.into_iter().sum()
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn callers_with_thousands_of_calls_in_flight_do_not_delay_others() {
    let setup = || worker().pool("num_workers: 8");
    // They sleep, so that it is the queue that is measured, and not how many programs share the processor.
    is_unharmed("2,000 short and 100 long calls in flight", 96, setup, async |server| {
        let (short, long) = tokio::join!(
            keep_in_flight(server, 2000, "sleep:0.002"),
            keep_in_flight(server, 100, "sleep:0.01"),
        );
        println!("{short} short calls, {long} long ones");
        assert!(short >= 2000 && long >= 100);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn long_methods_are_not_compared_with_the_globs_of_pools() {
    let pools = "pools: {odd: {match: {methods: ['*.private', '*aaaaaaab']}, num_workers: 1}}";
    let setup = || worker().pool("num_workers: 2").centrifuge(pools);
    is_unharmed("methods of 8 MB", 96, setup, async |server| {
        let client = server.client().await;
        for _ in 0..3 {
            // Centrifugo's clients can send methods of any length that fits into a message.
            client.rpc(&"a".repeat(8 << 20), "").await.unwrap_err();
        }
    })
    .await;
}
