//! `causeway serve`: starts the server, runs until a signal, shuts down.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{debug, error, info, warn};

use super::Global;
use super::pid_file::PidFile;
use super::upgrading::{End, Outcome, Upgrades};
use crate::app::{App, Origin, Requests, Shutdown};
use crate::config::{self, Loaded};
use crate::net::Sockets;
use crate::os;
use crate::rpc::{self, Stop, StopRequests};
use crate::service::upgrade::{Invocation, Line, Predecessor};
use crate::service::{Notifier, Service};
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
    after_help = "The first SIGINT, SIGTERM or SIGQUIT shuts down gracefully: callers move to another server, calls in flight and in the queue are \
finished, then the workers exit, all within endure.grace_period. A second one exits immediately. SIGHUP reloads the configuration, as \
`causeway reload` does, and SIGUSR2 hands over to a new server, as `causeway upgrade` does.

Exit codes: 0 clean shutdown; 1 the start failed, the grace period ran out, or a second signal arrived; 2 a mistake in the configuration."
)]
pub(super) struct Args {
    /// Reset the pool when files change: those of pool.watch, or else *.php, *.py and .env
    #[arg(long)]
    watch: bool,
}

pub(super) fn run(global: &Global, args: &Args) -> anyhow::Result<ExitCode> {
    // Before this process opens a descriptor, and before it has another pid.
    let service = Service::take().context("cannot use what the service manager has passed on")?;
    let line = service.line.clone();
    let end = start(global, args, service);
    if let (Some(line), Err(error)) = (line, &end) {
        line.failed(&format!("{error:#}"), None);
    }
    end
}

fn start(global: &Global, args: &Args, service: Service) -> anyhow::Result<ExitCode> {
    os::allocator::return_freed_memory();
    let invocation = Invocation::of_this_process().context("cannot find out how this server was started")?;
    let sources = global.sources().pinned()?;
    let mut loaded = config::load(&sources)?;
    // The configuration's relative paths start here, as in RoadRunner.
    std::env::set_current_dir(&loaded.work_dir)
        .with_context(|| format!("cannot enter {}", loaded.work_dir.display()))?;
    os::init::step_aside().context("cannot start the server beside PID 1")?;
    let open_files = os::limits::raise_open_files();
    if service.line.is_some() {
        os::cgroup::leave_predecessor();
    }
    os::run::begin();
    let cgroup = os::cgroup::prepare();
    os::guard::start().context("cannot start the guard process")?;
    let cgroup = cgroup.and_then(|()| os::cgroup::enter());
    if global.debug {
        loaded.config.logs.level = Some(logs::Level::Debug);
    }
    let log = Arc::new(logs::init(&loaded.config.logs).map_err(|error| explained(&loaded, &error))?);
    log_panics();
    log_open_files(open_files);
    log_cgroup(cgroup);
    os::guard::keep().context("cannot start the thread that keeps the guard process")?;
    for warning in &loaded.warnings {
        warn!(target: "config", "{warning}");
    }
    // A new server replaces the file once it has taken over.
    let _pid_file = if global.pid && service.line.is_none() { Some(write_pid_file(&loaded)?) } else { None };
    let runtime = runtime().context("cannot start the runtime")?;
    let (is_debug, watches_all, log) = (global.debug, args.watch, Arc::downgrade(&log));
    let origin = Origin { sources, is_debug, watches_all, log, notifier: service.notifier.clone() };
    let code = runtime.block_on(serve(global, origin, &loaded, service, invocation));
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

async fn serve(
    global: &Global,
    origin: Origin,
    loaded: &Loaded,
    service: Service,
    invocation: Invocation,
) -> anyhow::Result<ExitCode> {
    let Service { notifier, watchdog, sockets, line } = service;
    let mut signals = Signals::new().context("cannot listen for signals")?;
    let mut hangups = Hangups::new().context("cannot listen for signals")?;
    os::family::start().context("cannot track the processes of workers")?;
    let (stop, mut stop_requests) = rpc::stop_requests();
    let (upgrade, upgrade_requests) = rpc::upgrade_requests();
    let mut upgrades = Upgrades::new(upgrade_requests, invocation).context("cannot listen for signals")?;
    let predecessor = if let Some(line) = &line {
        Some(meet(line, &sockets).await?)
    } else {
        notifier.starting(loaded.config.start_time().saturating_add(MARGIN)).await;
        None
    };
    let give_up = |reason: &str, stop| {
        if let Some(line) = &line {
            line.failed(reason, stop);
        }
        Ok(ExitCode::SUCCESS)
    };
    let requests = Requests { stop, upgrade };
    // If this is interrupted, workers that are starting die with this process.
    let started = tokio::select! {
        app = App::start(loaded, requests, &sockets, predecessor.as_ref()) => app.map_err(|error| explained(loaded, &error)),
        name = signals.next() => {
            info!(target: "endure", signal = name, "stop signal received before the workers were ready");
            return give_up(name, None);
        }
        how = stop_requests.next() => {
            info!(target: "endure", "stop requested over RPC before the workers were ready");
            tokio::time::sleep(LAST_REPLY).await;
            return give_up("stop requested over RPC", Some(how == Stop::AtOnce));
        }
    };
    let mut app = match started {
        Ok(app) => app,
        Err(error) => {
            // One of another address may be why an address is in use.
            for (name, address) in sockets.close_unused() {
                warn!(target: "net", name, address, "inherited socket not used by any listener so far");
            }
            if predecessor.is_none() {
                notifier.status(&format!("cannot start: {error:#}")).await;
            }
            return Err(error);
        }
    };
    log_unused(&sockets);
    let _pid_file = match predecessor {
        Some(predecessor) => take_over(global, loaded, predecessor).await,
        None => None,
    };
    if let Some(watchdog) = watchdog {
        app.stay_alive(watchdog, notifier.clone());
    }
    // Serving goes on without: the kernel may have no inotify instance left.
    if let Err(error) = app.follow(origin) {
        warn!(target: "watch", %error, "cannot watch files, workers are not reset when code changes");
    }
    if !global.silent {
        let version = env!("CARGO_PKG_VERSION");
        banner(&format!("[INFO] Causeway server started; version: {version}, address: {}", app.address()));
    }
    let workers = loaded.config.workers();
    notifier.ready(&format!("serving {} with {workers} workers", app.address())).await;
    let end = loop {
        tokio::select! {
            name = signals.next() => break End::Signal(name),
            how = stop_requests.next() => break End::Requested(how),
            () = hangups.next() => {
                if hangups.has_lost_terminal() {
                    break End::TerminalClosed;
                }
                info!(target: "config", signal = "SIGHUP", "reload requested");
                app.reload();
            }
            request = upgrades.next() => {
                let stopped = async {
                    tokio::select! {
                        name = signals.next() => End::Signal(name),
                        how = stop_requests.next() => End::Requested(how),
                    }
                };
                match upgrades.carry_out(request, &app, &sockets, &notifier, stopped).await {
                    Outcome::HandedOver(pid) => break End::HandedOver(pid),
                    Outcome::Stopped(end) => break end,
                    Outcome::GoesOn => {}
                }
            }
        }
    };
    shut_down(app, end, stop_requests, &notifier, global.silent).await
}

/// Finishes the calls in flight within the grace period, unless another signal comes.
async fn shut_down(
    app: App,
    end: End,
    mut stop_requests: StopRequests,
    notifier: &Notifier,
    is_silent: bool,
) -> anyhow::Result<ExitCode> {
    let is_handed_over = matches!(end, End::HandedOver(_));
    let mut grace = app.grace_period();
    match end {
        End::Signal(name) => {
            info!(target: "endure", signal = name, grace_period = ?grace, "stop signal received");
        }
        End::TerminalClosed => {
            info!(target: "endure", signal = "SIGHUP", grace_period = ?grace, "terminal closed");
        }
        End::Requested(how) => {
            if how == Stop::AtOnce {
                grace = Duration::ZERO;
            }
            info!(target: "endure", grace_period = ?grace, "stop requested over RPC");
        }
        End::HandedOver(pid) => {
            info!(target: "endure", pid, grace_period = ?grace, "handed over to a new server");
        }
    }
    if !is_handed_over {
        notifier.stopping(grace.saturating_add(MARGIN)).await;
    }
    if !is_silent {
        let what = if is_handed_over { "handed over to a new server" } else { "stop signal received" };
        banner(&format!("{what}, grace timeout is: {} seconds", grace.as_secs()));
    }
    tokio::select! {
        shutdown = app.stop(grace) => Ok(match shutdown {
            Shutdown::Clean => ExitCode::SUCCESS,
            Shutdown::Forced => ExitCode::FAILURE,
        }),
        name = second_signal(is_handed_over) => {
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

/// Waits for a signal beyond the one that the server shuts down for. After a hand-over, that is not the first one: it may be meant for the new
/// server, as Ctrl-C is for both.
async fn second_signal(is_handed_over: bool) -> &'static str {
    tokio::time::sleep(SAME_SIGNAL).await;
    // New listeners do not see earlier signals.
    let Ok(mut signals) = Signals::new() else { return std::future::pending().await };
    if is_handed_over {
        let name = signals.next().await;
        info!(target: "endure", signal = name, "stop signal received while finishing calls for the new server");
        tokio::time::sleep(SAME_SIGNAL).await;
    }
    signals.next().await
}

/// Gets the sockets of the old server.
async fn meet(line: &Line, sockets: &Sockets) -> anyhow::Result<Predecessor> {
    let (predecessor, inherited) = line.meet().await.context("cannot take over from the old server")?;
    info!(target: "endure", sockets = inherited.len(), "started to take over from another server");
    sockets.inherit(inherited);
    Ok(predecessor)
}

/// This server serves: the old one may go.
async fn take_over(global: &Global, loaded: &Loaded, predecessor: Predecessor) -> Option<PidFile> {
    let pid_file = global.pid.then(|| write_pid_file(loaded)).transpose().unwrap_or_else(|error| {
        warn!(target: "endure", error = format!("{error:#}"), "cannot write the file with the process id");
        None
    });
    predecessor.serving().await;
    info!(target: "endure", "taken over from the old server");
    pid_file
}

/// Inherited sockets that no listener has taken have a name or an address that the configuration lacks.
fn log_unused(sockets: &Sockets) {
    for (name, address) in sockets.close_unused() {
        warn!(
            target: "net", name, address,
            "inherited socket closed: its name is not proxy, rpc, operators, status or metrics, and no listener has its address"
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

/// SIGHUP: a request for a reload; or the terminal has been closed in which the server was started.
struct Hangups {
    signal: Signal,
    /// It was started in a terminal, and without `nohup`.
    follows_terminal: bool,
}

impl Hangups {
    fn new() -> std::io::Result<Self> {
        let follows_terminal = os::this_process::has_terminal() && !os::this_process::ignores_hangup();
        Ok(Self { signal: signal(SignalKind::hangup())?, follows_terminal })
    }

    async fn next(&mut self) {
        self.signal.recv().await;
    }

    /// Whether the signal means that the terminal is gone.
    fn has_lost_terminal(&self) -> bool {
        self.follows_terminal && !os::this_process::has_terminal()
    }
}

fn write_pid_file(loaded: &Loaded) -> anyhow::Result<PidFile> {
    let path = loaded.work_dir.join(".pid");
    let shown = path.display().to_string();
    PidFile::write(path).with_context(|| format!("cannot write {shown}"))
}
