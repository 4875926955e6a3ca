//! Starts a contender, and Centrifugo in front of it, and waits until it answers.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::configure::Addresses;
use crate::contender::Contender;
use crate::message::Message;
use crate::plan::{Row, Work};
use crate::process::{self, Process, free_port};
use crate::setup::{Setup, repository};
use crate::{check, configure, websocket};

/// How long a start may take, even of five hundred workers in a debug build on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// The pause between two calls to a contender that does not answer yet.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// Attempts, since another process may take a free port before it is used.
const TRIES: usize = 5;

/// A contender that answers.
#[derive(Debug)]
pub(crate) struct Running {
    /// Centrifugo in front of it, if clients make the calls.
    pub(crate) front: Option<Front>,
    pub(crate) process: Process,
    workers: Workers,
    /// Where it answers: `host:port`.
    pub(crate) address: String,
    /// Where it serves what operators see, if it is a contender that does.
    pub(crate) admin: String,
    /// From the start of the process to the first right answer.
    pub(crate) start: Duration,
    /// Stopped after the bridge that calls it.
    _api: Option<Process>,
    folder: TempDir,
}

/// A Centrifugo to which clients connect.
#[derive(Debug)]
pub(crate) struct Front {
    process: Process,
    pub(crate) address: SocketAddr,
}

/// The processes that run the handlers.
#[derive(Debug)]
enum Workers {
    /// Children of the bridge.
    Children,
    /// The contender itself, since it has no bridge.
    Itself,
    /// A server of their own.
    Beside(Process),
}

/// What the processes have used so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Used {
    /// The process of the contender itself.
    pub(crate) own: Duration,
    pub(crate) bridge: Duration,
    pub(crate) workers: Duration,
    pub(crate) centrifugo: Option<Duration>,
    pub(crate) load: Duration,
    /// How often the workers fell asleep.
    pub(crate) sleeps: u64,
}

impl Used {
    /// What has been used since.
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            own: self.own.saturating_sub(before.own),
            bridge: self.bridge.saturating_sub(before.bridge),
            workers: self.workers.saturating_sub(before.workers),
            centrifugo: self.centrifugo.zip(before.centrifugo).map(|(own, other)| own.saturating_sub(other)),
            load: self.load.saturating_sub(before.load),
            sleeps: self.sleeps.saturating_sub(before.sleeps),
        }
    }
}

impl Running {
    /// Starts a contender and waits for its first answer.
    ///
    /// # Errors
    /// If it exits or does not answer; the error contains its output.
    pub(crate) fn start(
        setup: &Setup,
        runtime: &Runtime,
        row: &Row,
        contender: Contender,
    ) -> anyhow::Result<Self> {
        for _ in 1..TRIES {
            match Self::try_start(setup, runtime, row, contender) {
                Err(error) if format!("{error:#}").to_lowercase().contains("in use") => {}
                other => return other,
            }
        }
        Self::try_start(setup, runtime, row, contender)
    }

    fn try_start(setup: &Setup, runtime: &Runtime, row: &Row, contender: Contender) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let address = format!("127.0.0.1:{}", free_port()?);
        let admin = format!("127.0.0.1:{}", free_port()?);
        let mut api = Api::start(setup, row, contender, folder.path())?;
        let begin = Instant::now();
        let (mut process, workers) = if contender == Contender::Direct {
            let api = api.process.take().context("without a bridge there are only rows that publish")?;
            (api, Workers::Itself)
        } else {
            let addresses = Addresses { proxy: &address, admin: &admin, api: &api.address };
            launch(setup, row, contender, addresses, folder.path())?
        };
        let (address, message) = match (contender, row.work) {
            (Contender::Direct, _) => (api.address, Message::Publish),
            (_, Work::Calls { message, .. }) => (address, message),
            _ => (address, Message::Rpc(100)),
        };
        if !contender.is_http() {
            until_answered(contender.name(), &mut process, || {
                runtime.block_on(check::ask(&address, message))
            })?;
        }
        let start = begin.elapsed();
        let front = match row.work {
            Work::Clients { in_flight, .. } => {
                let mut front = Front::start(setup, contender, &address, in_flight, folder.path())?;
                let at = front.address;
                until_answered("Centrifugo", &mut front.process, || runtime.block_on(websocket::ask(at)))
                    .with_context(|| format!("{} logged {:?}", contender.name(), process.last_words()))?;
                Some(front)
            }
            _ => None,
        };
        Ok(Self { front, process, workers, address, admin, start, _api: api.process, folder })
    }

    /// The socket for RPC calls.
    pub(crate) fn rpc(&self) -> PathBuf {
        self.folder.path().join(configure::RPC)
    }

    /// What bridge, workers, Centrifugo and the load have used so far. A worker that has exited does not count.
    ///
    /// # Errors
    /// If a process has exited.
    pub(crate) fn used(&self) -> anyhow::Result<Used> {
        let own = self.process.pid();
        let tree = |pid: Pid| [vec![pid], process::descendants(pid)].concat();
        let (bridge, workers) = match &self.workers {
            Workers::Children => (vec![own], process::descendants(own)),
            Workers::Itself => (Vec::new(), tree(own)),
            Workers::Beside(server) => (tree(own), tree(server.pid())),
        };
        let cpu = |pids: &[Pid]| pids.iter().map(|pid| process::cpu(*pid)).sum::<anyhow::Result<Duration>>();
        Ok(Used {
            own: self.process.cpu()?,
            bridge: cpu(&bridge)?,
            workers: cpu(&workers)?,
            centrifugo: self.front.as_ref().map(|front| front.process.cpu()).transpose()?,
            load: process::own_cpu()?,
            sleeps: workers.into_iter().map(process::sleeps).sum(),
        })
    }
}

/// Asks until there is a right answer.
fn until_answered(
    name: &str,
    process: &mut Process,
    ask: impl Fn() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let begin = Instant::now();
    let report = |what: &str, process: &Process| {
        format!("{name} {what}; its output ends with:\n{}", process.last_words())
    };
    loop {
        if let Some(status) = process.ended()? {
            bail!(report(&format!("exited with {status}"), process));
        }
        match ask() {
            Ok(()) => break,
            Err(error) if begin.elapsed() > PATIENCE => {
                return Err(error.context(report("does not answer", process)));
            }
            Err(_) => std::thread::sleep(POLL_INTERVAL),
        }
    }
    // Another server may have taken the port at the same moment, and answered.
    if let Some(status) = process.ended()? {
        bail!(report(&format!("exited with {status}"), process));
    }
    Ok(())
}

/// Centrifugo's API, for rows that publish: a real one, or simulated by the bare server, which receives spans as well.
struct Api {
    address: String,
    process: Option<Process>,
}

impl Api {
    fn start(setup: &Setup, row: &Row, contender: Contender, folder: &Path) -> anyhow::Result<Self> {
        let address = format!("127.0.0.1:{}", free_port()?);
        let process = match (row.work, &setup.api) {
            (Work::Publish { .. }, None) => Some(Process::start(&setup.echo, [&address], folder, &[])?),
            (Work::Publish { .. }, Some(binary)) => {
                let config = configure::api(&address, free_port()?, folder)?;
                Some(Process::start(binary, ["-c", config], folder, &[])?)
            }
            _ if contender.is_traced() => Some(Process::start(&setup.echo, [&address], folder, &[])?),
            _ => None,
        };
        Ok(Self { address, process })
    }
}

impl Front {
    /// Starts Centrifugo with a contender as its proxy.
    fn start(
        setup: &Setup,
        contender: Contender,
        proxy: &str,
        in_flight: usize,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let binary = setup.centrifugo.as_deref().context("there is no Centrifugo")?;
        let endpoint =
            if contender.is_http() { format!("http://{proxy}/rpc") } else { format!("grpc://{proxy}") };
        let port = free_port()?;
        let config = configure::front(&endpoint, port, in_flight, folder)?;
        let process = Process::start(binary, ["-c", config], folder, &[])?;
        Ok(Self { process, address: SocketAddr::from(([127, 0, 0, 1], port)) })
    }
}

fn launch(
    setup: &Setup,
    row: &Row,
    contender: Contender,
    addresses: Addresses<'_>,
    folder: &Path,
) -> anyhow::Result<(Process, Workers)> {
    let address = addresses.proxy;
    let script = |name: &str| repository().join("tools/bench/servers").join(name);
    let packages: OsString = repository().join("workers/python/src").into();
    let env = [("PYTHONPATH", packages.as_os_str())];
    let python = |name: &str| {
        Process::start(&setup.python, [script(name).as_os_str(), OsStr::new(address)], folder, &env)
    };
    let program = |path: &Option<PathBuf>| path.clone().context("a program of this contender is missing");
    match contender {
        Contender::Echo => Ok((Process::start(&setup.echo, [address], folder, &[])?, Workers::Children)),
        Contender::Aio => Ok((python("aio.py")?, Workers::Itself)),
        Contender::Uvicorn => Ok((python("asgi.py")?, Workers::Itself)),
        Contender::Fpm => {
            let pool = configure::fpm(row.workers, folder)?;
            let server = configure::nginx(address, &script("rpc.php"), folder)?;
            let workers = Process::start(&program(&setup.fpm)?, ["-F", "-R", "-y", pool], folder, &[])?;
            let arguments = [OsStr::new("-c"), server.as_os_str()];
            Ok((Process::start(&program(&setup.nginx)?, arguments, folder, &[])?, Workers::Beside(workers)))
        }
        bridge => {
            let command = setup.command(row.app, contender);
            configure::bridge(row, contender, &command, addresses, folder)?;
            let binary = match bridge {
                Contender::RoadRunner => setup.roadrunner.as_deref().context("$RR is not set")?,
                Contender::Before | Contender::BeforeConcurrent => {
                    setup.before.as_deref().context("--before is not given")?
                }
                _ => &setup.causeway,
            };
            Ok((Process::start(binary, ["serve", "-c", ".rr.yaml"], folder, &env)?, Workers::Children))
        }
    }
}
