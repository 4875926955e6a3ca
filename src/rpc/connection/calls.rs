//! The calls in flight on one connection.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::stream::FuturesUnordered;

use crate::goridge::Flags;
use crate::net::EvictionGuard;
use crate::rpc::envelope::Call;
use crate::rpc::router::{Router, is_centrifuge, work};

/// What a call in flight counts as in bytes, without its argument.
pub(super) const CALL: usize = 5 << 10;

/// A call in flight.
pub(super) type Running<'a> = Pin<Box<dyn Future<Output = Done> + Send + 'a>>;

/// A finished call.
pub(super) struct Done {
    /// What the call counted as, in bytes.
    held: usize,
    /// What it cost the thread, as far as that was not counted when it was started.
    pub(super) work: usize,
    pub(super) flags: Flags,
    pub(super) sequence: u32,
    pub(super) method: Bytes,
    /// The result, or the text of the error.
    pub(super) result: Result<Bytes, String>,
}

/// All calls in flight, by what they wait for.
#[derive(Default)]
pub(super) struct Calls<'a> {
    /// Answered here. They are not polled while the peer does not read, so they hold nothing that others need.
    pub(super) local: FuturesUnordered<Running<'a>>,
    /// Answered by Centrifugo, which would have to hold back the answers of all connections if this one's were not taken.
    pub(super) remote: FuturesUnordered<Running<'a>>,
    /// Cancelled when their caller disconnects.
    pub(super) until_hangup: FuturesUnordered<Running<'a>>,
    held: usize,
}

impl Done {
    /// A call that is not run.
    pub(super) fn refused(flags: Flags, sequence: u32, method: Bytes, text: String) -> Self {
        Self { held: 0, work: 1, flags, sequence, method, result: Err(text) }
    }
}

impl<'a> Calls<'a> {
    pub(super) fn len(&self) -> usize {
        self.local.len() + self.remote.len() + self.until_hangup.len()
    }

    /// Whether no call is in flight but those that end with their caller.
    pub(super) fn is_idle(&self) -> bool {
        self.local.is_empty() && self.remote.is_empty()
    }

    /// What the calls count as, in bytes.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Starts a call. Returns the part of its work that counts now: calls other than local ones are decoded as soon as they are started,
    /// and may be answered much later.
    pub(super) fn start(&mut self, router: &'a Router, guard: EvictionGuard, call: Call) -> usize {
        let Call { flags, sequence, .. } = call;
        let is_remote = is_centrifuge(&call.method);
        let ends_with_its_caller = router.ends_with_its_caller(&call);
        let (now, work) = match work(&call) {
            work if is_remote || ends_with_its_caller => (work - 1, 1),
            work => (0, work),
        };
        // Bytes for Centrifugo pass through; other arguments become a value as well.
        let held = CALL + call.argument.len() * if is_remote { 1 } else { 2 };
        self.held += held;
        let running = Box::pin(async move {
            let result = router.answer(&call).await.map_err(|error| error.to_string());
            drop(guard);
            Done { held, work, flags, sequence, method: call.method, result }
        });
        match (ends_with_its_caller, is_remote) {
            (true, _) => self.until_hangup.push(running),
            (false, true) => self.remote.push(running),
            (false, false) => self.local.push(running),
        }
        now
    }

    /// Stops counting a finished call.
    pub(super) fn end(&mut self, done: &Done) {
        self.held -= done.held;
    }
}
