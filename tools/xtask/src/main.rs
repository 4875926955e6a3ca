//! Tasks of the repository: `cargo xtask proto [--check]` and `cargo xtask docs [--check]`.
//!
//! Both generate committed files: `proto` the code from `proto/`, `docs` the pages of the reference from `config/reference.rr.yaml` and
//! `causeway --help`. With `--check` nothing is written, and stale files are an error.

mod docs;
mod proto;
mod tables;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let run = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["proto"] => proto::run(false),
        ["proto", "--check"] => proto::run(true),
        ["docs"] => docs::run(false),
        ["docs", "--check"] => docs::run(true),
        _ => Err(anyhow::anyhow!("usage: cargo xtask proto|docs [--check]")),
    };
    if let Err(error) = run {
        eprintln!("xtask: {error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// The content of files, by path in the repository.
type Output = BTreeMap<PathBuf, Vec<u8>>;

/// Writes `output` and removes `orphans`. With `check`, fails if there is anything to write or to remove. `command` is the task.
fn deliver(root: &Path, output: &Output, orphans: &[PathBuf], check: bool, command: &str) -> Result<()> {
    let stale: Vec<_> = output
        .iter()
        .filter(|(path, bytes)| fs::read(root.join(path)).ok().as_ref() != Some(*bytes))
        .collect();
    if check {
        for path in stale.iter().map(|(path, _)| *path).chain(orphans) {
            eprintln!("stale: {}", path.display());
        }
        ensure!(
            stale.is_empty() && orphans.is_empty(),
            "generated files are stale: run `cargo xtask {command}`"
        );
        return Ok(());
    }
    for (path, bytes) in stale {
        let path = root.join(path);
        fs::create_dir_all(path.parent().context("a file has no folder")?)?;
        fs::write(path, bytes)?;
    }
    for path in orphans {
        fs::remove_file(root.join(path))?;
    }
    Ok(())
}

/// The folder of the repository.
fn root() -> Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("xtask is not in the repository")
}
