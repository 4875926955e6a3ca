//! The parts that this program plays when it is called by another name: the contenders that are written in Rust.

use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::floor;

/// Causeway itself.
pub(crate) const CAUSEWAY: &str = "causeway";
/// The bare echo.
pub(crate) const ECHO: &str = "echo";

/// Plays the part that the program's name asks for; `None` when it is called by its own.
pub(crate) fn play() -> Option<ExitCode> {
    let mut arguments = std::env::args_os();
    let name = PathBuf::from(arguments.next()?);
    let address = arguments.next().and_then(|address| address.into_string().ok()).unwrap_or_default();
    match name.file_name()?.to_str()? {
        CAUSEWAY => Some(causeway::cli::main()),
        ECHO => Some(report(floor::serve(&address))),
        _ => None,
    }
}

/// This program under the name of a part.
///
/// # Errors
/// When the name cannot be made in `folder`.
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
