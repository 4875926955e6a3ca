//! call
#[derive(Debug, clap::Args)]
pub(super) struct Args {}
pub(super) fn run(_: &super::Global, _: Args) -> anyhow::Result<std::process::ExitCode> { anyhow::bail!("not yet") }
