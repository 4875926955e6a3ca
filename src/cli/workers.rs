//! `causeway workers`: shows the workers, once or live.

use std::io::Write as _;
use std::process::ExitCode;

use super::plugins::Plugins;
use super::reach::{ANSWER, Reach, block_on, waits};
use super::snapshot::Snapshot;
use super::table::{self, Style};
use super::{Global, live};

/// The pools, the format and the server.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  causeway workers
  causeway workers -i                   live: what is wrong, and the last 15 minutes; q quits
  causeway workers --json | jq '.workers[].pid'

CPU % is that of one core over the worker's life. MEMORY is resident memory of the worker and its descendants.

Exit codes: 0 success; 1 the server cannot be reached, or a pool does not exist; 2 a mistake in the arguments or the configuration.")]
#[command(mut_arg("timeout", waits("5s")))]
pub(super) struct Args {
    /// The pools, such as centrifuge or centrifuge.reports [default: all]
    #[arg(value_name = "POOL")]
    plugins: Vec<String>,
    /// Refresh the table every second, until q or Ctrl-C
    #[arg(short, long)]
    interactive: bool,
    /// Print one line of JSON
    #[arg(long, conflicts_with = "interactive")]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn run(global: &Global, args: &Args) -> anyhow::Result<ExitCode> {
    let address = args.reach.address(global)?;
    block_on(async {
        let mut server = args.reach.connect(address, ANSWER).await?;
        let plugins = Plugins::find(&mut server, "informer.List", &args.plugins).await?;
        if args.interactive {
            plugins.all_known()?;
            return live::run(server, plugins.known).await;
        }
        let snapshot = Snapshot::take(&mut server, &plugins.known).await?;
        let mut out = std::io::stdout();
        if args.json {
            writeln!(out, "{}", snapshot.json())?;
        } else {
            for plugin in &snapshot.plugins {
                write!(out, "{}", table::show(plugin, snapshot.taken, Style::of_stdout()))?;
            }
        }
        plugins.all_known()?;
        Ok(ExitCode::SUCCESS)
    })
}
