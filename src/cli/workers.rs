//! `causeway workers`: a table of the workers, once or live.

use std::io::Write as _;
use std::process::ExitCode;

use super::plugins::Plugins;
use super::reach::{ANSWER, Reach, block_on};
use super::snapshot::Snapshot;
use super::table::{self, Look};
use super::{Global, live};

/// Whose workers, and how they are shown.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  causeway workers
  causeway workers -i                   with requests per second, the queue and latencies; q ends
  causeway workers --json | jq '.workers[].pid'

CPU % is of one core, over the worker's life. MEMORY is what the worker and its children have resident.

Exit codes: 0 success; 1 nobody answers, or there is no such plugin; 2 a mistake in the arguments or the configuration.")]
pub(super) struct Args {
    /// The plugins; all that have workers unless given
    #[arg(value_name = "PLUGIN")]
    plugins: Vec<String>,
    /// Show the table again each second, until q or Ctrl-C
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
                write!(out, "{}", table::show(plugin, snapshot.taken, Look::of_stdout()))?;
            }
        }
        plugins.all_known()?;
        Ok(ExitCode::SUCCESS)
    })
}
