//! The one place that knows every part: start order, shutdown order and deadlines.
//!
//! ```text
//!  start                                   shutdown                                         deadline
//!  1 admin: health, metrics, page          1 readiness: /ready and grpc.health say no
//!  2 rpc                                   2 proxy: refuses new calls, finishes the others  grace period
//!  3 on_init                                 streams: end, evenly                           half of the grace period
//!  4 proxy: bind                           3 streams: workers handle their ends             grace period, at most 5 s
//!  5 pools: workers ready, if required     4 pools: workers exit, all at once               grace period, at least WORKERS_EXIT
//!  6 proxy: serve                          5 locks in Redis whose workers have exited       LOCKS_RELEASED
//!                                          6 rpc
//!                                          7 traces: what waits is exported             grace period, at most 3 s
//!                                          8 admin
//! ```
//!
//! RPC starts before the workers and stops after them, since they call it as long as they live. The proxy binds before the pool starts,
//! so that an address in use is reported before workers boot; calls wait in its backlog until then.
//!
//! The grace period is `endure.grace_period`. When it is over, calls are dropped and workers killed.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use globset::Glob;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tracing::{error, info, warn};

use crate::admin;
use crate::api;
use crate::config::{Config, Loaded};
use crate::net::{Address, Connections, Sockets};
use crate::overview::{About, Calls, Overview, Sources};
use crate::pools::{self, NamedPool, Pools, UpcomingPools};
use crate::proxy;
use crate::rpc;
use crate::service::upgrade::{NoPredecessor, Predecessor};
use crate::service::{self, Notifier, Watchdog};
use crate::streams::Streams;
use crate::telemetry::trace::{Exporting, Tracer};
use crate::telemetry::{logs, metrics};
use crate::tls;
use crate::watch::{Patterns, Watch};
use crate::worker::{self, Environment};

/// What workers get to exit before they are killed, even if calls have used up the grace period.
const WORKERS_EXIT: Duration = Duration::from_millis(100);

/// How long a collector may take for what waits for it at shutdown.
const LAST_SPANS: Duration = Duration::from_secs(3);

/// What the release of locks in Redis gets whose workers have exited.
const LOCKS_RELEASED: Duration = Duration::from_secs(1);

/// Why `serve` could not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// An address cannot be bound.
    #[error(transparent)]
    Listen(#[from] io::Error),
    /// `server.on_init` failed, and `exit_on_error` is set.
    #[error(transparent)]
    OnInit(#[from] worker::OnInitError),
    /// Centrifugo's API cannot be called with these settings.
    #[error(transparent)]
    Api(#[from] api::SetupError),
    /// The certificates for a collector of traces cannot be used.
    #[error("otel")]
    Traces(#[source] tls::Error),
    /// One of `metrics.collect` cannot be declared.
    #[error("metrics.collect.{name}: {reason}")]
    Metrics {
        /// The collector's name.
        name: String,
        /// Why it cannot be declared.
        reason: metrics::DeclareError,
    },
    /// The server that this one was to take over from goes on.
    #[error(transparent)]
    Predecessor(#[from] NoPredecessor),
    /// The locks cannot be used.
    #[error(transparent)]
    Locks(#[from] rpc::OpenError),
    /// The workers could not be started.
    #[error(transparent)]
    Pool(#[from] pools::StartError),
}

/// Where requests of callers of RPC go.
#[derive(Debug)]
pub(crate) struct Requests {
    /// To stop the server.
    pub(crate) stop: mpsc::Sender<rpc::Stop>,
    /// To hand over to a new one.
    pub(crate) upgrade: mpsc::Sender<rpc::UpgradeReply>,
}

/// How the shutdown went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Every call was answered, and every worker exited.
    Clean,
    /// The grace period ran out first.
    Forced,
}

/// A running bridge.
#[derive(Debug)]
pub struct App {
    pools: Pools,
    address: String,
    /// Whether the server is serving, as health checks report it.
    serving: watch::Sender<bool>,
    /// Subscription streams.
    streams: Streams,
    /// Locks, some of which end with their workers.
    locks: rpc::Locks,
    /// Makes the proxy refuse new calls, and end its streams within this time.
    close: oneshot::Sender<Duration>,
    proxy: tokio::task::JoinHandle<proxy::Stopped>,
    rpc: JoinSet<()>,
    /// Exports spans, if there are any.
    traces: Option<Exporting>,
    /// Watches files until it is dropped.
    watching: JoinSet<()>,
    /// Whether RPC, and what operators see, accept connections.
    accepts: Accepts,
    /// Sends signs of life until it is dropped.
    watchdog: JoinSet<()>,
    /// Serves health and metrics until it is dropped.
    _admin: JoinSet<()>,
}

impl App {
    /// Starts everything; the proxy is serving when this returns. Listeners use the inherited `sockets` that are theirs. A caller of RPC that
    /// wants the server to stop is reported to `requests`, which may happen before that.
    ///
    /// With a `predecessor`, RPC is served once that has left it to this server, and everything else once that has left all of it.
    pub(crate) async fn start(
        loaded: &Loaded,
        requests: Requests,
        sockets: &Sockets,
        predecessor: Option<&Predecessor>,
    ) -> Result<Self, StartError> {
        let config = &loaded.config;
        let (serving, health) = watch::channel(true);
        let (tracer, exporting) =
            Tracer::start(config.otel.as_ref(), &loaded.env).map_err(StartError::Traces)?;
        let services = services(loaded, health.clone(), requests, &tracer).await?;
        if let Some(figures) = tracer.figures() {
            services.metrics.register(figures);
        }
        let accepts = Accepts::new(predecessor.is_none());
        let (admin, admin_connections) =
            start_admin(config, &services, health.clone(), sockets, &accepts).await?;
        let (rpc, rpc_address, rpc_connections) = start_rpc(config, &services, sockets, &accepts).await?;
        if let Some(predecessor) = predecessor {
            predecessor.booting(config.start_time()).await?;
            accepts.rpc.send_replace(true);
        }
        let environment = Environment {
            work_dir: loaded.work_dir.clone(),
            inherited: loaded.env.iter().filter(|(name, _)| !service::is_private(name)).cloned().collect(),
            rpc: rpc_address,
            compat: config.compat,
        };
        run_on_init(config, &environment).await?;
        let server =
            proxy::Server::bind(&config.proxy, services.pools.names(), sockets).await?.traced(tracer);
        services.metrics.register(server.statistics());
        let connections = vec![
            ("proxy", vec![server.connections()]),
            ("rpc", rpc_connections),
            ("admin", admin_connections),
        ];
        services.metrics.register(Arc::new(admin::OpenConnections(connections)));
        let pools = start_pools(config, environment, predecessor.is_some()).await?;
        if let Some(predecessor) = predecessor
            && let Err(error) = predecessor.ready().await
        {
            pools.stop(Instant::now() + WORKERS_EXIT).await;
            return Err(error.into());
        }
        services.pools.set(pools.clone());
        sockets.own_files(true);
        accepts.admin.send_replace(true);
        let (close, closed) = oneshot::channel();
        let address = server.local_address();
        info!(target: "centrifuge", address = %server.address(), workers = config.workers(), "listening");
        let (streams, closed) = (services.streams.clone(), async { closed.await.unwrap_or_default() });
        let proxy = tokio::spawn(server.run(pools.clone(), streams.clone(), health, closed));
        let (watching, watchdog, locks) = (JoinSet::new(), JoinSet::new(), services.locks.clone());
        Ok(Self {
            pools,
            address,
            serving,
            streams,
            locks,
            close,
            proxy,
            rpc,
            traces: exporting,
            watching,
            accepts,
            watchdog,
            _admin: admin,
        })
    }

    /// The proxy's address: `host:port`, or the path of a socket.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The pools of workers.
    pub fn pools(&self) -> &Pools {
        &self.pools
    }

    /// Resets each pool whenever a file changes that matches its `watch`; if `all` is set, those without globs when a file changes that is
    /// usually code.
    ///
    /// # Errors
    /// If files cannot be watched.
    pub fn watch(&mut self, loaded: &Loaded, all: bool) -> io::Result<()> {
        let config = &loaded.config;
        let pools = std::iter::once(&config.pool).chain(config.pools.iter().map(|pool| &pool.pool));
        let mut watched: Vec<(&[Glob], Vec<Arc<NamedPool>>)> = Vec::new();
        for (settings, pool) in pools.zip(self.pools.all()) {
            if settings.watch.is_empty() && !all {
                continue;
            }
            // Pools that watch the same files share a watch.
            match watched.iter_mut().find(|(globs, _)| *globs == settings.watch) {
                Some((_, pools)) => pools.push(Arc::clone(pool)),
                None => watched.push((&settings.watch, vec![Arc::clone(pool)])),
            }
        }
        for (globs, pools) in watched {
            let patterns = Patterns::new(&loaded.work_dir, globs).map_err(io::Error::other)?;
            self.watching.spawn(reset_on_changes(Watch::start(patterns)?, pools));
        }
        Ok(())
    }

    /// Leaves new connections of RPC to another server, until the guard is dropped.
    pub(crate) fn pause_rpc(&self) -> Paused<'_> {
        Paused::new(&self.accepts.rpc)
    }

    /// Leaves new connections for health, metrics and the page to another server, until the guard is dropped.
    pub(crate) fn pause_admin(&self) -> Paused<'_> {
        Paused::new(&self.accepts.admin)
    }

    /// The number of resources that are locked in this process's memory.
    pub(crate) fn locks_in_memory(&self) -> usize {
        self.locks.in_memory_now()
    }

    /// Sends signs of life to the service manager until the shutdown is over.
    pub(crate) fn stay_alive(&mut self, watchdog: Watchdog, notifier: Notifier) {
        let (pools, serving) = (self.pools.clone(), self.serving.subscribe());
        self.watchdog.spawn(async move { watchdog.run(notifier, || pools.respond(), serving).await });
    }

    /// Shuts everything down within `grace`.
    pub async fn stop(mut self, grace: Duration) -> Shutdown {
        let deadline = Instant::now() + grace;
        self.watching.abort_all();
        self.serving.send_replace(false);
        let _ = self.close.send(grace);
        let answered = timeout_at(deadline, &mut self.proxy).await.is_ok();
        if !answered {
            warn!(target: "centrifuge", "grace period over, dropping unfinished calls");
            self.proxy.abort();
        }
        self.streams.finish(deadline).await;
        let exited = self.pools.stop(deadline.max(Instant::now() + WORKERS_EXIT)).await;
        self.locks.finish(LOCKS_RELEASED).await;
        self.rpc.shutdown().await;
        if let Some(traces) = self.traces {
            let now = Instant::now();
            traces.finish(deadline.clamp(now, now + LAST_SPANS)).await;
        }
        if answered && exited { Shutdown::Clean } else { Shutdown::Forced }
    }
}

/// Whether listeners accept connections that another process may accept as well.
#[derive(Debug)]
struct Accepts {
    rpc: watch::Sender<bool>,
    admin: watch::Sender<bool>,
}

impl Accepts {
    fn new(yes: bool) -> Self {
        Self { rpc: watch::Sender::new(yes), admin: watch::Sender::new(yes) }
    }
}

/// While it exists, another server accepts the connections of a listener.
#[derive(Debug)]
#[must_use = "connections are accepted again when this is dropped"]
pub(crate) struct Paused<'a>(Option<&'a watch::Sender<bool>>);

impl<'a> Paused<'a> {
    fn new(accepts: &'a watch::Sender<bool>) -> Self {
        accepts.send_replace(false);
        Self(Some(accepts))
    }

    /// The other server goes on to accept them.
    pub(crate) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        if let Some(accepts) = self.0 {
            accepts.send_replace(true);
        }
    }
}

async fn reset_on_changes(mut watch: Watch, pools: Vec<Arc<NamedPool>>) {
    loop {
        let file = watch.changed().await;
        info!(target: "watch", file = %file.display(), "file changed, resetting the workers");
        // The pools log the outcome.
        futures_util::future::join_all(pools.iter().map(|pool| pool.reset())).await;
    }
}

/// What RPC methods work on. The pools are set once they have started.
async fn services(
    loaded: &Loaded,
    serving: watch::Receiver<bool>,
    requests: Requests,
    tracer: &Tracer,
) -> Result<Arc<rpc::Services>, StartError> {
    let config = &loaded.config;
    let pools = UpcomingPools::new(&config.pools);
    let events = Arc::new(proxy::StreamEvents::new(pools.clone()));
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    let about = About::new(config.compat, &loaded.shown, &warnings);
    let overview = Overview::new(Sources { pools: pools.clone(), serving: serving.clone(), about });
    let services = rpc::Services {
        api: api::Client::traced(&config.api, tracer.clone())?,
        streams: Streams::new(config.streams, config.proxy.max_message_size, pools.names(), events),
        pools,
        overview,
        config: loaded.shown.clone().into(),
        serving,
        metrics: declared(config)?,
        locks: rpc::Locks::open(config.lock.as_ref(), config.compat).await?,
        stop: requests.stop,
        upgrade: requests.upgrade,
        compat: config.compat,
    };
    Ok(Arc::new(services))
}

/// The registry of the application's metrics, with those that `metrics.collect` declares.
fn declared(config: &Config) -> Result<Arc<metrics::Registry>, StartError> {
    let registry = metrics::Registry::default();
    for (name, collector) in config.metrics.iter().flat_map(|metrics| &metrics.collect) {
        let declared = registry.declare(name, collector);
        declared.map_err(|reason| StartError::Metrics { name: name.clone(), reason })?;
    }
    Ok(Arc::new(registry))
}

/// Serves health and metrics, as far as there are sections for them. Returns the open connections as well.
async fn start_admin(
    config: &Config,
    services: &Arc<rpc::Services>,
    serving: watch::Receiver<bool>,
    sockets: &Sockets,
    accepts: &Accepts,
) -> io::Result<(JoinSet<()>, Vec<Arc<Connections>>)> {
    let (registry, pools) = (Arc::clone(&services.metrics), services.pools.clone());
    registry.register(Arc::new(admin::Process));
    registry.register(Arc::new(logs::LostLines));
    registry.register(services.streams.figures());
    registry.register(services.api.figures());
    let api = services.api.clone();
    services.overview.count(Calls::Api, move || api.counted());
    registry.register(Arc::new(pools::Figures(pools.clone())));
    let sources = admin::Sources { registry, pools, serving, overview: services.overview.clone() };
    let server =
        admin::Server::bind(config.status.as_ref(), config.metrics.as_ref(), sources, sockets).await?;
    let (mut running, connections) = (JoinSet::new(), server.connections());
    running.spawn(server.run(accepts.admin.subscribe()));
    Ok((running, connections))
}

/// Starts the pools and waits until all workers of those that are required are ready.
async fn start_pools(
    config: &Config,
    environment: Environment,
    has_predecessor: bool,
) -> Result<Pools, pools::StartError> {
    let settings = pools::Settings {
        pool: config.pool.clone(),
        pools: config.pools.clone(),
        server: config.server.clone(),
        environment,
        has_predecessor,
        max_message_size: config.proxy.max_message_size,
    };
    Pools::start(settings).await
}

/// Serves RPC, if there is an `rpc` section. Returns its address, for workers, and its open connections.
async fn start_rpc(
    config: &Config,
    services: &Arc<rpc::Services>,
    sockets: &Sockets,
    accepts: &Accepts,
) -> Result<(JoinSet<()>, Option<String>, Vec<Arc<Connections>>), StartError> {
    let mut running = JoinSet::new();
    let Config { server, rpc: Some(config), .. } = config else { return Ok((running, None, Vec::new())) };
    let workers = match &config.listen {
        Address::Unix(_) => server.identity().map_err(io::Error::other)?,
        Address::Tcp(_) => None,
    };
    let server = rpc::Server::bind(config, workers.as_ref(), sockets).await?;
    info!(target: "rpc", address = %server.address(), "listening");
    if let Some(address) = server.operators() {
        info!(target: "rpc", %address, section = "rpc.operators", "listening");
    }
    let address = server.address().absolute().to_string();
    let connections = server.connections();
    running.spawn(server.run(Arc::clone(services), accepts.rpc.subscribe()));
    Ok((running, Some(address), connections))
}

async fn run_on_init(config: &Config, environment: &Environment) -> Result<(), StartError> {
    let Some(on_init) = &config.server.on_init else { return Ok(()) };
    match worker::run_on_init("server", on_init, &config.server, environment).await {
        Ok(()) => Ok(()),
        Err(error) if on_init.exit_on_error => Err(error.into()),
        Err(reason) => {
            error!(target: "server", %reason, "on_init failed, starting the workers anyway");
            Ok(())
        }
    }
}
