//! `causeway stop`: stops a running server, by a signal to the process in `.pid` or over `rpc.listen`.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::Global;
use super::program::Program;
use super::reach::{ANSWER, MARGIN, Reach, block_on, waits};
use super::say::say;
use crate::os::foreign_process::ForeignProcess;
use crate::rpc::ClientError;

/// How long a forced stop may take before the server is killed.
const FORCED: Duration = Duration::from_secs(5);

/// How often `stop -f` sends its signal. The server counts signals within 50 ms of each other as one.
const SIGNAL_EVERY: Duration = Duration::from_millis(200);

/// How often to check whether the process has exited: the kernel notifies only its parent.
const CHECK_EVERY: Duration = Duration::from_millis(20);

/// How the server is found.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The server is the process in .pid in the working directory, which `causeway serve -p` writes, or else the one \
that answers at rpc.listen. It finishes its calls within endure.grace_period; with -f it exits immediately, along with its workers.

Exit codes: 0 the server has exited; 1 it has not, or there is none; 2 a mistake in the arguments or the configuration."
)]
#[command(mut_arg("timeout", waits("endure.grace_period + 10s")))]
pub(super) struct Args {
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn run(global: &Global, program: &Program, args: &Args) -> anyhow::Result<ExitCode> {
    let running = global.running()?;
    let patience = args.reach.timeout.unwrap_or(running.grace_period.saturating_add(MARGIN));
    block_on(async {
        let begun = Instant::now();
        let who = if args.reach.address.is_some() {
            over_rpc(global, args, patience).await?
        } else {
            match find(&running.work_dir.join(".pid"), program) {
                Ok(process) => by_signal(global, &process, patience).await?,
                Err(no_process) => {
                    let end = over_rpc(global, args, patience).await;
                    end.with_context(|| format!("{no_process}, and the server cannot be stopped over RPC"))?
                }
            }
        };
        if !global.silent {
            writeln!(io::stdout(), "{who} has stopped after {:.1}s", begun.elapsed().as_secs_f64())?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Finds the server's process by its `.pid` file. The error says why there is none.
fn find(file: &Path, program: &Program) -> Result<ForeignProcess, String> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!("there is no {shown}, which `serve -p` writes"),
        _ => format!("cannot read {shown}: {error}"),
    })?;
    let pid = text.trim().parse().map_err(|_| format!("{shown} contains no process id"))?;
    let process =
        ForeignProcess::find(pid).ok_or_else(|| format!("there is no process {pid}, which {shown} names"))?;
    // The process may have exited long ago, and its pid may be another one's by now.
    let names = if process.runs_this_program() { None } else { Some(["causeway", "rr", &program.name]) };
    if is_server(&process.arguments(), names) {
        Ok(process)
    } else {
        Err(format!("process {pid}, which {shown} names, is not a server"))
    }
}

/// Returns whether a command line is that of a server. `names` are the names its program may have, if the program is not known already.
fn is_server(arguments: &[String], names: Option<[&str; 3]>) -> bool {
    let Some((program, rest)) = arguments.split_first() else { return false };
    let name = Path::new(program).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    names.is_none_or(|names| names.contains(&name)) && rest.iter().any(|word| word == "serve")
}

async fn by_signal(global: &Global, process: &ForeignProcess, patience: Duration) -> anyhow::Result<String> {
    let who = format!("process {}", process.pid());
    if !global.silent {
        say(&format!("stopping {who}\n"));
    }
    if global.force {
        let signals = (FORCED.as_millis() / SIGNAL_EVERY.as_millis()).try_into().unwrap_or(u32::MAX);
        for _ in 0..signals {
            send(process, Signal::SIGTERM)?;
            if is_gone(process, SIGNAL_EVERY).await {
                return Ok(who);
            }
        }
        // Its guard then kills the workers.
        send(process, Signal::SIGKILL)?;
        if is_gone(process, FORCED).await {
            return Ok(who);
        }
        bail!("{who} has not exited after SIGKILL");
    }
    send(process, Signal::SIGTERM)?;
    if is_gone(process, patience).await {
        return Ok(who);
    }
    bail!("{who} has not stopped within {patience:?}; `stop -f` stops it immediately")
}

fn send(process: &ForeignProcess, signal: Signal) -> anyhow::Result<()> {
    match process.signal(signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => bail!("cannot signal process {}: {error}", process.pid()),
    }
}

async fn is_gone(process: &ForeignProcess, within: Duration) -> bool {
    let deadline = Instant::now() + within;
    while process.is_alive() {
        if Instant::now() >= deadline {
            return false;
        }
        sleep(CHECK_EVERY).await;
    }
    true
}

async fn over_rpc(global: &Global, args: &Args, patience: Duration) -> anyhow::Result<String> {
    let address = args.reach.address(global)?;
    let who = format!("the server at {address}");
    let mut server = args.reach.connect(address, ANSWER).await?;
    if !global.silent {
        say(&format!("stopping {who}\n"));
    }
    match server.call("causeway.Stop", &json!({"force": global.force})).await {
        Ok(_) => {}
        // A server that exits immediately may do so before it answers.
        Err(ClientError::Closed { .. }) if global.force => return Ok(who),
        Err(ClientError::Server(text)) if text.starts_with("rpc: can't find") => {
            bail!(
                "{who} is not Causeway: it can be stopped by a signal only; `serve -p` writes its pid to .pid"
            )
        }
        Err(error) => return Err(error.into()),
    }
    let patience = if global.force { FORCED } else { patience };
    if !server.closed(patience).await {
        bail!("{who} has not stopped within {patience:?}");
    }
    Ok(who)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_recognised_by_its_name_and_its_command() {
        let is = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            is_server(&words, Some(["causeway", "rr", "causeway-next"]))
        };
        assert!(is("/usr/local/bin/causeway serve -p"));
        assert!(is("./rr -p serve"));
        assert!(is("causeway-next serve"));
        assert!(!is("causeway workers -i"));
        assert!(!is("bash serve"));
        assert!(!is_server(&[], None));
        assert!(is_server(&["x".into(), "serve".into()], None));
    }
}
