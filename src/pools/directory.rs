//! The pools by their names and numbers.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::SetOnce;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::config::Config;
use super::named::{NamedPool, StartError};
use super::route::Routes;
use super::snapshot::Snapshot;
use super::streamed::Opened;
use super::translation::TypedBody;
use crate::compat;
use crate::offload;
use crate::pool::{self, Answered, Caller, Error, Pool, RequestType, Start, Timings};
use crate::single_flight::SingleFlight;
use crate::telemetry::trace::TraceId;
use crate::worker::{self, Environment, Relays, Usage};

/// How long workers that are ready may take to leave when others could not be started at first.
const FAILED_START: Duration = Duration::from_secs(5);

/// All pools. Clones are the same pools.
#[derive(Debug, Clone)]
pub struct Pools {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// The default one, then the others in the order of the file.
    pools: Vec<Arc<NamedPool>>,
    routes: Routes,
    /// Tasks that start pools which are not required.
    starting: Mutex<JoinSet<()>>,
    /// What process groups use, by their numbers.
    usage: SingleFlight<HashMap<u32, Usage>>,
    max_message_size: usize,
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
    /// Whether another server runs, which this one may take over from.
    pub has_predecessor: bool,
    /// The largest frame in bytes that a worker may send.
    pub max_message_size: usize,
}

/// The pools for parts that are started before them.
#[derive(Debug, Clone)]
pub struct UpcomingPools {
    names: Arc<[String]>,
    pools: Arc<SetOnce<Pools>>,
}

impl UpcomingPools {
    /// Pools that have not started.
    pub fn new(others: &[Config]) -> Self {
        let others = others.iter().map(Config::name);
        Self {
            names: std::iter::once(compat::PLUGIN.to_owned()).chain(others).collect(),
            pools: Arc::default(),
        }
    }

    /// The names of all pools, the default one first.
    pub fn names(&self) -> &[String] {
        &self.names
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
    /// Starts all pools, and waits until the workers of those that are required are ready.
    ///
    /// # Errors
    /// When a worker of a required pool does not become ready; then no worker is left.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let routes = Routes::new(settings.pools.iter().map(|pool| pool.routing.matches.clone()));
        let max_message_size = settings.max_message_size;
        let pools: Vec<_> =
            settings.starts().into_iter().map(|start| Arc::new(NamedPool::new(start))).collect();
        let (starting, usage) = (Mutex::default(), SingleFlight::default());
        let pools = Self { shared: Arc::new(Shared { pools, routes, starting, usage, max_message_size }) };
        let result = pools.start_required().await;
        if let Err(error) = result {
            pools.stop(Instant::now() + FAILED_START).await;
            return Err(error);
        }
        let mut starting = pools.shared.starting.lock().unwrap_or_else(PoisonError::into_inner);
        for pool in pools.all().iter().filter(|pool| !pool.is_required()) {
            let pool = Arc::clone(pool);
            starting.spawn(async move { pool.keep_starting().await });
        }
        drop(starting);
        Ok(pools)
    }

    /// Fails with the first that fails.
    async fn start_required(&self) -> Result<(), StartError> {
        let required = self.all().iter().filter(|pool| pool.is_required());
        let mut starting: FuturesUnordered<_> = required.map(|pool| pool.start()).collect();
        while let Some(result) = starting.next().await {
            result?;
        }
        Ok(())
    }

    /// Returns the number of the pool that answers a call of this type with this message.
    #[inline]
    pub fn route(&self, kind: &str, message: &[u8]) -> usize {
        self.shared.routes.pool(kind, message)
    }

    /// Runs a request on a worker; see [`Pool::exec`]. Body and answer are protobuf, whatever the worker reads and writes.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn exec(&self, request: &Request<'_>, timings: &mut Timings) -> Result<Answered, Error> {
        let (pool, body) = self.prepare(request, None)?;
        pool.exec(&request.with(&body), timings).await
    }

    /// The same for a request that opens a stream; its answer may be streamed. See [`Pool::open`]. `is_seen` is set as soon as a worker
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
        let (pool, body) = self.prepare(request, Some(is_seen))?;
        let opened = pool.open(&request.with(&body), timings).await?;
        Ok(Opened::of(request.kind, opened))
    }

    fn prepare<'a>(
        &self,
        request: &'a Request<'a>,
        is_seen: Option<&'a AtomicBool>,
    ) -> Result<(&Pool, TypedBody<'a>), Error> {
        let Request { pool, kind, body, .. } = request;
        let max_message_size = self.shared.max_message_size;
        let pool = self.shared.pools[*pool].running()?;
        Ok((pool, TypedBody { kind, body, max_message_size, is_seen }))
    }

    /// All of them, the default one first.
    pub fn all(&self) -> &[Arc<NamedPool>] {
        &self.shared.pools
    }

    /// Returns the pool of this name.
    pub fn get(&self, name: &str) -> Option<&NamedPool> {
        self.all().iter().find(|pool| pool.name() == name).map(|pool| &**pool)
    }

    /// Whether every required pool serves requests.
    pub fn are_ready(&self) -> bool {
        self.all().iter().all(|pool| pool.is_ready() || !pool.is_required())
    }

    /// Resolves when the actor of every pool that has started has answered; see [`Pool::respond`].
    pub async fn respond(&self) {
        let started = self.all().iter().filter_map(|pool| pool.started());
        futures_util::future::join_all(started.map(Pool::respond)).await;
    }

    /// Returns the pools as they are now; what workers use is not measured, and shown as zero.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of(self.all(), &HashMap::new())
    }

    /// Returns the pools as they are now, with what each worker uses, its descendants included. Callers that ask at the same time share one
    /// pass over `/proc`.
    pub async fn measured_snapshot(&self) -> Snapshot {
        let measure = async { offload::background(worker::usage_by_group).await.unwrap_or_default() };
        let usage = self.shared.usage.get(measure).await.unwrap_or_default();
        Snapshot::of(self.all(), &usage)
    }

    /// Shuts all pools down at the same time; see [`Pool::stop`](pool::Pool::stop). Resolves to whether all workers left by themselves.
    pub async fn stop(&self, deadline: Instant) -> bool {
        let mut starting = {
            let mut starting = self.shared.starting.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *starting)
        };
        starting.shutdown().await;
        let stops = self.all().iter().filter_map(|pool| pool.started()).map(|pool| pool.stop(deadline));
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
    fn starts(self) -> Vec<Start> {
        let Self { mut server, pool, pools, environment, has_predecessor, max_message_size } = self;
        // Its `on_init` is run before anything else.
        server.on_init = None;
        let relays = Relays::new(has_predecessor);
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
