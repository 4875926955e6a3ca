//! Starts a contender and waits until it answers.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::check;
use crate::message::Message;
use crate::plan::{Contender, Relay, Row, Work};
use crate::process::{Process, free_port};
use crate::setup::{Setup, repository};

/// How long a start may take, even of five hundred workers in a debug build on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// The pause between two calls to a contender that does not answer yet.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// Attempts, since another process may take a free port before it is used.
const TRIES: usize = 5;

/// A contender that answers.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) process: Process,
    /// Where it answers: `host:port`.
    pub(crate) address: String,
    /// From the start of the process to the first right answer.
    pub(crate) start: Duration,
    /// Stopped after the bridge that calls it.
    _api: Option<Process>,
    folder: TempDir,
}

/// The socket of `rpc.listen`.
const RPC: &str = "rpc.sock";

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
        let mut api = Api::start(setup, row, folder.path())?;
        let begin = Instant::now();
        let mut process = match contender {
            Contender::Direct => {
                api.process.take().context("without a bridge there are only rows that publish")?
            }
            _ => launch(setup, row, contender, &address, &api, folder.path())?,
        };
        let (address, message) = match (contender, row.work) {
            (Contender::Direct, _) => (api.address, Message::Publish),
            (_, Work::Calls { message, .. }) => (address, message),
            (_, Work::Publish { .. } | Work::Idle) => (address, Message::Rpc(100)),
        };
        let report = |what: &str, process: &Process| {
            format!("{} {what}; its output ends with:\n{}", contender.name(), process.last_words())
        };
        loop {
            if let Some(status) = process.ended()? {
                bail!(report(&format!("exited with {status}"), &process));
            }
            let late = begin.elapsed() > PATIENCE;
            match runtime.block_on(check::ask(&address, message)) {
                Ok(()) => break,
                Err(error) if late => return Err(error.context(report("does not answer", &process))),
                Err(_) => std::thread::sleep(POLL_INTERVAL),
            }
        }
        // Another server may have taken the port at the same moment, and answered.
        if let Some(status) = process.ended()? {
            bail!(report(&format!("exited with {status}"), &process));
        }
        Ok(Self { process, address, start: begin.elapsed(), _api: api.process, folder })
    }

    /// The socket for RPC calls.
    pub(crate) fn rpc(&self) -> PathBuf {
        self.folder.path().join(RPC)
    }
}

/// Centrifugo's API, for rows that publish: a real one, or simulated by the bare server.
struct Api {
    address: String,
    process: Option<Process>,
}

impl Api {
    fn start(setup: &Setup, row: &Row, folder: &Path) -> anyhow::Result<Self> {
        let address = format!("127.0.0.1:{}", free_port()?);
        let process = match (row.work, &setup.centrifugo) {
            (Work::Publish { .. }, None) => Some(Process::start(&setup.echo, [&address], folder, &[])?),
            (Work::Publish { .. }, Some(binary)) => {
                let config = json!({
                    "http_server": { "address": "127.0.0.1", "port": free_port()?.to_string() },
                    "grpc_api": { "enabled": true, "address": "127.0.0.1", "port": port(&address) },
                    "log": { "level": "error" },
                });
                std::fs::write(folder.join("centrifugo.json"), config.to_string())?;
                Some(Process::start(binary, ["-c", "centrifugo.json"], folder, &[])?)
            }
            (Work::Calls { .. } | Work::Idle, _) => None,
        };
        Ok(Self { address, process })
    }
}

fn port(address: &str) -> Option<u16> {
    address.rsplit_once(':')?.1.parse().ok()
}

fn launch(
    setup: &Setup,
    row: &Row,
    contender: Contender,
    address: &str,
    api: &Api,
    folder: &Path,
) -> anyhow::Result<Process> {
    let serve = ["serve", "-c", ".rr.yaml"];
    match contender {
        Contender::Echo => Process::start(&setup.echo, [address], folder, &[]),
        Contender::Aio => {
            let script = repository().join("tools/bench/servers/aio.py");
            let packages: OsString = repository().join("workers/python/src").into();
            let arguments = [script.as_os_str(), OsStr::new(address)];
            Process::start(&setup.python, arguments, folder, &[("PYTHONPATH", &packages)])
        }
        bridge => {
            configure(setup, row, contender, address, &api.address, folder)?;
            let binary = match bridge {
                Contender::RoadRunner => setup.roadrunner.as_deref().context("$RR is not set")?,
                Contender::Before => setup.before.as_deref().context("--before is not given")?,
                _ => &setup.causeway,
            };
            Process::start(binary, serve, folder, &[])
        }
    }
}

/// Writes `.rr.yaml`: the same for Causeway and for RoadRunner, which knows no pools.
fn configure(
    setup: &Setup,
    row: &Row,
    contender: Contender,
    address: &str,
    api: &str,
    folder: &Path,
) -> anyhow::Result<()> {
    let relay = match row.relay {
        Relay::Pipes => "pipes".to_owned(),
        Relay::Tcp => format!("tcp://127.0.0.1:{}", free_port()?),
        Relay::Unix => format!("unix://{}", folder.join("relay.sock").display()),
    };
    let command = serde_json::to_string(&setup.command(row.app))?;
    let workers = if contender == Contender::Together { 2 * row.workers } else { row.workers };
    let mut text = format!(
        "version: '3'
server:
  command: {command}
  relay: {relay}
logs:
  level: error
rpc:
  listen: unix://{}
centrifuge:
  proxy_address: tcp://{address}
  grpc_api_address: tcp://{api}
  pool:
    num_workers: {}
",
        folder.join(RPC).display(),
        workers
    );
    match contender {
        Contender::Unfenced => writeln!(text, "    fence: false")?,
        Contender::Apart => {
            let matches = "{types: [rpc], methods: [slow]}";
            writeln!(text, "  pools:\n    slow: {{match: {matches}, num_workers: {}}}", row.workers)?;
        }
        Contender::Routed => {
            writeln!(text, "  pools:")?;
            for number in 1..10 {
                let matches = format!("{{types: [rpc], methods: ['service{number}.*', 'other{number}']}}");
                writeln!(text, "    pool{number}: {{match: {matches}, num_workers: 1}}")?;
            }
            writeln!(text, "    last: {{match: {{methods: ['e*']}}, num_workers: {}}}", row.workers)?;
        }
        _ => {}
    }
    std::fs::write(folder.join(".rr.yaml"), text).context("cannot write .rr.yaml")
}
