//! `causeway stop`: ends a running server, by a signal to the process of `.pid` or over `rpc.listen`.

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
use super::reach::{ANSWER, MARGIN, Reach, block_on};
use super::say::say;
use crate::os::other::Other;
use crate::rpc::ClientError;

/// How long a server may take to end at once, before it is killed.
const AT_ONCE: Duration = Duration::from_secs(5);

/// How often `stop -f` sends its signal. The server takes signals that come within 50 ms of each other for one.
const SIGNAL_EVERY: Duration = Duration::from_millis(200);

/// How often it is looked whether the process is gone: the kernel tells only a parent.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How the server is found.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The server is the process of .pid in the working directory, which `causeway serve -p` writes, or else the one \
that answers at rpc.listen. It finishes its calls within endure.grace_period; with -f it ends at once, and its workers with it.

Exit codes: 0 it is gone; 1 it is not, or there is none; 2 a mistake in the arguments or the configuration."
)]
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
            writeln!(io::stdout(), "{who} has ended after {:.1}s", begun.elapsed().as_secs_f64())?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// The server's process by its `.pid` file, or why that names none.
fn find(file: &Path, program: &Program) -> Result<Other, String> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!("there is no {shown}, which `serve -p` writes"),
        _ => format!("{shown} cannot be read: {error}"),
    })?;
    let pid = text.trim().parse().map_err(|_| format!("{shown} holds no process id"))?;
    let process =
        Other::find(pid).ok_or_else(|| format!("there is no process {pid}, which {shown} names"))?;
    // The process may have ended long ago, and its number be another's by now.
    let names = if process.runs_this_program() { None } else { Some(["causeway", "rr", &program.name]) };
    if is_server(&process.arguments(), names) {
        Ok(process)
    } else {
        Err(format!("process {pid}, which {shown} names, is no server"))
    }
}

/// Whether a command line is that of a server; the program's name counts unless it is known to be one.
fn is_server(arguments: &[String], names: Option<[&str; 3]>) -> bool {
    let Some((program, rest)) = arguments.split_first() else { return false };
    let name = Path::new(program).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    names.is_none_or(|names| names.contains(&name)) && rest.iter().any(|word| word == "serve")
}

async fn by_signal(global: &Global, process: &Other, patience: Duration) -> anyhow::Result<String> {
    let who = format!("process {}", process.pid());
    if !global.silent {
        say(&format!("stopping {who}\n"));
    }
    if global.force {
        let signals = (AT_ONCE.as_millis() / SIGNAL_EVERY.as_millis()).try_into().unwrap_or(u32::MAX);
        for _ in 0..signals {
            send(process, Signal::SIGTERM)?;
            if is_gone(process, SIGNAL_EVERY).await {
                return Ok(who);
            }
        }
        // Its guard kills the workers then.
        send(process, Signal::SIGKILL)?;
        if is_gone(process, AT_ONCE).await {
            return Ok(who);
        }
        bail!("{who} does not even end by SIGKILL");
    }
    send(process, Signal::SIGTERM)?;
    if is_gone(process, patience).await {
        return Ok(who);
    }
    bail!("{who} has not ended within {patience:?}; `stop -f` ends it at once")
}

fn send(process: &Other, signal: Signal) -> anyhow::Result<()> {
    match process.signal(signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => bail!("process {} cannot be signalled: {error}", process.pid()),
    }
}

async fn is_gone(process: &Other, within: Duration) -> bool {
    let deadline = Instant::now() + within;
    while process.is_alive() {
        if Instant::now() >= deadline {
            return false;
        }
        sleep(LOOK_EVERY).await;
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
        // Who ends at once may end before it answers.
        Err(ClientError::Closed { .. }) if global.force => return Ok(who),
        Err(ClientError::Server(text)) if text.starts_with("rpc: can't find") => {
            bail!("{who} is no Causeway, and ends by a signal only; `serve -p` writes whom to send it to")
        }
        Err(error) => return Err(error.into()),
    }
    let patience = if global.force { AT_ONCE } else { patience };
    if !server.closed(patience).await {
        bail!("{who} has not ended within {patience:?}");
    }
    Ok(who)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_told_by_its_name_and_its_command() {
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
