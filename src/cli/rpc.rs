//! `causeway rpc`: calls any method over `rpc.listen`.

use std::io::Write as _;
use std::process::ExitCode;

use serde_json::Value;

use super::format::json;
use super::reach::{MARGIN, Reach, block_on, waits};
use super::{Global, input};

/// The method to call, and the server.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  causeway rpc informer.List true
  causeway rpc informer.AddWorker '\"centrifuge\"'
  causeway rpc status.Ready '{\"plugin\":\"centrifuge\"}'
  causeway rpc centrifuge.Presence '{\"channel\":\"news\"}'
  causeway rpc centrifuge.Broadcast - < message.json

Exit codes: 0 success; 1 an error or no answer; 2 a mistake in the arguments or the configuration.")]
#[command(mut_arg("timeout", waits("pool.reset_timeout + pool.allocate_timeout + 10s")))]
pub(super) struct Args {
    /// The method with its service, such as informer.Workers or centrifuge.Info
    #[arg(value_name = "METHOD")]
    method: String,
    /// The argument; - reads it from standard input [default: the method's zero value]
    #[arg(value_name = "JSON", allow_negative_numbers = true)]
    argument: Option<String>,
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn run(global: &Global, args: &Args) -> anyhow::Result<ExitCode> {
    let argument = args.argument.as_deref().map(|text| input::json("the argument", text));
    let argument = argument.transpose()?.unwrap_or(Value::Null);
    // No method of the server's own takes longer than a reset; only waiting for a lock may.
    let time = global.running()?.reset_time.saturating_add(MARGIN);
    let address = args.reach.address(global)?;
    block_on(async {
        let mut server = args.reach.connect(address, time).await?;
        let result = server.call(&args.method, &argument).await?;
        writeln!(std::io::stdout(), "{}", json(&serde_json::to_string_pretty(&result)?))?;
        Ok(ExitCode::SUCCESS)
    })
}
