//! The command line: one file per command.
//!
//! Exit codes: 0 is success, 1 a failure of what was tried, 2 a mistake in the command line or the configuration, with which nothing was
//! started.

mod call;
mod check;
mod serve;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::config::{self, Loaded, Sources};

/// The exit code of mistakes in the command line or the configuration.
const MISTAKE: u8 = 2;

/// Runs PHP, Python and other workers behind Centrifugo's gRPC proxy, from RoadRunner's `.rr.yaml`.
#[derive(Debug, Parser)]
#[command(
    name = "causeway",
    version,
    disable_help_subcommand = false,
    after_help = "Examples:
  causeway check                        what would run, and whether the configuration is right
  causeway serve                        run what .rr.yaml says
  causeway serve -c /srv/app/.rr.yaml -o centrifuge.pool.num_workers=8
  causeway call rpc --method sum --data '{\"a\":1,\"b\":2}'

Exit codes: 0 success, 1 failure, 2 a mistake in the command line or the configuration."
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Where the configuration comes from; the names are RoadRunner's.
#[derive(Debug, Args)]
struct Global {
    /// The configuration file
    #[arg(short, long, global = true, value_name = "FILE", default_value = ".rr.yaml")]
    config: PathBuf,
    /// The working directory; the configuration file's own unless given
    #[arg(short = 'w', long = "work-dir", alias = "WorkDir", global = true, value_name = "DIR")]
    work_dir: Option<PathBuf>,
    /// A file of NAME=value lines to take variables from; $DOTENV_PATH beats it
    #[arg(long, global = true, value_name = "FILE")]
    dotenv: Option<PathBuf>,
    /// Sets a key: -o centrifuge.pool.num_workers=4. May be repeated
    #[arg(short = 'o', long = "override", global = true, value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Log everything, whatever logs.level says
    #[arg(short, long, global = true)]
    debug: bool,
    /// Print no start message
    #[arg(short, long, global = true)]
    silent: bool,
    /// RoadRunner's switch for experiments; it has no effect here
    #[arg(short = 'e', long, global = true, hide = true)]
    enable_experimental: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the workers and answer Centrifugo's calls
    Serve(serve::Args),
    /// Read the configuration and show what would run
    Check,
    /// Ask the running bridge what Centrifugo would ask it
    Call(Box<call::Args>),
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let cli = match parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(MISTAKE));
        }
    };
    let run = match cli.command {
        Command::Serve(args) => serve::run(&cli.global, &args),
        Command::Check => check::run(&cli.global),
        Command::Call(args) => call::run(&cli.global, &args),
    };
    run.unwrap_or_else(|error| {
        eprintln!("causeway: {error:#}");
        // A mistake in the configuration is told from a failure of what it asks for.
        let mistake = error.is::<config::Error>() || error.is::<Mistake>();
        ExitCode::from(if mistake { MISTAKE } else { 1 })
    })
}

/// A mistake in the arguments of a command that clap cannot know of.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Mistake(String);

fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let matches = Cli::command().try_get_matches_from(args)?;
    Cli::from_arg_matches(&matches)
}

impl Global {
    fn load(&self) -> Result<Loaded, config::Error> {
        config::load(&Sources {
            path: self.config.clone(),
            work_dir: self.work_dir.clone(),
            dotenv: self.dotenv.clone(),
            overrides: self.overrides.clone(),
            env: std::env::vars_os().collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Cli {
        parse(line.split(' ').map(OsString::from)).unwrap()
    }

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_of_roadrunner_are_known_before_and_behind_the_command() {
        for line in
            ["rr -c a.yaml -w /tmp -o a.b=c -d serve", "rr serve -c a.yaml --WorkDir /tmp -o a.b=c -d -e"]
        {
            let cli = read(line);
            assert_eq!(cli.global.config, PathBuf::from("a.yaml"));
            assert_eq!(cli.global.work_dir, Some("/tmp".into()));
            assert_eq!(cli.global.overrides, ["a.b=c"]);
            assert!(cli.global.debug);
        }
    }
}
