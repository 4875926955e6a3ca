//! The name under which the program was called. As `rr` it stands in for RoadRunner's binary, for scripts as well.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::say::say;
use crate::compat::Compat;
use crate::secrets::{HIDDEN, scrub_words};

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
    pub(super) fn refuse(
        &self,
        mut error: clap::Error,
        command: &mut Command,
        args: &[OsString],
    ) -> ExitCode {
        use clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand as NothingSaid;
        if self.is_roadrunner() && error.kind() == NothingSaid {
            let _ = command.print_help();
            return ExitCode::SUCCESS;
        }
        let subcommand =
            args.iter().filter_map(|arg| arg.to_str()).find(|arg| command.find_subcommand(arg).is_some());
        let tip = tip(&error, &self.name, subcommand.unwrap_or("serve"));
        hide_secrets(&mut error, args);
        let _ = error.print();
        if let Some(tip) = tip {
            say(&format!("\n  tip: {tip}\n"));
        }
        if error.exit_code() == 0 { ExitCode::SUCCESS } else { self.mistake() }
    }
}

/// The contexts of an error that quote arguments.
const QUOTES: [ContextKind; 3] =
    [ContextKind::InvalidArg, ContextKind::InvalidSubcommand, ContextKind::InvalidValue];

/// The unknown argument.
fn unknown(error: &clap::Error) -> Option<&str> {
    let kind = match error.kind() {
        ErrorKind::UnknownArgument => ContextKind::InvalidArg,
        ErrorKind::InvalidSubcommand => ContextKind::InvalidSubcommand,
        _ => return None,
    };
    match error.get(kind)? {
        ContextValue::String(argument) => Some(argument),
        _ => None,
    }
}

/// What the unknown argument was probably meant to be: a configuration file, or a key that lacks its `-o`.
fn tip(error: &clap::Error, program: &str, subcommand: &str) -> Option<String> {
    let argument = unknown(error)?;
    let extension = Path::new(argument).extension().and_then(OsStr::to_str);
    if matches!(extension, Some("yaml" | "yml" | "json")) && !argument.contains('=') {
        return Some(format!("pass a configuration file with -c: {program} {subcommand} -c {argument}"));
    }
    let key = argument.split_once('=').map(|(key, _)| key).filter(|key| !key.starts_with('-'))?;
    Some(format!("set a key of the configuration with -o: {program} {subcommand} -o {key}=..."))
}

/// Removes from an error what may be a secret: values of `KEY=VALUE`, and arguments behind the name of a secret.
fn hide_secrets(error: &mut clap::Error, args: &[OsString]) {
    let args: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
    let scrubbed = scrub_words(args.iter().map(AsRef::as_ref));
    for kind in QUOTES {
        let Some(ContextValue::String(quoted)) = error.get(kind) else { continue };
        // A switch takes no value, so this one was meant for something else.
        let is_of_switch = kind == ContextKind::InvalidValue && error.kind() == ErrorKind::TooManyValues;
        let is_hidden = args.iter().zip(&scrubbed).any(|(arg, shown)| {
            let is_meant = arg == quoted || arg.split_once('=').is_some_and(|(_, value)| value == quoted);
            is_meant && *arg != *shown
        });
        let shown = match quoted.split_once('=') {
            Some((key, _)) => format!("{key}=..."),
            None if is_hidden || is_of_switch => HIDDEN.into(),
            None => quoted.clone(),
        };
        if shown != *quoted {
            error.insert(kind, ContextValue::String(shown));
            // Suggestions repeat the argument.
            error.remove(ContextKind::Suggested);
        }
    }
}

/// The version in RoadRunner's format, by which tools check whether the binary is recent enough. As in RoadRunner, no configuration is read
/// for it.
fn roadrunner_version() -> String {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let (roadrunner, own) = (Compat::of_process().version(), env!("CARGO_PKG_VERSION"));
    format!("version {roadrunner} (Causeway {own}), OS: {}, arch: {arch}", std::env::consts::OS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// What is printed of an error in this command line.
    fn refused(line: &str) -> String {
        let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let mut error = super::super::Cli::command().try_get_matches_from(&args).unwrap_err();
        let tip = tip(&error, "causeway", "check").unwrap_or_default();
        hide_secrets(&mut error, &args);
        format!("{error}{tip}")
    }

    #[test]
    fn an_error_in_the_command_line_shows_no_value() {
        for line in [
            "causeway serve centrifuge.apikey=hunter2",
            "causeway check -o centrifuge.api_key= hunter2",
            "causeway -o centrifuge.api_key= hunter2 check",
            "causeway centrifuge.apikey=hunter2",
            "causeway check --apikey=hunter2",
            "causeway check --pid=hunter2",
            "causeway check --token hunter2",
            "causeway completion a=hunter2",
        ] {
            let shown = refused(line);
            assert!(!shown.contains("hunter2"), "{line}\n{shown}");
        }
        let shown = refused("causeway check centrifuge.apikey=hunter2");
        assert!(
            shown.contains("'centrifuge.apikey=...'")
                && shown.contains("causeway check -o centrifuge.apikey=...")
        );
        assert!(refused("causeway check x.yaml").contains("causeway check -c x.yaml"));
        assert!(refused("causeway serv").contains("serve"));
    }
}
