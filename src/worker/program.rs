//! The file that a command would run.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Where `execvp` looks when there is no `PATH`.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Finds `program` as `execvp` would, with the last `PATH` among `env` and relative paths from `work_dir`.
///
/// # Errors
/// Says where there is none, without the program's name, in which there may be a secret.
pub(crate) fn find<'a>(
    program: &str,
    work_dir: &Path,
    env: impl DoubleEndedIterator<Item = (&'a OsStr, &'a OsStr)>,
) -> Result<PathBuf, String> {
    if program.contains('/') {
        let file = work_dir.join(program);
        return if is_executable(&file) { Ok(file) } else { Err("is not an executable file".into()) };
    }
    let path = env.rev().find(|(name, _)| *name == "PATH").map(|(_, value)| value);
    let path = path.map_or_else(|| OsString::from(DEFAULT_PATH), OsStr::to_owned);
    let found = std::env::split_paths(&path)
        .map(|folder| work_dir.join(folder).join(program))
        .find(|file| is_executable(file));
    found.ok_or_else(|| format!("is not found in PATH ({})", path.display()))
}

fn is_executable(file: &Path) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
