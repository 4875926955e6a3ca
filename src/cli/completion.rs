//! `causeway completion`: prints the completion script of a shell.

use std::io::Write as _;
use std::process::ExitCode;

use clap_complete::Shell;

/// The shell to print a script for.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  causeway completion bash > /etc/bash_completion.d/causeway
  causeway completion zsh > \"${fpath[1]}/_causeway\"")]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: &Args, mut command: clap::Command) -> anyhow::Result<ExitCode> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}
