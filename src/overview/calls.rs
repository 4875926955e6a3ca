//! Calls of the bridge that no pool counts: to Centrifugo's API, and of its own RPC.

use std::fmt;
use std::sync::OnceLock;

/// Whose calls they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Calls {
    /// To Centrifugo's API.
    Api,
    /// From workers and operators.
    Rpc,
}

/// Calls and failures so far.
pub(super) type Counted = (u64, u64);

type Reader = Box<dyn Fn() -> Counted + Send + Sync>;

/// Reads what other parts count.
#[derive(Default)]
pub(super) struct Counters {
    api: OnceLock<Reader>,
    rpc: OnceLock<Reader>,
}

impl Counters {
    /// The calls are counted there, once.
    pub(super) fn set(&self, calls: Calls, read: impl Fn() -> Counted + Send + Sync + 'static) {
        let counter = match calls {
            Calls::Api => &self.api,
            Calls::Rpc => &self.rpc,
        };
        let _ = counter.set(Box::new(read));
    }

    /// The counts of the API and of RPC.
    pub(super) fn read(&self) -> [Counted; 2] {
        [&self.api, &self.rpc].map(|counter| counter.get().map_or((0, 0), |read| read()))
    }
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.read()).finish()
    }
}
