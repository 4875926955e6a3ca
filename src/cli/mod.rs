//! The command line: one file per command.
//!
//! ```text
//!  init, completion, man                a file or a text, and nothing is read
//!  serve, check ───────────────────────▶ config ─▶ app
//!  dns-txt, schema ────────────────────▶ config
//!  call ───────────────────────────────▶ centrifuge.proxy_address of a running server, by gRPC
//!  workers, reset, reload, stop, upgrade, rpc, publish ─▶ reach ─▶ rpc.listen of a running server
//! ```
//!
//! Exit codes: 0 for success, 1 for failure, 2 for a mistake in the command line or the configuration, in which case nothing was started.
//! Called as `rr`, the program exits with 1 for both, as RoadRunner does (see `program`).
//!
//! Results go to standard output, progress and errors to standard error. An error is one line, unless it quotes a worker's output. Every
//! command reports all mistakes in the configuration, one per line, in the same words.

mod call;
mod check;
mod completion;
mod dns_txt;
mod format;
mod graph;
mod init;
mod input;
mod live;
mod man;
mod overview;
mod pid_file;
mod plugins;
mod program;
mod publish;
mod reach;
mod reload;
mod reset;
mod route;
mod rpc;
mod say;
mod schema;
mod screen;
mod secure;
mod serve;
mod snapshot;
mod stop;
mod table;
mod upgrade;
mod upgrading;
mod workers;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::config::{self, Loaded, Running, Sources};
use crate::os;
use program::Program;

/// Runs PHP, Python and other workers behind Centrifugo's gRPC proxy, from RoadRunner's `.rr.yaml`.
#[derive(Debug, Parser)]
#[command(
    name = "causeway",
    version,
    disable_version_flag = true,
    term_width = 0, // Lines are not wrapped, whatever features clap has in this build.
    after_help = "Examples:
  causeway init python chat             write a project to begin with
  causeway check                        check the configuration, and show what would run
  causeway serve                        start the server with .rr.yaml
  causeway serve -c /srv/app/.rr.yaml -o centrifuge.pool.num_workers=8
  causeway call rpc --method sum --data '{\"a\":1,\"b\":2}'
  causeway workers -i                   watch the workers of a running server
  causeway reset                        replace the workers while requests go on
  causeway reload                       read the configuration again
  causeway upgrade                      replace the server while requests go on
  causeway publish news '{\"text\":\"hello\"}'

Exit codes: 0 success, 1 failure, 2 a mistake in the command line or the configuration."
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    /// Print version
    #[arg(short = 'V', long, short_alias = 'v', action = clap::ArgAction::Version)]
    version: Option<bool>,
    #[command(subcommand)]
    command: Command,
}

/// The sources of the configuration; the names are RoadRunner's.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of its own, as in RoadRunner")]
struct Global {
    /// The configuration file
    #[arg(short, long, global = true, value_name = "FILE", default_value = ".rr.yaml")]
    config: PathBuf,
    /// The working directory [default: that of the configuration file]
    #[arg(short = 'w', long = "work-dir", alias = "WorkDir", global = true, value_name = "DIR", value_parser = empty_or_path())]
    work_dir: Option<PathBuf>,
    /// A file of NAME=value lines to take variables from; $DOTENV_PATH takes precedence
    #[arg(long, global = true, value_name = "FILE", value_parser = empty_or_path())]
    dotenv: Option<PathBuf>,
    /// Set a key: -o centrifuge.pool.num_workers=4. May be repeated
    #[arg(short = 'o', long = "override", global = true, value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Log everything, regardless of logs.level
    #[arg(short, long, global = true)]
    debug: bool,
    /// Print only errors and results
    #[arg(short, long, global = true)]
    silent: bool,
    /// serve: write the process id to .pid in the working directory
    #[arg(short, long, global = true)]
    pid: bool,
    /// stop: exit immediately and drop calls in flight
    #[arg(short, long, global = true)]
    force: bool,
    /// RoadRunner's switch for experiments; it has no effect here
    #[arg(short = 'e', long, global = true, hide = true)]
    enable_experimental: bool,
}

/// A path that a script may leave empty, which counts as not given.
fn empty_or_path() -> impl clap::builder::TypedValueParser<Value = PathBuf> {
    use clap::builder::TypedValueParser as _;
    clap::builder::OsStringValueParser::new().map(PathBuf::from)
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the workers and serve Centrifugo's calls
    Serve(serve::Args),
    /// Write a project that runs: configuration, application, test, page
    Init(init::Args),
    /// Check the configuration and show what would run
    Check(check::Args),
    /// Send an event to a running server, as Centrifugo would
    Call(Box<call::Args>),
    /// Show the workers of a running server
    Workers(workers::Args),
    /// Replace the workers of a running server while requests go on
    Reset(reset::Args),
    /// Read the configuration of a running server again
    Reload(reload::Args),
    /// Stop a running server
    Stop(stop::Args),
    /// Start a new server, such as a new version of the program, and hand over to it
    Upgrade(upgrade::Args),
    /// Call any RPC method of a running server
    Rpc(rpc::Args),
    /// Publish a message to a channel through a running server
    Publish(publish::Args),
    /// Print the DNS record by which Centrifugo balances its calls over several bridges
    DnsTxt(dns_txt::Args),
    /// Print the JSON schema of the configuration, by which editors complete and check it
    Schema(schema::Args),
    /// Print a shell's completion script
    Completion(completion::Args),
    /// Write the manual pages
    Man(man::Args),
    /// RoadRunner's queues, which are not supported
    #[command(hide = true)]
    Jobs {
        /// RoadRunner's arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        _any: Vec<OsString>,
    },
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    os::guard::become_one_if_called();
    let program = Program::of(std::env::args_os().next().as_deref());
    let mut command = program.command(Cli::command());
    let args: Vec<OsString> = std::env::args_os().collect();
    let cli = match parse(&mut command, args.iter().cloned()) {
        Ok(cli) => cli,
        Err(error) => return program.refuse(error, &mut command, &args),
    };
    run(&program, &cli).unwrap_or_else(|error| {
        // The reader has closed the pipe, as in `causeway workers | head -1`.
        let is_unread = |cause: &io::Error| cause.kind() == io::ErrorKind::BrokenPipe;
        if error.downcast_ref::<io::Error>().is_some_and(is_unread) {
            return ExitCode::FAILURE;
        }
        // Mistakes in the configuration have an exit code of their own.
        if let Some(error) = error.downcast_ref::<config::Error>() {
            let lines = error.lines().map(|line| format!("{}: {}\n", program.name, format::one_line(&line)));
            say::say(&lines.collect::<String>());
            return program.mistake();
        }
        say::say(&format!("{}: {}\n", program.name, format::plain(&format!("{error:#}"))));
        if error.is::<Mistake>() { program.mistake() } else { ExitCode::FAILURE }
    })
}

fn run(program: &Program, cli: &Cli) -> anyhow::Result<ExitCode> {
    let global = &cli.global;
    match &cli.command {
        Command::Serve(args) => serve::run(global, args),
        Command::Init(args) => init::run(global, args),
        Command::Check(args) => check::run(global, args),
        Command::Call(args) => call::run(global, args),
        Command::Workers(args) => workers::run(global, args),
        Command::Reset(args) => reset::run(global, &program.name, args),
        Command::Reload(args) => reload::run(global, program, args),
        Command::Stop(args) => stop::run(global, program, args),
        Command::Upgrade(args) => upgrade::run(global, &program.name, args),
        Command::Rpc(args) => rpc::run(global, args),
        Command::Publish(args) => publish::run(global, args),
        Command::DnsTxt(args) => dns_txt::run(global, args),
        Command::Schema(_) => schema::run(),
        Command::Completion(args) => completion::run(args, program.command(Cli::command())),
        Command::Man(args) => man::run(args, program.command(Cli::command())),
        Command::Jobs { .. } => anyhow::bail!("RoadRunner's jobs plugin is not supported"),
    }
}

/// A mistake in a command's arguments that clap cannot detect.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Mistake(String);

fn parse(command: &mut clap::Command, args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let matches = command.try_get_matches_from_mut(args)?;
    Cli::from_arg_matches(&matches)
}

impl Global {
    fn load(&self) -> Result<Loaded, config::Error> {
        config::load(&self.sources())
    }

    /// Reads what is needed to reach a running server.
    fn running(&self) -> Result<Running, config::Error> {
        config::running(&self.sources())
    }

    fn sources(&self) -> Sources {
        let given = |path: &Option<PathBuf>| path.clone().filter(|path| !path.as_os_str().is_empty());
        Sources {
            path: self.config.clone(),
            work_dir: given(&self.work_dir),
            dotenv: given(&self.dotenv),
            overrides: self.overrides.clone(),
            env: std::env::vars_os().collect(),
            current_dir: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Cli {
        parse(&mut Cli::command(), line.split(' ').map(OsString::from)).unwrap()
    }

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
        Program::of(Some("rr".as_ref())).command(Cli::command()).debug_assert();
    }

    #[test]
    fn each_command_shows_its_exit_codes_and_how_long_it_waits() {
        let mut all = Cli::command();
        all.build();
        for command in all.get_subcommands_mut() {
            let name = command.get_name().to_owned();
            let help = command.render_help().to_string();
            assert!(
                help.contains("Exit codes: 0 ")
                    || ["completion", "help", "jobs", "man", "schema"].contains(&&*name),
                "{name}: {help}"
            );
            let mut waits = help.lines().filter(|line| line.contains("--timeout"));
            assert!(waits.all(|line| line.contains("[default: ")), "{name}: {help}");
        }
    }

    #[test]
    fn flags_of_roadrunner_are_known_before_and_behind_the_command() {
        for line in [
            "rr -c a.yaml -w /tmp -o a.b=c -d -p -f -s serve",
            "rr serve -c a.yaml --WorkDir /tmp -o a.b=c -d -e --pid --force --silent",
        ] {
            let global = read(line).global;
            assert_eq!(global.config, PathBuf::from("a.yaml"));
            assert_eq!(global.work_dir, Some("/tmp".into()));
            assert_eq!(global.overrides, ["a.b=c"]);
            assert!(global.debug && global.pid && global.force && global.silent);
        }
        assert!(matches!(read("rr jobs --list a,b").command, Command::Jobs { .. }));
        assert!(matches!(read("rr workers -i centrifuge").command, Command::Workers(_)));
    }

    #[test]
    fn help_speaks_of_the_program_by_its_name() {
        let mut command = Program::of(Some("./rr".as_ref())).command(Cli::command());
        let help = command.render_long_help().to_string();
        assert!(help.contains("Usage: rr ") && help.contains("  rr workers -i"), "{help}");
        let help = command.find_subcommand_mut("reset").unwrap().render_long_help().to_string();
        assert!(!help.contains("causeway "), "{help}");
    }
}
