//! What the measurement itself costs.

use std::time::Duration;

use crate::support::neighbour::is_unharmed;
use crate::support::worker;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_attacks_answers_at_once() {
    let cost = is_unharmed(
        "no attack",
        32,
        || worker().pool("num_workers: 2"),
        async |_| tokio::time::sleep(Duration::from_millis(500)).await,
    )
    .await;
    assert!(cost.calls > 20, "{cost}");
}
