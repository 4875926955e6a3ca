//! The name under which the program was called. As `rr` it stands in for RoadRunner's binary, for scripts as well.

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
    /// Takes the name from the first argument of the process, which may be the path of a symlink.
    pub(super) fn of(argument: Option<&OsStr>) -> Self {
        let name = argument.and_then(|argument| Path::new(argument).file_name()?.to_str());
        Self { name: name.unwrap_or("causeway").to_owned() }
    }

    pub(super) fn is_roadrunner(&self) -> bool {
        self.name == ROADRUNNER
    }

    /// The exit code of mistakes in the command line or the configuration. RoadRunner has 1 only.
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

    /// Prints why the command line cannot be run, and returns the exit code.
    pub(super) fn refuse(&self, error: &clap::Error, command: &mut Command) -> ExitCode {
        use clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand as NothingSaid;
        if self.is_roadrunner() && error.kind() == NothingSaid {
            let _ = command.print_help();
            return ExitCode::SUCCESS;
        }
        let _ = error.print();
        if let Some(file) = configuration_file(error) {
            eprintln!("\n  tip: pass a configuration file with -c: {} serve -c {file}", self.name);
        }
        if error.exit_code() == 0 { ExitCode::SUCCESS } else { self.mistake() }
    }
}

/// Returns the unknown argument if it looks like a configuration file.
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

/// The version in RoadRunner's format, by which tools check whether the binary is recent enough.
fn roadrunner_version() -> String {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let (roadrunner, own) = (compat::VERSION, env!("CARGO_PKG_VERSION"));
    format!("version {roadrunner} (Causeway {own}), OS: {}, arch: {arch}", std::env::consts::OS)
}
