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
//! The grace period is `endure.grace_period`. When it is over, workers are killed, and the calls that are left fail.

mod accepts;
mod access;
mod effects;
mod reload;
mod watching;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{error, info, warn};

use accepts::Accepts;
pub(crate) use accepts::Paused;
use access::Access;
pub(crate) use reload::Origin;
use reload::Reloader;
use watching::Watching;

use crate::admin;
use crate::api;
use crate::config::{Config, Loaded};
use crate::net::{Address, Connections, Sockets};
use crate::overview::{About, Calls, Overview, Sources};
use crate::pools::{self, Pools, UpcomingPools};
use crate::proxy;
use crate::rpc;
use crate::service::upgrade::{NoPredecessor, Predecessor};
use crate::service::{Notifier, Watchdog};
use crate::streams::Streams;
use crate::telemetry::trace::{Exporting, Tracer};
use crate::telemetry::{logs, metrics};
use crate::tls::{self, Acceptor};
use crate::worker::{self, Environment};

/// What workers get to exit before they are killed, even if calls have used up the grace period.
const WORKERS_EXIT: Duration = Duration::from_millis(100);

/// How long callers may take to read the failures of calls that were not finished.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// How long a collector may take for what waits for it at shutdown.
const LAST_SPANS: Duration = Duration::from_secs(3);

/// What the release of locks in Redis gets whose workers have exited.
const LOCKS_RELEASED: Duration = Duration::from_secs(1);

/// Requests for reloads that wait; more wait to be sent.
const RELOADS: usize = 16;

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
    /// Whether RPC, and what operators see, accept connections.
    accepts: Accepts,
    /// Sends signs of life until it is dropped.
    watchdog: JoinSet<()>,
    /// The configuration in force.
    in_force: Arc<ArcSwap<Loaded>>,
    services: Arc<rpc::Services>,
    /// Requests for reloads, until they are followed.
    reloads: Option<mpsc::Receiver<oneshot::Sender<String>>>,
    /// What decides who may connect to the proxy, likewise.
    access: Option<Access>,
    /// RPC's address, for workers.
    rpc_address: Option<String>,
    /// Reloads the configuration and watches files until it is dropped.
    following: JoinSet<()>,
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
        let (reload, reloads) = mpsc::channel(RELOADS);
        let services = services(loaded, health.clone(), requests, reload, &tracer).await?;
        if let Some(figures) = tracer.figures() {
            services.metrics.register(figures);
        }
        let accepts = Accepts::new(predecessor.is_none());
        let admin = start_admin(config, &services, health.clone(), sockets, &accepts).await?;
        let rpc = start_rpc(config, &services, sockets, &accepts).await?;
        if let Some(predecessor) = predecessor {
            predecessor.booting(config.start_time()).await?;
            accepts.rpc.send_replace(true);
        }
        run_on_init(config, &reload::environment(loaded, rpc.address.clone())).await?;
        let names = services.pools.numbers().clone();
        let server = proxy::Server::bind(&config.proxy, config.limits, names, sockets).await?.traced(tracer);
        services.metrics.register(server.statistics());
        services.metrics.register(server.memory());
        let connections = vec![
            ("proxy", vec![server.connections()]),
            ("rpc", rpc.connections),
            ("admin", admin.connections),
        ];
        services.metrics.register(Arc::new(admin::OpenConnections(connections)));
        // Waits until all workers of required pools are ready.
        let settings = reload::settings(loaded, rpc.address.clone());
        let relays = worker::Relays::new(predecessor.is_some());
        let pools = Pools::start(settings, services.pools.numbers().clone(), relays).await?;
        if let Some(predecessor) = predecessor
            && let Err(error) = predecessor.ready().await
        {
            pools.stop(Instant::now() + WORKERS_EXIT).await;
            return Err(error.into());
        }
        services.pools.set(pools.clone());
        sockets.own_files(true);
        accepts.admin.send_replace(true);
        let certificates =
            server.tls().cloned().into_iter().chain(rpc.certificates).chain(admin.certificates);
        let access = Access::new(certificates.collect(), Arc::clone(server.credentials()));
        let (close, closed) = oneshot::channel();
        let address = server.local_address();
        info!(target: "centrifuge", address = %server.address(), workers = config.workers(), "listening");
        let (streams, closed) = (services.streams.clone(), async { closed.await.unwrap_or_default() });
        let proxy = tokio::spawn(server.run(pools.clone(), streams.clone(), health, closed));
        let (watchdog, locks) = (JoinSet::new(), services.locks.clone());
        Ok(Self {
            pools,
            address,
            serving,
            streams,
            locks,
            close,
            proxy,
            rpc: rpc.running,
            traces: exporting,
            accepts,
            watchdog,
            in_force: Arc::new(ArcSwap::from_pointee(loaded.clone())),
            services,
            reloads: Some(reloads),
            access: Some(access),
            rpc_address: rpc.address,
            following: JoinSet::new(),
            _admin: admin.running,
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

    /// Watches files, and reloads the configuration whenever that is requested, from now on.
    ///
    /// # Errors
    /// If files cannot be watched; reloads are served all the same.
    pub(crate) fn follow(&mut self, origin: Origin) -> io::Result<()> {
        let Some((requests, access)) = self.reloads.take().zip(self.access.take()) else { return Ok(()) };
        let mut watching = Watching::new(origin.watches_all);
        let loaded = self.in_force.load_full();
        let watched = watching.set(&loaded.config, &loaded.work_dir, &self.pools);
        let reloader = Reloader {
            origin,
            in_force: Arc::clone(&self.in_force),
            pools: self.pools.clone(),
            services: Arc::clone(&self.services),
            rpc: self.rpc_address.take(),
            watching,
            access,
            address: self.address.clone(),
        };
        self.following.spawn(reloader.run(requests));
        watched
    }

    /// Requests a reload of the configuration, which is logged.
    pub fn reload(&self) {
        let services = Arc::clone(&self.services);
        tokio::spawn(async move { services.reload.send(oneshot::channel().0).await });
    }

    /// `endure.grace_period`, as it is now.
    pub fn grace_period(&self) -> Duration {
        self.in_force.load().config.grace_period
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
        // A reload that goes on ends here, and what it has started ends with the pools.
        self.following.shutdown().await;
        self.serving.send_replace(false);
        let _ = self.close.send(grace);
        let answered = timeout_at(deadline, &mut self.proxy).await.is_ok();
        if !answered {
            warn!(target: "centrifuge", "grace period over, dropping unfinished calls");
        }
        self.streams.finish(deadline).await;
        let exited = self.pools.stop(deadline.max(Instant::now() + WORKERS_EXIT)).await;
        if !answered {
            // Their workers are gone, so calls fail, with a status that forbids to repeat those that a worker had in hand.
            let _ = timeout(LAST_ANSWERS, &mut self.proxy).await;
            self.proxy.abort();
        }
        self.locks.finish(LOCKS_RELEASED).await;
        self.rpc.shutdown().await;
        if let Some(traces) = self.traces {
            let now = Instant::now();
            traces.finish(deadline.clamp(now, now + LAST_SPANS)).await;
        }
        if answered && exited { Shutdown::Clean } else { Shutdown::Forced }
    }
}

/// What RPC methods work on. The pools are set once they have started.
async fn services(
    loaded: &Loaded,
    serving: watch::Receiver<bool>,
    requests: Requests,
    reload: mpsc::Sender<oneshot::Sender<String>>,
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
        streams: Streams::new(config.streams, config.proxy.max_message_size, pools.numbers().clone(), events),
        pools,
        overview,
        config: ArcSwap::from_pointee(loaded.shown.clone().into()),
        serving,
        metrics: declared(config)?,
        locks: rpc::Locks::open(config.lock.as_ref(), config.compat).await?,
        stop: requests.stop,
        upgrade: requests.upgrade,
        reload,
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

/// Listeners that serve until `running` is dropped.
#[derive(Default)]
struct Serving {
    running: JoinSet<()>,
    /// RPC's address, for workers.
    address: Option<String>,
    connections: Vec<Arc<Connections>>,
    certificates: Vec<Arc<Acceptor>>,
}

/// Serves health and metrics, as far as there are sections for them.
async fn start_admin(
    config: &Config,
    services: &Arc<rpc::Services>,
    serving: watch::Receiver<bool>,
    sockets: &Sockets,
    accepts: &Accepts,
) -> io::Result<Serving> {
    let (registry, pools) = (Arc::clone(&services.metrics), services.pools.clone());
    registry.register(Arc::new(admin::Process));
    registry.register(Arc::new(logs::LostLines));
    registry.register(services.streams.figures());
    registry.register(services.api.figures());
    registry.register(services.overview.reloads());
    let api = services.api.clone();
    services.overview.count(Calls::Api, move || api.counted());
    registry.register(Arc::new(pools::Figures(pools.clone())));
    let sources = admin::Sources { registry, pools, serving, overview: services.overview.clone() };
    let (status, metrics) = (config.status.as_ref(), config.metrics.as_ref());
    let server = admin::Server::bind(status, metrics, config.limits, sources, sockets).await?;
    let (connections, certificates) = (server.connections(), server.tls().cloned().collect());
    let mut serving = Serving { connections, certificates, ..Serving::default() };
    serving.running.spawn(server.run(accepts.admin.subscribe()));
    Ok(serving)
}

/// Serves RPC, if there is an `rpc` section.
async fn start_rpc(
    config: &Config,
    services: &Arc<rpc::Services>,
    sockets: &Sockets,
    accepts: &Accepts,
) -> Result<Serving, StartError> {
    let Config { server, limits, rpc: Some(config), .. } = config else { return Ok(Serving::default()) };
    let workers = match &config.listen {
        Address::Unix(_) => server.identity().map_err(io::Error::other)?,
        Address::Tcp(_) => None,
    };
    let server = rpc::Server::bind(config, *limits, workers.as_ref(), sockets).await?;
    info!(target: "rpc", address = %server.address(), "listening");
    if let Some(address) = server.operators() {
        info!(target: "rpc", %address, section = "rpc.operators", "listening");
    }
    let address = Some(server.address().absolute().to_string());
    let (connections, certificates) = (server.connections(), server.tls().cloned().collect());
    let mut serving = Serving { address, connections, certificates, ..Serving::default() };
    serving.running.spawn(server.run(Arc::clone(services), accepts.rpc.subscribe()));
    Ok(serving)
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
