//! What is done to the workers.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::bail;
use causeway::goridge::Flags;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tonic::transport::Channel;

use super::slice::Disturbance;
use crate::callers::is_death;
use crate::check;
use crate::message::Message;
use crate::process::descendants;
use crate::rpc::Caller;
use crate::running::Running;

/// Kills and resets the workers of a bridge.
#[derive(Debug)]
pub(crate) struct Harm {
    bridge: Pid,
    /// The workers' program.
    worker: PathBuf,
    channel: Channel,
    operator: Caller,
    deaths: usize,
}

impl Harm {
    pub(crate) async fn new(running: &Running, worker: &Path) -> anyhow::Result<Self> {
        let channel = check::connect(&running.address).await?;
        let operator = Caller::connect(&running.rpc()).await?;
        Ok(Self {
            bridge: running.process.pid(),
            worker: worker.canonicalize()?,
            channel,
            operator,
            deaths: 0,
        })
    }

    /// Lets one worker die: by turns from outside, whatever it does, and in a request that asks for it.
    ///
    /// # Errors
    /// If that request does anything but fail for the death of its worker.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<Disturbance> {
        self.deaths += 1;
        if self.deaths.is_multiple_of(2) {
            return match check::call(self.channel.clone(), Message::Die, 0).await {
                Err(error) if is_death(&error) => Ok(Disturbance { asked: 1, ..Disturbance::default() }),
                Err(error) => Err(error.context("a request in which its worker dies failed otherwise")),
                Ok(_) => bail!("a request in which its worker dies was answered"),
            };
        }
        let workers = self.workers();
        let victim = workers.get(self.deaths / 2 % workers.len().max(1));
        let is_killed = victim.is_some_and(|pid| kill(*pid, Signal::SIGKILL).is_ok());
        Ok(Disturbance { killed: usize::from(is_killed), ..Disturbance::default() })
    }

    /// Replaces all workers. Returns how long that took.
    ///
    /// # Errors
    /// If it fails.
    pub(crate) async fn reset(&mut self) -> anyhow::Result<Duration> {
        let begin = Instant::now();
        self.operator.call("resetter.Reset", Flags::JSON, b"\"centrifuge\"").await?;
        Ok(begin.elapsed())
    }

    /// The workers, oldest first, without the bridge's own helpers.
    fn workers(&self) -> Vec<Pid> {
        let is_worker =
            |pid: &Pid| std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == self.worker);
        let mut workers: Vec<Pid> = descendants(self.bridge).into_iter().filter(is_worker).collect();
        workers.sort_unstable();
        workers
    }
}
