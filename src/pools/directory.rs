//! The pools by their names and numbers.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::SetOnce;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use super::config::Config;
use super::named::{NamedPool, StartError};
use super::route::Routes;
use super::rule::Match;
use super::snapshot::Snapshot;
use super::streamed::Opened;
use super::translation::TypedBody;
use crate::compat;
use crate::offload;
use crate::pool::{self, Answered, Caller, Error, RequestType, Start, Timings};
use crate::pool_names::PoolNames;
use crate::single_flight::SingleFlight;
use crate::telemetry::trace::TraceId;
use crate::worker::{self, Environment, Relays, Usage};

/// How long workers that are ready may take to leave when others could not be started at first.
const FAILED_START: Duration = Duration::from_secs(5);

/// All pools. Clones are the same pools.
#[derive(Debug, Clone)]
pub struct Pools {
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    /// Those in force; a reload replaces them as a whole.
    pub(super) current: ArcSwap<Directory>,
    /// Others that may have workers: they are being started, or finish what they have in hand.
    pub(super) others: Mutex<Vec<Arc<NamedPool>>>,
    /// Tasks that start pools which are not required, and that wait until removed ones have ended.
    pub(super) tasks: Mutex<JoinSet<()>>,
    pub(super) names: PoolNames,
    pub(super) relays: Relays,
    /// What process groups use, by their numbers.
    usage: SingleFlight<HashMap<u32, Usage>>,
    max_message_size: usize,
}

/// The pools in force, and what they answer.
#[derive(Debug)]
pub(super) struct Directory {
    /// The default one, then the others in the order of the file.
    pub(super) pools: Box<[Arc<NamedPool>]>,
    by_number: Box<[Option<Arc<NamedPool>>]>,
    routes: Routes,
}

/// The types of the events of open streams. They go to the pool that has answered the opening; if there is none any more, to the one that
/// would answer it now, since their messages have the channel in the same field.
const EVENTS: [&str; 2] = ["streampublish", "streamend"];
const OPENING: &str = "subscribeunidirectional";

impl Directory {
    /// These pools, whose calls are those that match.
    pub(super) fn new(pools: Vec<Arc<NamedPool>>, matches: impl IntoIterator<Item = Match>) -> Self {
        let numbers = pools.iter().map(|pool| pool.number() + 1).max().unwrap_or_default();
        let mut by_number: Box<[_]> = (0..numbers).map(|_| None).collect();
        for pool in &pools {
            by_number[pool.number()] = Some(Arc::clone(pool));
        }
        Self { pools: pools.into(), by_number, routes: Routes::new(matches) }
    }

    /// The pool that answers a call of this type with this message.
    #[inline]
    fn route(&self, kind: &str, message: &[u8]) -> &Arc<NamedPool> {
        &self.pools[self.routes.pool(kind, message)]
    }

    pub(super) fn get(&self, name: &str) -> Option<&Arc<NamedPool>> {
        self.pools.iter().find(|pool| pool.name() == name)
    }
}

/// A request for one of the pools.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The number of the pool that [`Pools::route`] has chosen.
    pub pool: usize,
    /// The connection that it came on.
    pub caller: Caller,
    /// The name of its type, such as `connect`.
    pub kind: &'a str,
    /// The same for metrics and logs.
    pub label: RequestType,
    /// The id of its trace, if that is recorded.
    pub trace: Option<TraceId>,
    /// Its context.
    pub context: &'a [u8],
    /// Its body, in protobuf.
    pub body: Bytes,
    /// When its caller stops waiting.
    pub deadline: Option<Instant>,
}

/// What all pools are made of.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `server`.
    pub server: worker::Config,
    /// `centrifuge.pool`.
    pub pool: pool::Config,
    /// `centrifuge.pools`.
    pub pools: Vec<Config>,
    /// Where workers run.
    pub environment: Environment,
    /// The largest frame in bytes that a worker may send.
    pub max_message_size: usize,
}

/// The pools for parts that are started before them.
#[derive(Debug, Clone)]
pub struct UpcomingPools {
    configured: Arc<[String]>,
    numbers: PoolNames,
    pools: Arc<SetOnce<Pools>>,
}

impl UpcomingPools {
    /// Pools that have not started.
    pub fn new(others: &[Config]) -> Self {
        let others = others.iter().map(Config::name);
        let configured: Arc<[String]> = std::iter::once(compat::PLUGIN.to_owned()).chain(others).collect();
        let numbers = configured.iter().collect();
        Self { configured, numbers, pools: Arc::default() }
    }

    /// The names of all pools, the default one first.
    pub fn names(&self) -> Vec<String> {
        match self.pools.get() {
            Some(pools) => pools.all().iter().map(|pool| pool.name().to_owned()).collect(),
            None => self.configured.to_vec(),
        }
    }

    /// The names by their numbers, those of removed pools included.
    pub fn numbers(&self) -> &PoolNames {
        &self.numbers
    }

    /// The pools, if all that are required have started.
    pub fn get(&self) -> Option<&Pools> {
        self.pools.get()
    }

    /// Waits for them.
    pub async fn wait(&self) -> &Pools {
        self.pools.wait().await
    }

    /// The pools have started.
    pub fn set(&self, pools: Pools) {
        // They start once.
        let _ = self.pools.set(pools);
    }
}

impl Pools {
    /// Starts all pools, and waits until the workers of those that are required are ready. They count under these `names`, and their workers
    /// connect to these `relays`.
    ///
    /// # Errors
    /// When a worker of a required pool does not become ready; then no worker is left.
    pub async fn start(settings: Settings, names: PoolNames, relays: Relays) -> Result<Self, StartError> {
        let (matches, max_message_size) = (settings.matches(), settings.max_message_size);
        let mut pools = Vec::new();
        for start in settings.starts(&relays) {
            let number = names.number(&start.name).ok_or(StartError::TooManyNames)?;
            pools.push(Arc::new(NamedPool::new(start, number)));
        }
        let shared = Shared {
            current: ArcSwap::from_pointee(Directory::new(pools, matches)),
            others: Mutex::default(),
            tasks: Mutex::default(),
            names,
            relays,
            usage: SingleFlight::default(),
            max_message_size,
        };
        let pools = Self { shared: Arc::new(shared) };
        let result = pools.start_required().await;
        if let Err(error) = result {
            pools.stop(Instant::now() + FAILED_START).await;
            return Err(error);
        }
        for pool in pools.all().into_iter().filter(|pool| !pool.is_required()) {
            pools.keep_starting(&pool);
        }
        Ok(pools)
    }

    /// Fails with the first that fails.
    async fn start_required(&self) -> Result<(), StartError> {
        let all = self.all();
        let required = all.iter().filter(|pool| pool.is_required());
        let mut starting: FuturesUnordered<_> = required.map(|pool| pool.start()).collect();
        while let Some(result) = starting.next().await {
            result?;
        }
        Ok(())
    }

    /// Starts a pool that is not required, in a task of its own.
    pub(super) fn keep_starting(&self, pool: &Arc<NamedPool>) {
        let starting = Arc::clone(pool);
        pool.set_starter(self.spawn(async move { starting.keep_starting().await }));
    }

    /// Runs a task until the pools are stopped.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let mut tasks = self.shared.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task)
    }

    /// Returns the number of the pool that answers a call of this type with this message.
    #[inline]
    pub fn route(&self, kind: &str, message: &[u8]) -> usize {
        self.shared.current.load().route(kind, message).number()
    }

    /// Runs a request on a worker; see [`Pool::exec`](pool::Pool::exec). Body and answer are protobuf, whatever the worker reads and writes.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn exec(&self, request: &Request<'_>, timings: &mut Timings) -> Result<Answered, Error> {
        loop {
            let pool = self.find(request);
            let body = self.body(request, None);
            match pool.running()?.exec(&request.with(&body), timings).await {
                // It was routed before the pool was removed, and comes too late for it.
                Err(Error::Removed) => {}
                result => return result,
            }
        }
    }

    /// The same for a request that opens a stream; its answer may be streamed. See [`Pool::open`](pool::Pool::open). `is_seen` is set as soon as a worker
    /// gets it: from then on the application may open the stream, though its caller has gone.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn open(
        &self,
        request: &Request<'_>,
        is_seen: &AtomicBool,
        timings: &mut Timings,
    ) -> Result<Opened, Error> {
        loop {
            let pool = self.find(request);
            let body = self.body(request, Some(is_seen));
            match pool.running()?.open(&request.with(&body), timings).await {
                Err(Error::Removed) => {}
                opened => return Ok(Opened::of(request.kind, opened?)),
            }
        }
    }

    /// The pool of a request, or the one that answers it since that was removed.
    fn find(&self, request: &Request<'_>) -> Arc<NamedPool> {
        let directory = self.shared.current.load();
        if let Some(Some(pool)) = directory.by_number.get(request.pool) {
            return Arc::clone(pool);
        }
        let kind = if EVENTS.contains(&request.kind) { OPENING } else { request.kind };
        Arc::clone(directory.route(kind, &request.body))
    }

    fn body<'a>(&self, request: &'a Request<'a>, is_seen: Option<&'a AtomicBool>) -> TypedBody<'a> {
        let Request { kind, body, .. } = request;
        TypedBody { kind, body, max_message_size: self.shared.max_message_size, is_seen }
    }

    /// All of them, the default one first.
    pub fn all(&self) -> Vec<Arc<NamedPool>> {
        self.shared.current.load().pools.to_vec()
    }

    /// Returns the pool of this name.
    pub fn get(&self, name: &str) -> Option<Arc<NamedPool>> {
        self.shared.current.load().get(name).cloned()
    }

    /// Whether every required pool serves requests.
    pub fn are_ready(&self) -> bool {
        self.all().iter().all(|pool| pool.is_ready() || !pool.is_required())
    }

    /// Resolves when the actor of every pool that has started has answered; see [`Pool::respond`](pool::Pool::respond).
    pub async fn respond(&self) {
        let all = self.all();
        let started = all.iter().filter_map(|pool| pool.started());
        futures_util::future::join_all(started.map(pool::Pool::respond)).await;
    }

    /// Returns the pools as they are now; what workers use is not measured, and shown as zero.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of(&self.all(), &HashMap::new())
    }

    /// Returns the pools as they are now, with what each worker uses, its descendants included. Callers that ask at the same time share one
    /// pass over `/proc`.
    pub async fn measured_snapshot(&self) -> Snapshot {
        let measure = async { offload::background(worker::usage_by_group).await.unwrap_or_default() };
        let usage = self.shared.usage.get(measure).await.unwrap_or_default();
        Snapshot::of(&self.all(), &usage)
    }

    /// Shuts all pools down at the same time; see [`Pool::stop`](pool::Pool::stop). Resolves to whether all workers left by themselves.
    pub async fn stop(&self, deadline: Instant) -> bool {
        let mut tasks = {
            let mut tasks = self.shared.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *tasks)
        };
        tasks.shutdown().await;
        let others = self.shared.others.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let all = [self.all(), others].concat();
        let stops = all.iter().filter_map(|pool| pool.started()).map(|pool| pool.stop(deadline));
        futures_util::future::join_all(stops).await.into_iter().all(|by_themselves| by_themselves)
    }
}

impl<'a> Request<'a> {
    fn with<B>(&self, body: &'a B) -> pool::Request<'a, B> {
        let Self { caller, label: kind, trace, context, deadline, .. } = *self;
        pool::Request { caller, kind, trace, context, body, deadline }
    }
}

impl Settings {
    /// Which calls go to the pools other than the default one.
    pub(super) fn matches(&self) -> Vec<Match> {
        self.pools.iter().map(|pool| pool.routing.matches.clone()).collect()
    }

    /// What each pool is made of.
    pub(super) fn starts(self, relays: &Relays) -> Vec<Start> {
        let Self { mut server, pool, pools, environment, max_message_size } = self;
        // Its `on_init` is run before anything else.
        server.on_init = None;
        let shared = server.relay.clone();
        let start = |name: Arc<str>, section: &str, required, server: worker::Config, pool| {
            let (relays, environment) = (relays.clone(), environment.clone());
            let section = if server.relay == shared { "server" } else { section };
            let relay_key = format!("{section}.relay");
            Start { name, required, pool, server, relays, relay_key, environment, max_message_size }
        };
        let mut starts = vec![start(compat::PLUGIN.into(), "server", true, server, pool)];
        for other in pools {
            let name = other.name().into();
            starts.push(start(name, &other.section(), other.routing.required, other.server, other.pool));
        }
        starts
    }
}
