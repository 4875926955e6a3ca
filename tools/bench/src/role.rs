//! The contenders that this program runs as when it is called by another name: those written in Rust.

use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::floor;

/// Causeway itself.
pub(crate) const CAUSEWAY: &str = "causeway";
/// The bare server.
pub(crate) const ECHO: &str = "echo";

/// Runs as the contender that the program is called by; `None` if it is called by its own name.
pub(crate) fn run() -> Option<ExitCode> {
    let mut arguments = std::env::args_os();
    let name = PathBuf::from(arguments.next()?);
    let address = arguments.next().and_then(|address| address.into_string().ok()).unwrap_or_default();
    match name.file_name()?.to_str()? {
        CAUSEWAY => Some(causeway::cli::main()),
        ECHO => Some(report(floor::serve(&address))),
        _ => None,
    }
}

/// A link to this program under the name of a contender.
///
/// # Errors
/// If it cannot be created in `folder`.
pub(crate) fn program(folder: &Path, name: &str) -> io::Result<PathBuf> {
    let path = folder.join(name);
    symlink(std::env::current_exe()?, &path)?;
    Ok(path)
}

fn report(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
