//! `causeway serve`: starts the server, runs until a signal, shuts down.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{debug, error, info, warn};

use super::Global;
use super::pid_file::PidFile;
use crate::app::{App, Shutdown};
use crate::config::Loaded;
use crate::net::Sockets;
use crate::os;
use crate::rpc::{self, Stop};
use crate::service::Service;
use crate::telemetry::logs;

/// `timeout` and some supervisors signal the process group and then its members, so that one signal arrives twice. What arrives within
/// this time is not a second signal.
const SAME_SIGNAL: Duration = Duration::from_millis(50);

/// What the reply to a caller that stopped the server gets to be written, since other tasks write it.
const LAST_REPLY: Duration = Duration::from_millis(50);

/// What the service manager allows the start and the shutdown beyond the times that are configured.
const MARGIN: Duration = Duration::from_secs(10);

/// The arguments of `serve`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The first SIGINT, SIGTERM or SIGQUIT shuts down gracefully: new calls are refused, calls in flight and in the queue are \
finished, then the workers exit, all within endure.grace_period. A second one exits immediately.

Exit codes: 0 clean shutdown; 1 the start failed, the grace period ran out, or a second signal arrived; 2 a mistake in the configuration."
)]
pub(super) struct Args {
    /// Reset the pool when files change: those of pool.watch, or else *.php, *.py and .env
    #[arg(long)]
    watch: bool,
}

pub(super) fn run(global: &Global, args: &Args) -> anyhow::Result<ExitCode> {
    os::allocator::return_freed_memory();
    // Before this process opens a descriptor, and before it has another pid.
    let service = Service::take().context("cannot use what the service manager has passed on")?;
    let mut loaded = global.load()?;
    // The configuration's relative paths start here, as in RoadRunner.
    std::env::set_current_dir(&loaded.work_dir)
        .with_context(|| format!("cannot enter {}", loaded.work_dir.display()))?;
    os::init::step_aside().context("cannot start the server beside PID 1")?;
    let open_files = os::limits::raise_open_files();
    os::run::begin();
    let cgroup = os::cgroup::prepare();
    os::guard::start().context("cannot start the guard process")?;
    let cgroup = cgroup.and_then(|()| os::cgroup::enter());
    if global.debug {
        loaded.config.logs.level = Some(logs::Level::Debug);
    }
    let _logs = logs::init(&loaded.config.logs).map_err(|error| explained(&loaded, &error))?;
    log_panics();
    log_open_files(open_files);
    log_cgroup(cgroup);
    os::guard::keep().context("cannot start the thread that keeps the guard process")?;
    for warning in &loaded.warnings {
        warn!(target: "config", "{warning}");
    }
    let _pid_file = if global.pid { Some(write_pid_file(&loaded)?) } else { None };
    let runtime = runtime().context("cannot start the runtime")?;
    let code = runtime.block_on(serve(global, args, &loaded, service));
    os::family::kill_remaining();
    // A dropped call or a connection that never ends must not keep the process alive.
    runtime.shutdown_background();
    code
}

/// An error of the start, as it may be shown.
fn explained<E: std::error::Error>(loaded: &Loaded, error: &E) -> anyhow::Error {
    let sources = std::iter::successors(error.source(), |error| error.source());
    let text = sources.fold(error.to_string(), |text, source| format!("{text}: {source}"));
    anyhow::Error::msg(loaded.explain(&text))
}

/// Prints a line for people to standard output. Never waits: a full or closed output must hold up neither the server nor its shutdown.
fn banner(line: &str) {
    logs::print(logs::Stream::Stdout, &format!("{line}\n"));
}

/// Logs panics of tasks. Rust's own message would wait for standard error.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let reason = panic.payload_as_str().unwrap_or_default();
        let backtrace = Backtrace::capture();
        let backtrace = if backtrace.status() == BacktraceStatus::Captured {
            backtrace.to_string()
        } else {
            String::new()
        };
        error!(target: "endure", place, reason, backtrace, "task panicked: this is a bug");
    }));
}

fn log_open_files(raised: nix::Result<Option<(u64, u64)>>) {
    match raised {
        Ok(Some((from, to))) => {
            debug!(target: "server", from, to, "open file limit raised, workers keep the original one");
        }
        Ok(None) => {}
        Err(error) => warn!(target: "server", %error, "cannot raise the open file limit"),
    }
}

fn log_cgroup(cgroup: Result<&std::path::Path, os::cgroup::NoCgroup>) {
    match cgroup {
        Ok(folder) => {
            let folder = folder.display();
            debug!(target: "server", %folder, "running in own cgroup");
        }
        Err(reason) => {
            debug!(target: "server", %reason, "running without own cgroup");
        }
    }
}

/// One thread per four cores, at least one, unless `TOKIO_WORKER_THREADS` says otherwise: a bridge does so little for a request that
/// handing it to another thread costs more, and the cores are the workers'.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if std::env::var_os("TOKIO_WORKER_THREADS").is_none() {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        builder.worker_threads((cores / 4).max(1));
    }
    builder.enable_all().build()
}

async fn serve(global: &Global, args: &Args, loaded: &Loaded, service: Service) -> anyhow::Result<ExitCode> {
    let Service { notifier, watchdog, sockets } = service;
    let mut signals = Signals::new().context("cannot listen for signals")?;
    os::family::start().context("cannot track the processes of workers")?;
    let (stop, mut stop_requests) = rpc::stop_requests();
    notifier.starting(loaded.config.start_time().saturating_add(MARGIN)).await;
    // If this is interrupted, workers that are starting die with this process.
    let started = tokio::select! {
        app = App::start(loaded, stop, &sockets) => app.map_err(|error| explained(loaded, &error)),
        name = signals.next() => {
            info!(target: "endure", signal = name, "stop signal received before the workers were ready");
            return Ok(ExitCode::SUCCESS);
        }
        _ = stop_requests.next() => {
            info!(target: "endure", "stop requested over RPC before the workers were ready");
            tokio::time::sleep(LAST_REPLY).await;
            return Ok(ExitCode::SUCCESS);
        }
    };
    let mut app = match started {
        Ok(app) => app,
        Err(error) => {
            notifier.status(&format!("cannot start: {error:#}")).await;
            return Err(error);
        }
    };
    log_unused(&sockets);
    if let Some(watchdog) = watchdog {
        app.stay_alive(watchdog, notifier.clone());
    }
    // Serving goes on without: the kernel may have no inotify instance left.
    if let Err(error) = app.watch(loaded, args.watch) {
        warn!(target: "watch", %error, "cannot watch files, workers are not reset when code changes");
    }
    if !global.silent {
        let version = env!("CARGO_PKG_VERSION");
        banner(&format!("[INFO] Causeway server started; version: {version}, address: {}", app.address()));
    }
    let workers = loaded.config.workers();
    notifier.ready(&format!("serving {} with {workers} workers", app.address())).await;
    let mut grace = loaded.config.grace_period;
    tokio::select! {
        name = signals.next() => {
            info!(target: "endure", signal = name, grace_period = ?grace, "stop signal received");
        }
        how = stop_requests.next() => {
            if how == Stop::AtOnce {
                grace = Duration::ZERO;
            }
            info!(target: "endure", grace_period = ?grace, "stop requested over RPC");
        }
    }
    notifier.stopping(grace.saturating_add(MARGIN)).await;
    if !global.silent {
        banner(&format!("stop signal received, grace timeout is: {} seconds", grace.as_secs()));
    }
    let second = async {
        tokio::time::sleep(SAME_SIGNAL).await;
        // New listeners do not see earlier signals.
        match Signals::new() {
            Ok(mut signals) => signals.next().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        shutdown = app.stop(grace) => Ok(match shutdown {
            Shutdown::Clean => ExitCode::SUCCESS,
            Shutdown::Forced => ExitCode::FAILURE,
        }),
        name = second => {
            warn!(target: "endure", signal = name, "second stop signal received, exiting immediately");
            Ok(ExitCode::FAILURE)
        }
        () = stop_requests.at_once() => {
            warn!(target: "endure", "immediate stop requested over RPC");
            tokio::time::sleep(LAST_REPLY).await;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Inherited sockets that no listener has taken have a name or an address that the configuration lacks.
fn log_unused(sockets: &Sockets) {
    for (name, address) in sockets.close_unused() {
        warn!(
            target: "net", name, address,
            "inherited socket closed: its name is not proxy, rpc, status or metrics, and no listener has its address"
        );
    }
}

/// The signals that stop a server.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    quit: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.quit.recv() => "SIGQUIT",
        }
    }
}

fn write_pid_file(loaded: &Loaded) -> anyhow::Result<PidFile> {
    let path = loaded.work_dir.join(".pid");
    let shown = path.display().to_string();
    PidFile::write(path).with_context(|| format!("cannot write {shown}"))
}
