//! Starting a worker: the process, its relay, the handshake; or the reason why not.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::fence::{Fence, Order};
use super::process::State;
use super::spawner::Spawner;
use super::{Command, Config, Connection, Exit, Fault, Process};
use crate::os::process::Spec;
use crate::relay::{Listener, Relay, SECRET};

/// The RoadRunner whose behaviour workers may count on; they read it from `RR_VERSION`.
const COMPATIBLE_VERSION: &str = "2025.1.15";

/// How long after the end of its relay a worker may take to exit, for the message to have its exit status.
const EXIT_STATUS: Duration = Duration::from_secs(1);

/// Where workers run, and with which variables.
#[derive(Debug, Clone)]
pub struct Environment {
    /// The working directory; resolved anew at each start, so that it may be a symlink which moves on.
    pub work_dir: PathBuf,
    /// The supervisor's own variables and those of its dotenv files; the last value of a name wins.
    pub inherited: Vec<(OsString, OsString)>,
    /// `rpc.listen`, told to workers in `RR_RPC`.
    pub rpc: Option<String>,
    /// The mode told to workers in `RR_MODE`.
    pub mode: &'static str,
}

/// Starts workers of one kind.
#[derive(Debug)]
pub(crate) struct Launcher {
    spec: Spec,
    command: Command,
    listener: Option<Listener>,
    spawner: Spawner,
    order: Arc<Order>,
    patience: Duration,
    max_answer: usize,
}

impl Launcher {
    /// Prepares to start `command` (which may be the pool's own) as `config` says. `patience` is for the start and the handshake of one
    /// worker; `max_answer` is the largest frame in bytes that a worker may send.
    ///
    /// # Errors
    /// When the relay cannot listen, or the user does not exist.
    pub(crate) async fn new(
        config: &Config,
        command: Command,
        environment: &Environment,
        order: Arc<Order>,
        patience: Duration,
        max_answer: usize,
    ) -> io::Result<Self> {
        let identity = config.identity().map_err(io::Error::other)?;
        let listener = Listener::bind(&config.relay, identity.as_ref(), patience).await?;
        let relay = listener.as_ref().map_or("pipes", Listener::address);
        let mut env = variables(environment, relay, &config.env);
        let secret = listener.as_ref().and_then(Listener::secret);
        env.extend(secret.map(|secret| (SECRET.into(), secret.into())));
        let spec = Spec {
            argv: command.argv.clone(),
            env,
            work_dir: environment.work_dir.clone(),
            identity,
            stdin: listener.is_none(),
            ends_family: true,
        };
        Ok(Self { spec, command, listener, spawner: Spawner::start()?, order, patience, max_answer })
    }

    /// No worker will be started any more; connections that have not shown their pid are closed.
    pub(crate) fn close(&self) {
        if let Some(listener) = &self.listener {
            listener.close();
        }
    }

    /// Starts the worker that has this number in its pool, unless `called_off` resolves before it is ready.
    ///
    /// # Errors
    /// Says what was run, how it ended, and what it printed last.
    pub(crate) async fn boot(
        &self,
        id: u64,
        called_off: oneshot::Receiver<()>,
    ) -> Result<(Process, Box<Connection>), BootError> {
        let failed = |cause| BootError { command: self.command.to_string(), cause, last_lines: Vec::new() };
        let mut started =
            self.spawner.spawn(self.spec.clone()).await.map_err(|error| failed(Cause::Spawn(error)))?;
        let child = &mut started.child;
        let pipes =
            match (&self.listener, child.stdin.take(), child.stdout.take_if(|_| self.listener.is_none())) {
                (None, Some(stdin), Some(stdout)) => Some(Relay::pipes(stdin, stdout)),
                _ => None,
            };
        let process = Process::adopt(id, started, self.listener.is_some());
        let introduced = tokio::time::timeout(self.patience, async {
            tokio::select! {
                biased;
                connection = self.introduce(&process, pipes) => connection,
                exit = process.status().exited(), if self.listener.is_some() => Err(Cause::Exited(exit)),
                _ = called_off => Err(Cause::CalledOff),
            }
        });
        let cause = match introduced.await {
            Ok(Ok(connection)) => {
                process.status().set_state(State::Ready);
                return Ok((process, connection));
            }
            Ok(Err(cause)) => cause,
            Err(_) => Cause::Timeout(self.patience),
        };
        let cause = explain(cause, &process).await;
        Err(BootError {
            command: self.command.to_string(),
            cause,
            last_lines: process.status().output.tail(),
        })
    }

    /// From the process to a connection whose worker has said its pid.
    async fn introduce(
        &self,
        process: &Process,
        pipes: Option<io::Result<Relay>>,
    ) -> Result<Box<Connection>, Cause> {
        let status = Arc::clone(process.status());
        let fence = Fence::new(Arc::clone(&self.order));
        let (relay, known) = match (&self.listener, pipes) {
            (Some(listener), _) => {
                let (relay, pid) = listener.expect(status.group()).await.map_err(Cause::Relay)?;
                (relay, Some(pid))
            }
            (None, Some(relay)) => (relay.map_err(Cause::Relay)?, None),
            (None, None) => return Err(Cause::Relay(io::ErrorKind::NotConnected.into())),
        };
        let mut connection = Box::new(Connection::new(Arc::clone(&status), relay, fence, self.max_answer));
        let pid = match known {
            Some(pid) => pid,
            None => connection.handshake().await.map_err(Cause::Fault)?,
        };
        status.set_pid(pid);
        Ok(connection)
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

/// The worker's whole environment, in RoadRunner's order: `server.env` may change the addresses, but not the version and the mode.
fn variables(
    environment: &Environment,
    relay: &str,
    configured: &[(String, String)],
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
    set("RR_VERSION", COMPATIBLE_VERSION);
    set("RR_MODE", environment.mode);
    variables
}

/// A worker did not become ready.
#[derive(Debug)]
pub struct BootError {
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
    Timeout(Duration),
    CalledOff,
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let command = &self.command;
        match &self.cause {
            Cause::Spawn(error) => write!(f, "`{command}` cannot be started: {error}")?,
            Cause::Relay(error) => write!(f, "`{command}` cannot be connected to: {error}")?,
            Cause::Exited(exit) => write!(f, "`{command}` ended before it was ready: {exit}")?,
            Cause::Fault(fault) => write!(f, "`{command}` failed before it was ready: {fault}")?,
            Cause::CalledOff => write!(f, "`{command}` was called off before it was ready")?,
            Cause::Timeout(patience) => {
                write!(f, "`{command}` was not ready within {patience:?} (pool.allocate_timeout)")?;
            }
        }
        if !self.last_lines.is_empty() {
            f.write_str("; the last it printed was:")?;
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
            Cause::Exited(_) | Cause::Timeout(_) | Cause::CalledOff => None,
        }
    }
}
