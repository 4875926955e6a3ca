//! `causeway reload`: has a running server read its configuration again.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::Global;
use super::format::plain;
use super::program::Program;
use super::reach::{ANSWER, MARGIN, Reach, block_on, waits};
use super::say::say;

/// The server.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The server reads its own files again, with the flags and variables that it was started with, and prints each key that has \
changed: the old value, the new one, and what was done. Calls in flight are finished, and none fails. If there is a mistake in the file, or a \
worker does not become ready with the new settings, nothing changes. SIGHUP does the same, and logs it.

Exit codes: 0 what has changed is in force, except for keys that need a restart; 1 it is not, or not completely, or the server cannot be \
reached; 2 a mistake in the configuration or the arguments."
)]
#[command(mut_arg("timeout", waits("twice pool.reset_timeout + pool.allocate_timeout, + 10s")))]
pub(super) struct Args {
    #[command(flatten)]
    reach: Reach,
}

/// How it went.
#[derive(Debug, Deserialize)]
struct Report {
    result: String,
    changes: Vec<Changed>,
    errors: Vec<String>,
    warnings: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Changed {
    key: String,
    old: Option<String>,
    new: Option<String>,
    done: String,
}

pub(super) fn run(global: &Global, program: &Program, args: &Args) -> anyhow::Result<ExitCode> {
    // New workers are tried first, and then all are replaced.
    let time = global.running()?.reset_time.saturating_mul(2).saturating_add(MARGIN);
    let address = args.reach.address(global)?;
    block_on(async {
        let connected = args.reach.connect(address, ANSWER).await;
        let mut server = connected.map_err(|error| match args.reach.address {
            Some(_) => error.into(),
            // The file that names the address is the one that is about to be loaded.
            None => anyhow!("{error}; a server that listens elsewhere since it was started is reached by --address, or by SIGHUP"),
        })?;
        server.allow(args.reach.timeout.unwrap_or(time));
        let begun = Instant::now();
        let answer = server.call("causeway.Reload", &json!(true)).await?;
        let report: Report = serde_json::from_str(answer.as_str().unwrap_or_default())
            .context("the server's answer is not a report")?;
        if !global.silent {
            let took = begun.elapsed().as_secs_f64();
            std::io::stdout().write_all(report.lines(took).as_bytes())?;
        }
        let warnings = report.warnings.iter().map(|line| format!("warning: {line}"));
        for line in report.errors.iter().cloned().chain(warnings) {
            say(&format!("{}: {}\n", program.name, plain(&line)));
        }
        Ok(match &*report.result {
            "done" => ExitCode::SUCCESS,
            "invalid" => program.mistake(),
            _ => ExitCode::FAILURE,
        })
    })
}

impl Report {
    /// What has changed, a line for each key, and how long that took.
    fn lines(&self, took: f64) -> String {
        let mut lines = String::new();
        for Changed { key, old, new, done } in &self.changes {
            let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "(unset)".into());
            let line = if old.is_none() && new.is_none() {
                format!("{key} ({done})")
            } else {
                format!("{key}: {} -> {} ({done})", shown(old), shown(new))
            };
            lines += &plain(&line);
            lines.push('\n');
        }
        let last = match &*self.result {
            "done" if self.changes.is_empty() => "nothing has changed".to_owned(),
            "done" | "incomplete" => format!("reloaded in {took:.1}s"),
            _ => "not reloaded: the old configuration stays in force".to_owned(),
        };
        lines + &last + "\n"
    }
}
