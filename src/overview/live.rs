//! The overview that `admin` and `rpc` share, and the task behind it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::about::About;
use super::calls::{Calls, Counted, Counters};
use super::clock::seconds;
use super::history::History;
use super::operations::{Action, Operations};
use super::problems::{Found, Problems};
use super::recent;
use super::reloads::Reloads;
use super::sampler::Sampler;
use super::snapshot::{self, Bridge, Context, Document, Phase, Pool};
use super::usage::Usages;
use crate::offload;
use crate::os::this_process;
use crate::pools::{PoolSnapshot, Pools, UpcomingPools};
use crate::single_flight::SingleFlight;
use crate::telemetry::metrics::Collect;

/// How often counters are read, and those who follow get a snapshot.
const EVERY: Duration = Duration::from_secs(1);

/// How long a snapshot waits for a measurement of what workers use. On a busy machine one takes seconds.
const MEASUREMENT: Duration = Duration::from_millis(500);

/// Bytes of a worker in a snapshot, about.
const WORKER: usize = 150;

/// What operators see of the running bridge. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Overview(Arc<Shared>);

/// What is shown.
#[derive(Debug)]
pub(crate) struct Sources {
    /// The pools, once they are started.
    pub(crate) pools: UpcomingPools,
    /// False once the server shuts down.
    pub(crate) serving: watch::Receiver<bool>,
    /// What only a reload changes.
    pub(crate) about: About,
}

struct Shared {
    sources: Sources,
    counters: Counters,
    reloads: Arc<Reloads>,
    began: Instant,
    begin: Once,
    state: Mutex<State>,
    usages: Mutex<Usages>,
    is_measuring: AtomicBool,
    flight: SingleFlight<Bytes>,
    history_flight: SingleFlight<Bytes>,
    /// The history as JSON with its number of points.
    written_history: Mutex<Option<(u64, Bytes)>>,
    /// The last snapshot that was made for those who follow, as an event.
    snapshots: watch::Sender<Bytes>,
}

/// What the task keeps.
#[derive(Debug)]
struct State {
    sampler: Sampler,
    history: History,
    problems: Problems,
    operations: Operations,
}

impl Overview {
    /// Nothing is sampled until [`Self::begin`].
    pub(crate) fn new(sources: Sources) -> Self {
        let now = Instant::now();
        let state = State {
            sampler: Sampler::new(now),
            history: History::default(),
            problems: Problems::default(),
            operations: Operations::default(),
        };
        Self(Arc::new(Shared {
            reloads: Arc::new(Reloads::new(sources.about.started())),
            sources,
            counters: Counters::default(),
            began: now,
            begin: Once::new(),
            state: Mutex::new(state),
            usages: Mutex::default(),
            is_measuring: AtomicBool::new(false),
            flight: SingleFlight::default(),
            history_flight: SingleFlight::default(),
            written_history: Mutex::default(),
            snapshots: watch::Sender::default(),
        }))
    }

    /// Begins to sample, unless it has begun. The task lives as long as the overview.
    pub(crate) fn begin(&self) {
        self.0.begin.call_once(|| {
            self.0.sample();
            tokio::spawn(sample(Arc::downgrade(&self.0)));
        });
    }

    /// Calls of this kind are counted there.
    pub(crate) fn count(&self, calls: Calls, read: impl Fn() -> Counted + Send + Sync + 'static) {
        self.0.counters.set(calls, read);
    }

    /// Returns the state now, as JSON in one line. Callers that ask at the same time share one.
    pub(crate) async fn snapshot(&self) -> Bytes {
        self.begin();
        self.0.snapshot().await
    }

    /// Returns a receiver of snapshots as events, one a second. A receiver that is slow misses some.
    pub(crate) fn follow(&self) -> watch::Receiver<Bytes> {
        self.begin();
        self.0.snapshots.subscribe()
    }

    /// Returns the last fifteen minutes as JSON. It is written once for each point.
    pub(crate) async fn history(&self) -> Bytes {
        self.begin();
        let shared = Arc::clone(&self.0);
        let history = self.0.history_flight.get(async move { shared.history().await }).await;
        history.map_or_else(|_| Bytes::new(), |history| (*history).clone())
    }

    /// Another configuration is in force: JSON without secrets, and the warnings about it.
    pub(crate) fn reloaded(&self, configuration: &str, warnings: &[String]) {
        let now = SystemTime::now();
        self.0.sources.about.set(now, configuration, warnings);
        self.0.reloads.loaded(now);
    }

    /// A reload of the configuration has failed, or did not take effect as a whole.
    pub(crate) fn reload_failed(&self, reason: String) {
        self.0.reloads.failed(SystemTime::now(), reason);
    }

    /// The figures of reloads.
    pub(crate) fn reloads(&self) -> Arc<dyn Collect> {
        Arc::clone(&self.0.reloads) as _
    }

    /// Returns what only a reload of the configuration changes, as JSON.
    pub(crate) fn about(&self) -> Bytes {
        self.0.sources.about.json()
    }

    /// Which start of the server this is.
    pub(crate) fn instance(&self) -> &str {
        &self.0.sources.about.instance
    }

    /// False once the server shuts down.
    pub(crate) fn is_serving(&self) -> bool {
        *self.0.sources.serving.borrow()
    }

    /// The pools, if all that are required have started.
    pub(crate) fn pools(&self) -> Option<&Pools> {
        self.0.sources.pools.get()
    }

    /// Something is being done with a pool. Returns a number for [`Self::ended`].
    pub(crate) fn began(&self, action: Action, pool: &str) -> u64 {
        self.0.state().operations.begin(action, pool)
    }

    /// It is done, or has failed.
    pub(crate) fn ended(&self, operation: u64, result: Result<(), String>) {
        self.0.state().operations.end(operation, result);
    }
}

/// Returns JSON of one line as a server-sent event. Source: <https://html.spec.whatwg.org/multipage/server-sent-events.html>.
pub(crate) fn event(json: &[u8]) -> Bytes {
    [b"data: ", json, b"\n\n"].concat().into()
}

async fn sample(shared: Weak<Shared>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        shared.sample();
        if shared.snapshots.receiver_count() > 0 {
            let snapshot = shared.snapshot().await;
            shared.snapshots.send_replace(event(&snapshot));
        }
    }
}

impl Shared {
    /// Reads all counters.
    fn sample(&self) {
        let snapshot = self.sources.pools.get().map(Pools::snapshot);
        let pools = snapshot.as_ref().map_or(&[][..], |snapshot| &snapshot.pools);
        let calls = self.counters.read();
        let mut state = self.state();
        if let Some(point) = state.sampler.read(Instant::now(), calls, pools) {
            state.history.add(point);
        }
        let found = match self.phase() {
            Phase::Starting => vec![Found::starting()],
            Phase::Stopping => vec![Found::stopping()],
            Phase::Serving => {
                let found = |pool: &PoolSnapshot| Found::in_pool(pool, state.sampler.minute(pool.number));
                let reload = self.reloads.problem().map(|reason| Found::reload(&reason));
                reload.into_iter().chain(pools.iter().flat_map(found)).collect()
            }
        };
        state.problems.update(Instant::now(), SystemTime::now(), found);
    }

    fn phase(&self) -> Phase {
        match (*self.sources.serving.borrow(), self.sources.pools.get()) {
            (false, _) => Phase::Stopping,
            (true, None) => Phase::Starting,
            (true, Some(_)) => Phase::Serving,
        }
    }

    async fn snapshot(self: &Arc<Self>) -> Bytes {
        let shared = Arc::clone(self);
        let snapshot = self.flight.get(async move { shared.make().await }).await;
        snapshot.map_or_else(|_| Bytes::new(), |snapshot| (*snapshot).clone())
    }

    async fn history(self: Arc<Self>) -> Bytes {
        let history = self.state().history.clone();
        let count = history.count();
        let known = self.written_history.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, json)) = known.filter(|(known, _)| *known == count) {
            return json;
        }
        let (bytes, shared) = (history.size(), Arc::clone(&self));
        let write = move || history.json(&shared.shown()).to_string();
        let Ok(json) = offload::run(bytes, write).await else { return Bytes::new() };
        let json = Bytes::from(json);
        *self.written_history.lock().unwrap_or_else(PoisonError::into_inner) = Some((count, json.clone()));
        json
    }

    async fn make(self: &Arc<Self>) -> Bytes {
        let pools = match self.sources.pools.get() {
            Some(pools) => {
                self.measure().await;
                pools.snapshot().pools
            }
            None => Vec::new(),
        };
        let workers: usize = pools.iter().map(|pool| pool.workers.len()).sum();
        let document = self.document(pools);
        // A large one would keep the thread from calls.
        let write = move || serde_json::to_vec(&document).unwrap_or_default();
        offload::run(workers * WORKER, write).await.unwrap_or_default().into()
    }

    /// Measures what workers use, if it was not measured lately. Resolves when that is done, or takes too long to wait for.
    async fn measure(self: &Arc<Self>) {
        if !self.usages().are_stale(Instant::now()) || self.is_measuring.swap(true, Relaxed) {
            return;
        }
        let shared = Arc::clone(self);
        let measurement = tokio::spawn(async move {
            if let Some(pools) = shared.sources.pools.get() {
                let bridge = offload::background(this_process::read);
                let (snapshot, bridge) = tokio::join!(pools.measured_snapshot(), bridge);
                let now = Instant::now();
                let bridge = bridge.ok().flatten();
                shared.usages().update(now, snapshot.workers(), bridge, now - shared.began);
            }
            shared.is_measuring.store(false, Relaxed);
        });
        let _ = timeout(MEASUREMENT, measurement).await;
    }

    /// The pools that have graphs: their numbers and names.
    fn shown(&self) -> Vec<(usize, String)> {
        let numbers = self.sources.pools.numbers();
        let names = self.sources.pools.names().into_iter();
        names.filter_map(|name| Some((numbers.number(&name)?, name))).collect()
    }

    fn document(&self, pools: Vec<PoolSnapshot>) -> Document {
        let usages = self.usages();
        let state = self.state();
        let (deaths, slow) = (recent::deaths(&pools), recent::slow(&pools));
        let pools = pools.into_iter().map(|pool| {
            let context = Context {
                rates: state.sampler.rates(pool.number),
                percentiles: state.sampler.percentiles(pool.number),
            };
            Pool::new(pool, &usages, context)
        });
        Document {
            at: seconds(SystemTime::now()),
            instance: self.sources.about.instance.clone(),
            uptime: self.began.elapsed().as_secs_f64(),
            state: self.phase(),
            problems: state.problems.current().to_vec(),
            bridge: usages.bridge().map(|(process, cpu)| Bridge::new(process, *cpu)),
            pools: pools.collect(),
            deaths,
            slow,
            calls: state.sampler.calls().map(snapshot::Calls::new),
            configuration: self.reloads.shown(),
            operations: state.operations.list(),
            history: state.history.last_json(&self.shown()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn usages(&self) -> MutexGuard<'_, Usages> {
        self.usages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overview").field("sources", &self.sources).finish_non_exhaustive()
    }
}
