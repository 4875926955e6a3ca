//! The listeners: one for each address, whichever sections name it.

use std::io;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::info;

use super::basic_auth::{Guard, behind};
use super::config::{Metrics, Status, is_same_listener};
use super::connection;
use super::gate::Gate;
use super::health::{Probe, Question, ServerState};
use super::metrics::MetricsPage;
use super::page;
use super::site::{Methods, Path, Site};
use crate::net::{
    Accepted, Address, Attributes, Connections, Limit, LimitSettings, Listener, Options, Sockets,
};
use crate::overview::Overview;
use crate::pools::UpcomingPools;
use crate::telemetry::metrics::Registry;
use crate::tls::{Acceptor, ServerFiles};

/// The number of connections of one listener.
const CONNECTIONS: Limit = Limit { at_most: 128, one_of: 32, per_address: true };

/// The probes; the names that Kubernetes uses for its own came with RoadRunner 3.
const PROBES: [(&str, Question); 5] = [
    ("/health", Question::Health),
    ("/livez", Question::Health),
    ("/ready", Question::Ready),
    ("/readyz", Question::Ready),
    ("/jobs", Question::Jobs),
];

/// The keys of a section in the configuration.
struct Keys {
    section: &'static str,
    address: &'static str,
    tls: &'static str,
}

const STATUS: Keys = Keys { section: "status", address: "status.address", tls: "status.tls" };
const METRICS: Keys = Keys { section: "metrics", address: "metrics.address", tls: "metrics.tls" };

/// What the pages show.
pub(crate) struct Sources {
    /// All metrics.
    pub(crate) registry: Arc<Registry>,
    /// The pools, once they are started.
    pub(crate) pools: UpcomingPools,
    /// False once the server shuts down.
    pub(crate) serving: watch::Receiver<bool>,
    /// What the page for people shows.
    pub(crate) overview: Overview,
}

/// The bound listeners.
#[derive(Debug, Default)]
pub struct Server {
    bound: Vec<Bound>,
    limits: LimitSettings,
}

/// One listener and what it serves.
#[derive(Debug)]
struct Bound {
    /// The address as it is configured.
    address: String,
    listener: Listener,
    tls: Option<Arc<Acceptor>>,
    site: Site,
}

impl Server {
    /// Listens on the inherited sockets named `status` and `metrics`, or binds the addresses of these sections.
    ///
    /// # Errors
    /// If an address cannot be bound; the message names it.
    pub(crate) async fn bind(
        status: Option<&Status>,
        metrics: Option<&Metrics>,
        limits: LimitSettings,
        sources: Sources,
        sockets: &Sockets,
    ) -> io::Result<Self> {
        let Sources { registry, pools, serving, overview } = sources;
        let mut server = Self { bound: Vec::new(), limits };
        if let Some(config) = status {
            let Bound { listener, site, .. } =
                server.at(&STATUS, &config.address, config.tls.as_ref(), sockets).await?;
            let state = ServerState { pools, serving };
            // With any method, as in RoadRunner: HAProxy's checks send OPTIONS.
            for (path, question) in PROBES {
                let page = Probe::new(question, config, state.clone());
                site.add(Path::Exact(path), Methods::Any, Arc::new(page));
            }
            let gate = Gate::new(&config.address, &config.hosts, config.control);
            page::add(site, overview, gate, Guard::of("status", config.basic_auth.as_ref()).as_ref());
            info!(target: "status", address = %listener.address(), "listening");
        }
        if let Some(config) = metrics {
            let Bound { listener, site, .. } =
                server.at(&METRICS, &config.address, config.tls.as_ref(), sockets).await?;
            // On an address of its own it answers at any path, as in RoadRunner: scrapers may rely on it.
            let path = if site.is_empty() { Path::Other } else { Path::Exact("/metrics") };
            let guard = Guard::of("metrics", config.basic_auth.as_ref());
            site.add(path, Methods::Read, behind(guard.as_ref(), Arc::new(MetricsPage::new(registry))));
            info!(target: "metrics", address = %listener.address(), "listening");
        }
        Ok(server)
    }

    /// The listener at this address, which a section names. Binds it unless another section has, which has the same TLS then.
    async fn at(
        &mut self,
        keys: &Keys,
        address: &str,
        tls: Option<&ServerFiles>,
        sockets: &Sockets,
    ) -> io::Result<&mut Bound> {
        let shared = self.bound.iter().position(|bound| is_same_listener(&bound.address, address));
        let index = if let Some(index) = shared {
            index
        } else {
            let tls = tls.map(|files| Acceptor::new(keys.tls, files, &[b"http/1.1"])).transpose()?;
            let listener = listen(keys, address, tls.as_ref(), self.limits, sockets).await?;
            self.bound.push(Bound { address: address.to_owned(), listener, tls, site: Site::default() });
            self.bound.len() - 1
        };
        Ok(&mut self.bound[index])
    }

    /// The certificates of those that have TLS.
    pub fn tls(&self) -> impl Iterator<Item = &Arc<Acceptor>> {
        self.bound.iter().filter_map(|bound| bound.tls.as_ref())
    }

    /// Their open connections.
    pub(crate) fn connections(&self) -> Vec<Arc<Connections>> {
        self.bound.iter().map(|bound| Arc::clone(bound.listener.connections())).collect()
    }

    /// Serves until the future is dropped. Connections are accepted while `accepts` is true.
    pub(crate) async fn run(self, accepts: watch::Receiver<bool>) {
        let serve = |bound: Bound| serve(bound.listener, bound.site.into(), accepts.clone());
        let listeners = self.bound.into_iter().map(serve);
        futures_util::future::join_all(listeners).await;
    }
}

async fn listen(
    keys: &Keys,
    address: &str,
    tls: Option<&Arc<Acceptor>>,
    limits: LimitSettings,
    sockets: &Sockets,
) -> io::Result<Listener> {
    let Keys { section, address: key, .. } = *keys;
    let address: Address = address.parse().map_err(|expected| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("{key}: {expected}, found \"{address}\""))
    })?;
    Listener::bind(Options {
        key,
        sockets: Some((sockets, section)),
        address: &address,
        attributes: Attributes::mode(0o660),
        allow: &[],
        limit: CONNECTIONS,
        settings: limits,
        tls,
    })
    .await
}

async fn serve(mut listener: Listener, site: Arc<Site>, accepts: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept_while(&accepts) => {
                let site = Arc::clone(&site);
                connections.spawn(async move {
                    if let Ok(Accepted { stream, peer, registration, handshake_until, .. }) = accepted.secured().await {
                        connection::serve(stream, peer, &registration, handshake_until, &site).await;
                    }
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}
