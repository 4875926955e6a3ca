//! Starting a worker: the process, its relay, the handshake; or the reason why not.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::debug;

use super::command::Command;
use super::config::Config;
use super::connection::Connection;
use super::exchange::Exchange;
use super::fence::{Fence, Order};
use super::numbered::Driver;
use super::offer::{self, Offer, Unsupported};
use super::outcome::Fault;
use super::process::Process;
use super::spawner::Spawner;
use super::status::{Exit, State};
use super::waste::Waste;
use crate::compat::{self, Compat};
use crate::goridge::Codec;
use crate::os::process::Spec;
use crate::relay::{Listener, Relay, Relays, SECRET};

/// How long after the end of its relay a worker may take to exit, so that the message can have its exit status.
const EXIT_STATUS: Duration = Duration::from_secs(1);

/// Where workers run, and with which variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// The working directory; resolved anew at each start, so that it may be a symlink which moves on.
    pub work_dir: PathBuf,
    /// The supervisor's own variables and those of its dotenv files; the last value of a name wins.
    pub inherited: Vec<(OsString, OsString)>,
    /// `rpc.listen`, which workers read from `RR_RPC`.
    pub rpc: Option<String>,
    /// Which RoadRunner it is: workers read its version from `RR_VERSION`.
    pub compat: Compat,
}

/// How workers are to be started and listened to.
#[derive(Debug)]
pub(crate) struct Terms {
    /// The pool's name.
    pub(crate) pool: Arc<str>,
    /// The program and its arguments.
    pub(crate) command: Command,
    /// How long the start and the handshake of one worker may take.
    pub(crate) timeout: Duration,
    /// The largest frame in bytes that a worker may send.
    pub(crate) max_message_size: usize,
    /// `pool.fence`.
    pub(crate) fence: bool,
    /// `pool.codec`.
    pub(crate) codec: Codec,
    /// `pool.concurrency`; 0 is no limit.
    pub(crate) concurrency: usize,
    /// Whether workers may be asked where in their code they are.
    pub(crate) asks_for_backtraces: bool,
    /// Counts what the workers send in vain.
    pub(crate) waste: Arc<Waste>,
}

/// A worker that is ready.
#[derive(Debug)]
pub(crate) struct Booted {
    pub(crate) process: Process,
    /// The first of its exchanges.
    pub(crate) exchange: Exchange,
    /// If it numbers its requests.
    pub(crate) numbered: Option<Concurrent>,
}

/// A worker that numbers its requests.
#[derive(Debug)]
pub(crate) struct Concurrent {
    /// Has to be polled as long as the worker lives.
    pub(crate) driver: Driver,
    /// How many requests it may have in flight.
    pub(crate) concurrency: usize,
}

/// Starts workers, whatever they run: the relay that they connect to, and the threads that start processes.
#[derive(Debug)]
pub(crate) struct Launcher {
    listener: Option<Listener>,
    spawner: Spawner,
}

/// What is started, again and again.
#[derive(Debug)]
pub(crate) struct Launch {
    terms: Terms,
    spec: Spec,
    /// Shared by all workers that run this.
    order: Arc<Order>,
}

impl Launch {
    /// What is run, for people to read.
    pub(crate) fn command(&self) -> &Command {
        &self.terms.command
    }
}

impl Launcher {
    /// Binds the relay's listener, if workers connect to one that no other pool has bound; a connection has `timeout` to show whose it is.
    /// `key` is the setting that names it.
    ///
    /// # Errors
    /// When the relay cannot listen, or the user does not exist.
    pub(crate) async fn bind(
        config: &Config,
        timeout: Duration,
        relays: &Relays,
        key: &str,
    ) -> io::Result<Self> {
        let identity = config.identity().map_err(io::Error::other)?;
        let listener =
            relays.listener(key, &config.relay, config.relay_socket, identity.as_ref(), timeout).await?;
        Ok(Self { listener, spawner: Spawner::start()? })
    }

    /// Prepares to start workers as `config` says, with these variables.
    ///
    /// # Errors
    /// When the user does not exist.
    pub(crate) fn prepare(
        &self,
        terms: Terms,
        config: &Config,
        environment: &Environment,
    ) -> io::Result<Launch> {
        let relay = self.listener.as_ref().map_or("pipes", Listener::address);
        let mut env = variables(environment, relay, &config.env, &terms.pool);
        let secret = self.listener.as_ref().and_then(Listener::secret);
        env.extend(secret.map(|secret| (SECRET.into(), secret.into())));
        if terms.asks_for_backtraces {
            let (name, signal) = offer::BACKTRACE;
            env.push((name.into(), signal.into()));
        }
        let spec = Spec {
            argv: terms.command.argv.clone(),
            env,
            work_dir: environment.work_dir.clone(),
            identity: config.identity().map_err(io::Error::other)?,
            umask: config.umask,
            stdin: self.listener.is_none(),
            ends_family: true,
        };
        Ok(Launch { order: Order::new(terms.fence), terms, spec })
    }

    /// Stops accepting workers; connections that have not shown their pid are closed.
    pub(crate) fn close(&self) {
        if let Some(listener) = &self.listener {
            listener.close();
        }
    }

    /// Starts a worker, unless `called_off` resolves before it is ready.
    ///
    /// # Errors
    /// Says what was run, how it ended, and what it printed last.
    pub(crate) async fn boot(
        &self,
        launch: &Launch,
        called_off: oneshot::Receiver<()>,
    ) -> Result<Booted, BootError> {
        let Terms { command, timeout, .. } = &launch.terms;
        let failed = |cause| BootError { command: command.to_string(), cause, last_lines: Vec::new() };
        let mut started =
            self.spawner.spawn(launch.spec.clone()).await.map_err(|error| failed(Cause::Spawn(error)))?;
        let child = &mut started.child;
        let pipes =
            match (&self.listener, child.stdin.take(), child.stdout.take_if(|_| self.listener.is_none())) {
                (None, Some(stdin), Some(stdout)) => Some(Relay::pipes(stdin, stdout)),
                _ => None,
            };
        let process = Process::adopt(started, self.listener.is_some(), Arc::clone(&launch.terms.waste));
        let introduced = tokio::time::timeout(*timeout, async {
            tokio::select! {
                biased;
                exchange = self.introduce(launch, &process, pipes) => exchange,
                exit = process.status().exited(), if self.listener.is_some() => Err(Cause::Exited(exit)),
                _ = called_off => Err(Cause::CalledOff),
            }
        });
        let cause = match introduced.await {
            Ok(Ok((exchange, numbered))) => {
                process.status().set_state(State::Ready);
                return Ok(Booted { process, exchange, numbered });
            }
            Ok(Err(cause)) => cause,
            Err(_) => Cause::Timeout(*timeout),
        };
        let cause = explain(cause, &process).await;
        Err(BootError { command: command.to_string(), cause, last_lines: process.status().output.tail() })
    }

    /// Connects to a process that was started, and learns its pid.
    async fn introduce(
        &self,
        launch: &Launch,
        process: &Process,
        pipes: Option<io::Result<Relay>>,
    ) -> Result<(Exchange, Option<Concurrent>), Cause> {
        let status = Arc::clone(process.status());
        let fence = Fence::new(Arc::clone(&launch.order));
        let (relay, known) = match (&self.listener, pipes) {
            (Some(listener), _) => {
                let (relay, greeting) = listener.expect(status.group()).await.map_err(Cause::Relay)?;
                (relay, Some(greeting))
            }
            (None, Some(relay)) => (relay.map_err(Cause::Relay)?, None),
            (None, None) => return Err(Cause::Relay(io::ErrorKind::NotConnected.into())),
        };
        let mut connection =
            Connection::new(Arc::clone(&status), relay, fence, launch.terms.max_message_size);
        let greeting = match known {
            Some(greeting) => greeting,
            None => connection.handshake().await.map_err(Cause::Fault)?,
        };
        let offer = Offer::new(greeting, launch.terms.codec).map_err(Cause::Unsupported)?;
        let Offer { pid, codec, concurrency, name, bell } = offer;
        status.set_pid(pid);
        status.set_bell(bell);
        debug!(target: "server", pid, name, codec = codec.name(), concurrency, "worker connected");
        let Some(offered) = concurrency else { return Ok((Exchange::single(connection, codec), None)) };
        let (relay, incoming) = connection.into_parts();
        let (driver, unit) = Driver::new(status, codec, relay, incoming);
        let limit = Some(launch.terms.concurrency).filter(|limit| *limit > 0).unwrap_or(usize::MAX);
        Ok((Exchange::Numbered(unit), Some(Concurrent { driver, concurrency: offered.min(limit) })))
    }
}

/// The end of a relay says little; the exit status that follows it says more. Leaves no process behind.
async fn explain(cause: Cause, process: &Process) -> Cause {
    let closed = matches!(cause, Cause::Fault(Fault::Closed(_) | Fault::Unsent));
    let exit =
        if closed { tokio::time::timeout(EXIT_STATUS, process.status().exited()).await.ok() } else { None };
    process.kill();
    process.status().exited().await;
    exit.map_or(cause, Cause::Exited)
}

/// The worker's whole environment, in RoadRunner's order: `server.env` may change the addresses, but not the version, the mode and the pool.
fn variables(
    environment: &Environment,
    relay: &str,
    configured: &[(String, String)],
    pool: &str,
) -> Vec<(OsString, OsString)> {
    let mut variables = environment.inherited.clone();
    let mut set = |name: &str, value: &str| variables.push((name.into(), value.into()));
    set("RR_RELAY", relay);
    if let Some(rpc) = &environment.rpc {
        set("RR_RPC", rpc);
    }
    for (name, value) in configured {
        set(name, value);
    }
    set("RR_VERSION", environment.compat.version());
    set("RR_MODE", compat::PLUGIN);
    set("CAUSEWAY_POOL", pool);
    for (name, offered) in [offer::PROTOCOLS, offer::CODECS] {
        set(name, offered);
    }
    variables
}

/// A worker did not become ready.
#[derive(Debug)]
pub(crate) struct BootError {
    command: String,
    cause: Cause,
    /// What the worker printed last, each line with `stdout:` or `stderr:` in front.
    last_lines: Vec<String>,
}

#[derive(Debug)]
enum Cause {
    Spawn(io::Error),
    Relay(io::Error),
    Exited(Exit),
    Fault(Fault),
    Unsupported(Unsupported),
    Timeout(Duration),
    CalledOff,
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let command = &self.command;
        match &self.cause {
            Cause::Spawn(error) => write!(f, "`{command}` cannot be started: {error}")?,
            Cause::Relay(error) => write!(f, "`{command}` cannot be connected to: {error}")?,
            Cause::Exited(exit) => write!(f, "`{command}` exited before it was ready: {exit}")?,
            Cause::Fault(fault) => write!(f, "`{command}` failed before it was ready: {fault}")?,
            Cause::Unsupported(offer) => write!(f, "`{command}` cannot be served: {offer}")?,
            Cause::CalledOff => write!(f, "`{command}` was cancelled before it was ready")?,
            Cause::Timeout(patience) => {
                write!(f, "`{command}` was not ready within {patience:?} (pool.allocate_timeout)")?;
            }
        }
        if !self.last_lines.is_empty() {
            f.write_str("; last output:")?;
            for line in &self.last_lines {
                write!(f, "\n  {line}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for BootError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.cause {
            Cause::Spawn(error) | Cause::Relay(error) => Some(error),
            Cause::Fault(fault) => Some(fault),
            Cause::Unsupported(offer) => Some(offer),
            Cause::Exited(_) | Cause::Timeout(_) | Cause::CalledOff => None,
        }
    }
}
