//! `causeway upgrade`: starts a new server, which takes over from the running one.

use std::io::Write as _;
use std::process::ExitCode;

use serde_json::json;
use tokio::time::Instant;

use super::Global;
use super::format::plain;
use super::reach::{ANSWER, MARGIN, Reach, block_on, waits};
use super::say::say;
use crate::rpc::ClientError;

/// How the server is found.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The running server starts its program anew, from the path and with the arguments of its own start: a new version, a new \
configuration. The new server gets the listening sockets; when its workers are ready it serves, and the old one finishes its calls and \
exits. If the new one does not start, the old one goes on, and the reason is printed. SIGUSR2 does the same.

Exit codes: 0 the new server serves; 1 it does not, or the server cannot be reached; 2 a mistake in the arguments or the configuration."
)]
#[command(mut_arg("timeout", waits("server.on_init.exec_timeout + pool.allocate_timeout + 1m")))]
pub(super) struct Args {
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn run(global: &Global, program: &str, args: &Args) -> anyhow::Result<ExitCode> {
    let usual = global.running()?.start_time.saturating_add(6 * MARGIN);
    let address = args.reach.address(global)?;
    block_on(async {
        let begun = Instant::now();
        let mut server = args.reach.connect(address, ANSWER).await?;
        server.allow(args.reach.timeout.unwrap_or(usual));
        if !global.silent {
            say("starting a new server\n");
        }
        let upgraded = match server.call("causeway.Upgrade", &json!(true)).await {
            Ok(upgraded) => upgraded,
            Err(ClientError::Server(reason)) => {
                let why = plain(&reason);
                say(&format!("{program}: the server was not upgraded, and goes on: {why}\n"));
                return Ok(ExitCode::FAILURE);
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(locks @ 1..) = upgraded["locks"].as_u64() {
            say(&format!(
                "{program}: warning: the new server does not know {locks} locks in the old one's memory\n"
            ));
        }
        if !global.silent {
            let took = begun.elapsed().as_secs_f64();
            writeln!(std::io::stdout(), "process {} has taken over after {took:.1}s", upgraded["pid"])?;
        }
        Ok(ExitCode::SUCCESS)
    })
}
