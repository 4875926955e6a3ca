//! `causeway reset`: replaces the workers while requests go on.

use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::format::plain;
use super::plugins::Plugins;
use super::reach::{ANSWER, MARGIN, Reach, Server, block_on, waits};
use super::say::say;
use super::{Global, snapshot};

/// How often progress is shown.
const EVERY: Duration = Duration::from_millis(200);

/// The pools to reset, and the server.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Each worker finishes its request and exits once its successor is ready. If the new code does not start, the old \
workers stay, and the reason is printed.

Exit codes: 0 all workers were replaced; 1 they were not, the server cannot be reached, or a pool does not exist; 2 a mistake in the \
arguments or the configuration."
)]
#[command(mut_arg("timeout", waits("pool.reset_timeout + pool.allocate_timeout + 10s")))]
pub(super) struct Args {
    /// The pools, such as centrifuge or centrifuge.reports [default: all]
    #[arg(value_name = "POOL")]
    plugins: Vec<String>,
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn run(global: &Global, program: &str, args: &Args) -> anyhow::Result<ExitCode> {
    let time = global.running()?.reset_time.saturating_add(MARGIN);
    let address = args.reach.address(global)?;
    block_on(async {
        let mut server = args.reach.connect(address, ANSWER).await?;
        let plugins = Plugins::find(&mut server, "resetter.List", &args.plugins).await?;
        server.allow(args.reach.timeout.unwrap_or(time));
        let mut all_replaced = true;
        for plugin in &plugins.known {
            let begun = Instant::now();
            match reset(&mut server, plugin, global.silent).await {
                Ok(()) if global.silent => {}
                Ok(()) => {
                    let took = begun.elapsed().as_secs_f64();
                    writeln!(std::io::stdout(), "{plugin}: all workers were replaced in {took:.1}s")?;
                }
                Err(error) => {
                    all_replaced = false;
                    let why = plain(&format!("{error:#}"));
                    say(&format!("{program}: {plugin}: the workers were not replaced: {why}\n"));
                }
            }
        }
        plugins.all_known()?;
        Ok(if all_replaced { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

/// Resets one plugin and shows progress.
async fn reset(server: &mut Server, plugin: &str, silent: bool) -> anyhow::Result<()> {
    let on_terminal = std::io::stderr().is_terminal();
    let watcher = if silent || !on_terminal { None } else { server.again().await.ok() };
    if !silent && !on_terminal {
        say(&format!("resetting {plugin}\n"));
    }
    let argument = json!(plugin);
    let progress = async {
        if let Some(mut watcher) = watcher {
            watcher.allow(ANSWER);
            show_progress(&mut watcher, plugin).await;
        }
        std::future::pending::<()>().await;
    };
    let end = tokio::select! {
        // Progress first: it has to see the old workers before there are new ones.
        biased;
        () = progress => Ok(()),
        end = server.call("resetter.Reset", &argument) => end.map(drop),
    };
    if !silent && on_terminal {
        // The next output starts on this line.
        say("\r\u{1b}[K");
    }
    Ok(end?)
}

/// Shows again and again how many workers are new, for as long as the server answers.
async fn show_progress(server: &mut Server, plugin: &str) {
    let begun = Instant::now();
    let mut old: Option<BTreeSet<i64>> = None;
    loop {
        let Ok(workers) = snapshot::workers(server, plugin).await else { return };
        let pids: BTreeSet<i64> = workers.iter().map(|worker| worker.pid).collect();
        let old = old.get_or_insert_with(|| pids.clone());
        let new = pids.difference(old).count();
        let seconds = begun.elapsed().as_secs();
        let all = old.len();
        say(&format!("\r\u{1b}[Kresetting {plugin}: {new} of {all} workers are new, {seconds}s"));
        tokio::time::sleep(EVERY).await;
    }
}
