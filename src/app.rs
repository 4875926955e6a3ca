//! The one place that knows every part: what is started, in which order, and how it all ends.
//!
//! ```text
//!  start:  health ─▶ rpc ─▶ on_init ─▶ bind the proxy's listener ─▶ metrics ─▶ pool (all workers ready) ─▶ serve
//!  end:    proxy (no new calls, those in flight and waiting are finished) ─▶ pool (workers leave, all at once) ─▶ the others
//! ```
//!
//! RPC is there first and last, since workers call it as long as they live.
//!
//! The end has one deadline, `endure.grace_period`. What is not done by then is cut off: calls are dropped, workers killed.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use globset::Glob;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tracing::{error, info, warn};

use crate::api;
use crate::config::{Config, Loaded};
use crate::net::Address;
use crate::pool;
use crate::pools::{Pools, UpcomingPools};
use crate::proxy;
use crate::rpc;
use crate::telemetry::{self, metrics};
use crate::watch::{Patterns, Watch};
use crate::worker::{self, Environment};

/// The end of workers is waited for at least so long, so that they can be asked before they are killed though calls have used up the
/// grace period.
const LAST_MOMENT: Duration = Duration::from_millis(100);

/// Why `serve` could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be bound.
    #[error(transparent)]
    Listen(#[from] io::Error),
    /// `server.on_init` failed, and `exit_on_error` is set.
    #[error("{0}")]
    OnInit(String),
    /// Centrifugo's API cannot be called with these settings.
    #[error(transparent)]
    Api(#[from] api::SetupError),
    /// One of `metrics.collect` cannot be declared.
    #[error("metrics.collect.{name}: {reason}")]
    Metrics {
        /// Its name.
        name: String,
        /// Why.
        reason: metrics::DeclareError,
    },
    /// The workers could not be started.
    #[error(transparent)]
    Pool(#[from] pool::StartError),
}

/// How `serve` ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All calls were answered, and all workers left.
    Clean,
    /// The grace period ended before that was done.
    Late,
}

/// A running bridge.
#[derive(Debug)]
pub struct App {
    pools: Pools,
    address: String,
    shutdown: oneshot::Sender<()>,
    serving: watch::Sender<bool>,
    proxy: tokio::task::JoinHandle<proxy::Stopped>,
    /// Stops watching when it is dropped.
    watching: JoinSet<()>,
    /// Ends when it is dropped.
    rpc: JoinSet<()>,
    /// Health and metrics, which end when they are dropped.
    _pages: JoinSet<()>,
}

impl App {
    /// Starts everything; calls are served when this returns. `stop` is told when a caller of RPC wants the server to end, which may be
    /// earlier.
    ///
    /// # Errors
    /// See [`StartError`]. Nothing is left running then.
    pub async fn start(loaded: &Loaded, stop: mpsc::Sender<rpc::Stop>) -> Result<Self, StartError> {
        let config = &loaded.config;
        let services = services(loaded, stop)?;
        let (serving, health) = watch::channel(true);
        let mut pages = JoinSet::new();
        start_health(config, &services, health.clone(), &mut pages).await?;
        let (rpc, rpc_address) = start_rpc(config, &services).await?;
        let environment = Environment {
            work_dir: loaded.work_dir.clone(),
            inherited: loaded.env.clone(),
            rpc: rpc_address,
        };
        run_on_init(config, &environment).await?;
        let server = proxy::Server::bind(&config.proxy).await?;
        let address = server.local_address();
        start_metrics(config, &services, server.statistics(), &mut pages).await?;
        let pools = Pools::start(pool::Start {
            pool: config.pool.clone(),
            server: config.server.clone(),
            environment,
            max_answer: config.proxy.max_message_size,
        })
        .await?;
        let _ = services.pools.set(pools.clone());
        let (shutdown, stop) = oneshot::channel();
        let stopped = async { drop(stop.await) };
        let proxy = tokio::spawn(server.run(pools.clone(), health, stopped));
        info!(target: "centrifuge", address, workers = config.pool.num_workers, "listening");
        let watching = JoinSet::new();
        Ok(Self { pools, address, shutdown, serving, proxy, watching, rpc, _pages: pages })
    }

    /// Where calls are taken: `host:port`, or the path of a socket.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The workers.
    pub fn pools(&self) -> &Pools {
        &self.pools
    }

    /// From now on, when a file that `globs` name changes, workers are replaced by new ones. Without globs, what is usually code counts.
    ///
    /// # Errors
    /// When files cannot be watched.
    pub fn watch(&mut self, work_dir: &Path, globs: &[Glob]) -> io::Result<()> {
        let patterns = Patterns::new(work_dir, globs).map_err(io::Error::other)?;
        let (mut watch, pools) = (Watch::start(patterns)?, self.pools.clone());
        self.watching.spawn(async move {
            loop {
                let file = watch.changed().await;
                info!(target: "watch", file = %file.display(), "a file has changed, workers are replaced");
                pools.reset_all().await;
            }
        });
        Ok(())
    }

    /// Ends everything within `grace`. What is not done by then is cut off.
    pub async fn stop(mut self, grace: Duration) -> Ended {
        self.watching.abort_all();
        let deadline = Instant::now() + grace;
        self.serving.send_replace(false);
        let _ = self.shutdown.send(());
        let mut proxy = self.proxy;
        let answered = timeout_at(deadline, &mut proxy).await.is_ok();
        if !answered {
            warn!(target: "centrifuge", "some calls are not finished though the grace period is over; they are dropped");
            proxy.abort();
        }
        let left = self.pools.stop(deadline.max(Instant::now() + LAST_MOMENT)).await;
        self.rpc.shutdown().await;
        if answered && left { Ended::Clean } else { Ended::Late }
    }
}

/// What RPC works on. The pools are started later.
fn services(loaded: &Loaded, stop: mpsc::Sender<rpc::Stop>) -> Result<Arc<rpc::Services>, StartError> {
    let config = &loaded.config;
    let services = rpc::Services {
        api: api::Client::new(&config.api)?,
        pools: UpcomingPools::default(),
        config: loaded.shown.clone().into(),
        metrics: declared(config)?,
        locks: rpc::Locks::default(),
        stop,
    };
    Ok(Arc::new(services))
}

/// The application's metrics: those of `metrics.collect` are there from the beginning.
fn declared(config: &Config) -> Result<Arc<metrics::Registry>, StartError> {
    let registry = metrics::Registry::default();
    for (name, collector) in config.metrics.iter().flat_map(|metrics| &metrics.collect) {
        let declared = registry.declare(name, collector);
        declared.map_err(|reason| StartError::Metrics { name: name.clone(), reason })?;
    }
    Ok(Arc::new(registry))
}

/// Says from now on whether the server lives and is ready, if there is a `status` section.
async fn start_health(
    config: &Config,
    services: &Arc<rpc::Services>,
    serving: watch::Receiver<bool>,
    pages: &mut JoinSet<()>,
) -> io::Result<()> {
    if let Some(config) = &config.status {
        let health = telemetry::Health::bind(config).await?;
        info!(target: "status", address = health.local_address(), "listening");
        pages.spawn(health.run(Arc::clone(&services.pools), serving));
    }
    Ok(())
}

/// Shows metrics from now on, if there is a `metrics` section.
async fn start_metrics(
    config: &Config,
    services: &Arc<rpc::Services>,
    proxy: Arc<proxy::Statistics>,
    pages: &mut JoinSet<()>,
) -> io::Result<()> {
    if let Some(config) = &config.metrics {
        let server = metrics::Server::bind(config).await?;
        info!(target: "metrics", address = server.local_address(), "listening");
        let registry = Arc::clone(&services.metrics);
        pages.spawn(server.run(metrics::Sources { registry, pools: Arc::clone(&services.pools), proxy }));
    }
    Ok(())
}

/// Answers calls from now on, if there is an `rpc` section; gives the address for workers.
async fn start_rpc(
    config: &Config,
    services: &Arc<rpc::Services>,
) -> Result<(JoinSet<()>, Option<String>), StartError> {
    let mut running = JoinSet::new();
    let Config { server, rpc: Some(config), .. } = config else { return Ok((running, None)) };
    let workers = match &config.listen {
        Address::Unix(_) => server.identity().map_err(io::Error::other)?,
        Address::Tcp(_) => None,
    };
    let server = rpc::Server::bind(config, workers.as_ref()).await?;
    let address = server.address().to_string();
    info!(target: "rpc", address, "listening");
    running.spawn(server.run(Arc::clone(services)));
    Ok((running, Some(address)))
}

async fn run_on_init(config: &Config, environment: &Environment) -> Result<(), StartError> {
    let Some(on_init) = &config.server.on_init else { return Ok(()) };
    match worker::run_on_init(on_init, &config.server, environment).await {
        Ok(()) => Ok(()),
        Err(reason) if on_init.exit_on_error => Err(StartError::OnInit(reason)),
        Err(reason) => {
            error!(target: "server", %reason, "the workers are started all the same");
            Ok(())
        }
    }
}
