//! `causeway init`: writes a project that runs, or what an existing one needs.
//!
//! The files are those of `templates/`, with a few words replaced (see `kind`). All of them are written, or none (see `files`).

mod files;
mod kind;

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::ValueEnum as _;

use super::say::say;
use super::{Global, Mistake};
use crate::config;
use crate::os;
use files::File;
use kind::Kind;

/// What to write, and where.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  causeway init python chat    a new project in the directory chat
  causeway init laravel        what an application needs, in its directory

The README that it writes has the commands to install, test and start the project. Files that exist are never overwritten.

Exit codes: 0 all files are written; 1 none is, for example because one exists; 2 a mistake in the arguments.")]
pub(super) struct Args {
    /// What the application is written with; on a terminal, it is asked for if it is missing
    #[arg(value_enum)]
    kind: Option<Kind>,
    /// The directory, which is created if it does not exist
    #[arg(default_value = ".")]
    dir: PathBuf,
}

pub(super) fn run(global: &Global, args: &Args) -> anyhow::Result<ExitCode> {
    let kind = match args.kind {
        Some(kind) => kind,
        None => ask()?,
    };
    let files = contents(kind);
    files::write(&args.dir, &files)?;
    if global.silent {
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    for file in &files {
        let _ = writeln!(text, "{}", args.dir.join(file.path).display());
    }
    let readme = args.dir.join(kind.readme());
    let _ = writeln!(text, "{} says how to install, test and start it", readme.display());
    io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// The files of a project, with secrets of its own.
fn contents(kind: Kind) -> Vec<File> {
    let secret = || os::random::text() + &os::random::text();
    let secrets = [("{{api_key}}", secret()), ("{{token_secret}}", secret()), ("{{secret_key}}", secret())];
    let mut files = kind.files();
    for file in &mut files {
        for (place, secret) in &secrets {
            if file.text.contains(place) {
                file.text = file.text.replace(place, secret);
            }
        }
    }
    files.push(File::new("causeway.schema.json", config::schema()));
    files
}

/// Asks for the kind on a terminal.
///
/// # Errors
/// Without a terminal.
fn ask() -> anyhow::Result<Kind> {
    let names = Kind::value_variants().iter().filter_map(Kind::to_possible_value);
    let names: Vec<String> = names.map(|value| value.get_name().to_owned()).collect();
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        let text = format!("expected what the application is written with: {}", names.join(", "));
        return Err(Mistake(text).into());
    }
    loop {
        say(&format!("What is the application written with ({})? ", names.join(", ")));
        let mut answer = String::new();
        anyhow::ensure!(
            io::stdin().read_line(&mut answer).context("cannot read the answer")? > 0,
            "no answer"
        );
        if let Ok(kind) = Kind::from_str(answer.trim(), true) {
            return Ok(kind);
        }
    }
}
