//! `causeway man`: the manual pages.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap_mangen::Man;

/// Where to write them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  causeway man /usr/local/share/man/man1
  causeway man | man -l -")]
pub(super) struct Args {
    /// The directory to write the pages of all commands to; without it, the program's own page is printed
    dir: Option<PathBuf>,
}

pub(super) fn run(args: &Args, command: clap::Command) -> anyhow::Result<ExitCode> {
    if let Some(dir) = &args.dir {
        let all = || std::fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(command, dir));
        all().with_context(|| format!("cannot write to {}", dir.display()))?;
    } else {
        let mut page = Vec::new();
        Man::new(command).render(&mut page)?;
        std::io::stdout().write_all(&page)?;
    }
    Ok(ExitCode::SUCCESS)
}
