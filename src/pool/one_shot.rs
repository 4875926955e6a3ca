//! Debug mode: each request has a worker started for itself.

use tokio::sync::{mpsc, oneshot};

use super::Error;
use super::lease::Lease;
use super::permits::Permits;

/// Where a worker goes that was started for one request.
pub(super) type Reply = oneshot::Sender<Result<Lease, Error>>;

/// Requests for a worker of their own.
#[derive(Debug)]
pub(super) struct OneShots {
    /// How many may have one at once.
    pub(super) turns: Permits,
    requests: mpsc::UnboundedSender<Reply>,
}

impl OneShots {
    /// For `at_once` requests, and what the actor reads.
    pub(super) fn new(at_once: usize) -> (Self, mpsc::UnboundedReceiver<Reply>) {
        let (requests, replies) = mpsc::unbounded_channel();
        (Self { turns: Permits::new(at_once), requests }, replies)
    }

    /// Waits for a worker that is started now; `None` if none is started any more.
    pub(super) async fn lease(&self) -> Option<Result<Lease, Error>> {
        let (reply, lease) = oneshot::channel();
        let _ = self.requests.send(reply);
        lease.await.ok()
    }
}
