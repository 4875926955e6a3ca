//! What has happened to streams, for the metrics page and for RPC.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use super::budget::Budget;
use crate::pool_names::{ByPool, PoolNames};
use crate::telemetry::metrics::{Collect, Collected, CollectorKind, FamilyText, approximate, ready};

/// Why a stream has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Its client unsubscribed or left.
    Client,
    /// The connection to Centrifugo was lost.
    Connection,
    /// The application ended it.
    Closed,
    /// Its client did not read, and its buffer was full.
    Overflow,
    /// A publication of its client was rejected or failed, or the worker that streamed it did.
    Error,
    /// The server shuts down.
    Shutdown,
}

/// Who feeds a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The bridge owns it; any caller of RPC does.
    Owned,
    /// A worker streams.
    Held,
}

/// The counts of all pools, those that a reload has removed included.
#[derive(Debug)]
pub(super) struct Counters {
    names: PoolNames,
    pools: ByPool<OfPool>,
    /// For numbers that no pool has.
    unknown: OfPool,
}

/// The counts of the streams of one pool.
#[derive(Debug, Default)]
pub(super) struct OfPool {
    name: String,
    open: [AtomicUsize; Kind::ALL.len()],
    pub(super) opened: AtomicU64,
    ended: [AtomicU64; Reason::ALL.len()],
    /// Messages to clients.
    pub(super) sent: AtomicU64,
    /// Messages of clients.
    pub(super) received: AtomicU64,
    /// Messages to clients that were dropped.
    pub(super) dropped: AtomicU64,
    /// Events that no worker has handled.
    pub(super) lost: AtomicU64,
}

/// What is shown of the streams of one pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpenStreams {
    /// Those that the bridge owns.
    pub owned: usize,
    /// Those that workers stream.
    pub held: usize,
}

impl Reason {
    const ALL: [Self; 6] =
        [Self::Client, Self::Connection, Self::Closed, Self::Overflow, Self::Error, Self::Shutdown];

    /// Its name in contexts and metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Connection => "connection",
            Self::Closed => "closed",
            Self::Overflow => "overflow",
            Self::Error => "error",
            Self::Shutdown => "shutdown",
        }
    }
}

impl Kind {
    const ALL: [Self; 2] = [Self::Owned, Self::Held];

    fn name(self) -> &'static str {
        match self {
            Self::Owned => "owned",
            Self::Held => "held",
        }
    }
}

impl Counters {
    pub(super) fn new(names: PoolNames) -> Self {
        Self { names, pools: ByPool::default(), unknown: OfPool::default() }
    }

    /// The counts of a pool, by its number.
    pub(super) fn of(&self, pool: usize) -> &OfPool {
        let make =
            || OfPool { name: self.names.name(pool).unwrap_or_default().to_owned(), ..OfPool::default() };
        self.pools.get_or_make(pool, make).unwrap_or(&self.unknown)
    }

    /// The counts of all pools.
    fn all(&self) -> impl Iterator<Item = &OfPool> {
        self.names.all().enumerate().map(|(number, _)| self.of(number))
    }

    /// The open streams of the pool of this name.
    pub(super) fn open(&self, name: &str) -> OpenStreams {
        let Some(pool) = self.all().find(|pool| pool.name == name) else { return OpenStreams::default() };
        let [owned, held] = Kind::ALL.map(|kind| pool.open[kind as usize].load(Relaxed));
        OpenStreams { owned, held }
    }
}

impl OfPool {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn open(&self, kind: Kind) {
        self.open[kind as usize].fetch_add(1, Relaxed);
        self.opened.fetch_add(1, Relaxed);
    }

    pub(super) fn end(&self, kind: Kind, reason: Reason) {
        self.open[kind as usize].fetch_sub(1, Relaxed);
        self.ended[reason as usize].fetch_add(1, Relaxed);
    }
}

/// The name of a counter, its help text, and where it is.
type Counter = (&'static str, &'static str, fn(&OfPool) -> &AtomicU64);

/// The figures of the metrics page.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) counters: Arc<Counters>,
    pub(super) budget: Arc<Budget>,
}

impl Collect for Figures {
    fn collect(self: Arc<Self>) -> Collected {
        ready(move |page| {
            let family = FamilyText::new;
            let mut open = family(
                "causeway_streams",
                CollectorKind::Gauge,
                "Number of open subscription streams, by pool and kind.",
            );
            let mut ended = family(
                "causeway_streams_ended_total",
                CollectorKind::Counter,
                "Number of subscription streams that have ended, by pool and reason.",
            );
            for pool in self.counters.all() {
                let name = ("pool", pool.name());
                for kind in Kind::ALL {
                    open.sample(
                        "",
                        [name, ("kind", kind.name())],
                        approximate(pool.open[kind as usize].load(Relaxed) as u64),
                    );
                }
                for reason in Reason::ALL {
                    let count = pool.ended[reason as usize].load(Relaxed);
                    ended.sample("", [name, ("reason", reason.name())], approximate(count));
                }
            }
            page.add(open);
            page.add(ended);
            let held = "Bytes held by all subscription streams.";
            page.single(
                "causeway_stream_memory_bytes",
                CollectorKind::Gauge,
                held,
                approximate(self.budget.held() as u64),
            );
            let counters: [Counter; 5] = [
                (
                    "causeway_streams_opened_total",
                    "Number of subscription streams opened, by pool.",
                    |pool| &pool.opened,
                ),
                (
                    "causeway_stream_messages_sent_total",
                    "Number of messages sent to clients on subscription streams, by pool.",
                    |pool| &pool.sent,
                ),
                (
                    "causeway_stream_messages_received_total",
                    "Number of messages received from clients on subscription streams, by pool.",
                    |pool| &pool.received,
                ),
                (
                    "causeway_stream_messages_dropped_total",
                    "Number of messages to clients dropped because a stream was full or had ended, by pool.",
                    |pool| &pool.dropped,
                ),
                (
                    "causeway_stream_events_lost_total",
                    "Number of streampublish and streamend events that no worker handled, by pool.",
                    |pool| &pool.lost,
                ),
            ];
            for (name, help, count) in counters {
                let mut counter = family(name, CollectorKind::Counter, help);
                for pool in self.counters.all() {
                    counter.sample("", [("pool", pool.name())], approximate(count(pool).load(Relaxed)));
                }
                page.add(counter);
            }
        })
    }
}
