//! Which processes a connection may belong to, and when.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::timeout;

use super::*;

/// Any pids: nothing here asks the kernel.
const CHILD: u32 = u32::MAX - 1;
const DESCENDANT: u32 = u32::MAX - 2;

/// What fails within this time never comes.
const SOON: Duration = Duration::from_secs(20);

fn listener() -> (Listener, Arc<Registry>) {
    let registry = Arc::new(Registry {
        trust: Trust::new(),
        patience: AtomicU64::new(0),
        children: Mutex::default(),
        dropped: Mutex::new(Incident::new(QUIET)),
        changed: Notify::new(),
    });
    let task = tokio::spawn(async {});
    let open = Accepting { address: String::new(), registry: Arc::clone(&registry), task };
    (Listener::of(Arc::new(open)), registry)
}

#[tokio::test]
async fn the_connection_of_a_cancelled_start_is_dropped_at_once() {
    let (listener, registry) = listener();
    let lineage = [DESCENDANT, CHILD];
    // It has sent its pid, and is being checked.
    drop(listener.expect(CHILD));
    let claimed = timeout(SOON, registry.claim(DESCENDANT, &lineage)).await.unwrap();
    assert!(matches!(claimed, Err(Rejection::CalledOff(DESCENDANT))));
    // Another process with that pid, and another worker that has it among its descendants.
    let expected = listener.expect(CHILD);
    assert!(timeout(SOON, registry.claim(CHILD, &lineage)).await.unwrap().is_ok());
    drop(expected);
    assert!(matches!(registry.take(CHILD, &lineage), Claim::Unwanted(Rejection::Second(_))));
    drop(listener.expect(DESCENDANT));
    let _expected = listener.expect(CHILD);
    assert!(registry.lock().rejection(DESCENDANT, &lineage).is_none());
    assert!(timeout(SOON, registry.claim(DESCENDANT, &lineage)).await.unwrap().is_ok());
}

#[tokio::test]
async fn a_connection_that_waits_to_be_expected_is_dropped_when_the_start_is_cancelled() {
    let (listener, registry) = listener();
    let waiting = {
        let registry = Arc::clone(&registry);
        tokio::spawn(async move { registry.claim(CHILD, &[CHILD]).await.map(drop) })
    };
    // It waits by then: the runtime has one thread.
    tokio::task::yield_now().await;
    drop(listener.expect(CHILD));
    assert!(matches!(timeout(SOON, waiting).await.unwrap().unwrap(), Err(Rejection::CalledOff(CHILD))));
}
