//! `causeway schema`: prints the JSON schema of the configuration.

use std::io::Write as _;
use std::process::ExitCode;

use crate::config;

/// The schema has no options.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  causeway schema > causeway.schema.json

The first line of a file names its schema to editors that have a YAML language server:
  # yaml-language-server: $schema=causeway.schema.json")]
pub(super) struct Args {}

pub(super) fn run() -> anyhow::Result<ExitCode> {
    std::io::stdout().write_all(config::schema().as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
