//! Under which name the program was called. As `rr` it is a stand-in for RoadRunner's binary, to the scripts too that call it.

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use clap::Command;

use crate::compat;

/// RoadRunner's name.
const ROADRUNNER: &str = "rr";

/// The program's name, and what depends on it.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub(super) name: String,
}

impl Program {
    /// By the first argument of the process: a path, a symlink's as well.
    pub(super) fn of(argument: Option<&OsStr>) -> Self {
        let name = argument.and_then(|argument| Path::new(argument).file_name()?.to_str());
        Self { name: name.unwrap_or("causeway").to_owned() }
    }

    pub(super) fn is_roadrunner(&self) -> bool {
        self.name == ROADRUNNER
    }

    /// The exit code of mistakes in the command line or the configuration. RoadRunner knows 1 only.
    pub(super) fn mistake(&self) -> ExitCode {
        ExitCode::from(if self.is_roadrunner() { 1 } else { 2 })
    }

    /// The command line under this name.
    pub(super) fn command(&self, command: Command) -> Command {
        let command = command.name(self.name.clone());
        let mut command = if self.is_roadrunner() { command.version(roadrunner_version()) } else { command };
        let subcommands: Vec<String> =
            command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
        for subcommand in subcommands {
            command = command.mut_subcommand(subcommand, |command| self.rename_in_help(command));
        }
        self.rename_in_help(command)
    }

    fn rename_in_help(&self, command: Command) -> Command {
        match command.get_after_help().map(ToString::to_string) {
            Some(text) => command.after_help(self.own_words(&text)),
            None => command,
        }
    }

    fn own_words(&self, text: &str) -> String {
        let text = text.replace("causeway ", &format!("{} ", self.name));
        if self.is_roadrunner() { text.replace("2 a mistake", "1 a mistake") } else { text }
    }

    /// What to print, and how to exit, when the command line cannot be run.
    pub(super) fn refuse(&self, error: &clap::Error, command: &mut Command) -> ExitCode {
        use clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand as NothingSaid;
        if self.is_roadrunner() && error.kind() == NothingSaid {
            let _ = command.print_help();
            return ExitCode::SUCCESS;
        }
        let _ = error.print();
        if let Some(file) = configuration_file(error) {
            eprintln!("\n  tip: a configuration file is given with -c: {} serve -c {file}", self.name);
        }
        if error.exit_code() == 0 { ExitCode::SUCCESS } else { self.mistake() }
    }
}

/// The argument that nobody knows, if it may be the configuration file.
fn configuration_file(error: &clap::Error) -> Option<&str> {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    let kind = match error.kind() {
        ErrorKind::UnknownArgument => ContextKind::InvalidArg,
        ErrorKind::InvalidSubcommand => ContextKind::InvalidSubcommand,
        _ => return None,
    };
    let ContextValue::String(argument) = error.get(kind)? else { return None };
    let extension = Path::new(argument).extension().and_then(OsStr::to_str);
    matches!(extension, Some("yaml" | "yml" | "json")).then_some(argument)
}

/// In the form of RoadRunner's own, from which tools read whether the binary is new enough.
fn roadrunner_version() -> String {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let (roadrunner, own) = (compat::VERSION, env!("CARGO_PKG_VERSION"));
    format!("version {roadrunner} (Causeway {own}), OS: {}, arch: {arch}", std::env::consts::OS)
}
