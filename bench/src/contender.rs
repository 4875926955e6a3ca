//! Starting a contender, so that it answers.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::check;
use crate::message::Message;
use crate::plan::{Contender, Relay, Row, Work};
use crate::process::{Process, free_port};
use crate::setup::{Setup, repository};

/// How long a start may take: five hundred workers in a debug build on a busy machine included.
const PATIENCE: Duration = Duration::from_mins(2);

/// How often a contender that is not there yet is asked.
const LOOK: Duration = Duration::from_millis(2);

/// Ports that may be taken, by others, between the look for them and their use.
const TRIES: usize = 5;

/// A contender that answers.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) process: Process,
    /// Where it answers: `host:port`.
    pub(crate) address: String,
    /// From the start of the process to the first right answer.
    pub(crate) start: Duration,
    _folder: TempDir,
}

impl Running {
    /// Starts a contender and waits for its first answer.
    ///
    /// # Errors
    /// When it ends or does not answer; the error holds what it printed.
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
        let begin = Instant::now();
        let mut process = launch(setup, row, contender, &address, folder.path())?;
        let message = match row.work {
            Work::Calls { message, .. } => message,
            Work::Idle => Message::Rpc(100),
        };
        let told = |what: &str, process: &Process| {
            format!("{} {what}; it printed:\n{}", contender.name(), process.last_words())
        };
        loop {
            if let Some(status) = process.ended()? {
                bail!(told(&format!("has ended with {status}"), &process));
            }
            let late = begin.elapsed() > PATIENCE;
            match runtime.block_on(check::ask(&address, message)) {
                Ok(()) => break,
                Err(error) if late => return Err(error.context(told("does not answer", &process))),
                Err(_) => std::thread::sleep(LOOK),
            }
        }
        // Another server may have taken the port at the same moment, and answered.
        if let Some(status) = process.ended()? {
            bail!(told(&format!("has ended with {status}"), &process));
        }
        Ok(Self { process, address, start: begin.elapsed(), _folder: folder })
    }
}

fn launch(
    setup: &Setup,
    row: &Row,
    contender: Contender,
    address: &str,
    folder: &Path,
) -> anyhow::Result<Process> {
    let serve = ["serve", "-c", ".rr.yaml"];
    match contender {
        Contender::Echo => Process::start(&setup.echo, [address], folder, &[]),
        Contender::Aio => {
            let script = repository().join("bench/servers/aio.py");
            let packages: OsString = repository().join("workers/python/src").into();
            let arguments = [script.as_os_str(), OsStr::new(address)];
            Process::start(&setup.python, arguments, folder, &[("PYTHONPATH", &packages)])
        }
        Contender::Causeway | Contender::Unfenced => {
            configure(setup, row, contender, address, folder)?;
            Process::start(&setup.causeway, serve, folder, &[])
        }
        Contender::RoadRunner => {
            configure(setup, row, contender, address, folder)?;
            let binary = setup.roadrunner.as_deref().context("$RR is not set")?;
            Process::start(binary, serve, folder, &[])
        }
    }
}

/// Writes `.rr.yaml`: the same for Causeway and for RoadRunner.
fn configure(
    setup: &Setup,
    row: &Row,
    contender: Contender,
    address: &str,
    folder: &Path,
) -> anyhow::Result<()> {
    let relay = match row.relay {
        Relay::Pipes => "pipes".to_owned(),
        Relay::Tcp => format!("tcp://127.0.0.1:{}", free_port()?),
        Relay::Unix => format!("unix://{}", folder.join("relay.sock").display()),
    };
    let command = serde_json::to_string(&setup.command(row.app))?;
    let mut text = format!(
        "version: '3'
server:
  command: {command}
  relay: {relay}
logs:
  level: error
centrifuge:
  proxy_address: tcp://{address}
  pool:
    num_workers: {}
",
        row.workers
    );
    if contender == Contender::Unfenced {
        writeln!(text, "    fence: false")?;
    }
    std::fs::write(folder.join(".rr.yaml"), text).context("cannot write .rr.yaml")
}
