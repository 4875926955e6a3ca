//! How this server was started, to start another one in the same way.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::VARIABLE;
use crate::os::successor::Launch;

/// The program of this server, its arguments, and where it was started.
#[derive(Debug, Clone)]
pub(crate) struct Invocation {
    /// As it was called, symlinks included: whatever file is there by the time of an upgrade is started.
    program: PathBuf,
    arguments: Vec<OsString>,
    directory: PathBuf,
}

impl Invocation {
    /// The invocation of this process. Call it before it enters another directory.
    ///
    /// # Errors
    /// If there is no current directory, or the program cannot be told.
    pub(crate) fn of_this_process() -> io::Result<Self> {
        let arguments: Vec<OsString> = std::env::args_os().collect();
        let directory = directory(std::env::var_os("PWD").map(PathBuf::from))?;
        let called = arguments.first().map(PathBuf::from).unwrap_or_default();
        let found = find(&called, &directory, std::env::var_os("PATH").unwrap_or_default().as_ref());
        let program = match found {
            Some(path) => path,
            None => std::env::current_exe()?,
        };
        Ok(Self { program, arguments, directory })
    }

    /// What has to be started.
    pub(super) fn launch(&self) -> Launch {
        let Self { program, arguments, directory } = self.clone();
        // The manager's other variables are about this process, or about sockets that come in another way.
        let own = ["WATCHDOG_PID", "LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES"];
        let mut variables: Vec<_> = own.map(|name| (name, None)).to_vec();
        variables.push((VARIABLE, Some("1")));
        Launch { program, arguments, directory, variables }
    }
}

/// The current directory as a shell knows it: a symlink on the way to it may lead elsewhere by the time of an upgrade.
fn directory(logical: Option<PathBuf>) -> io::Result<PathBuf> {
    match logical.filter(|path| path.is_absolute() && is_same_file(path, Path::new("."))) {
        Some(path) => Ok(path),
        None => std::env::current_dir(),
    }
}

/// The path under which this program was called, if it is still this program.
fn find(called: &Path, directory: &Path, path: &std::ffi::OsStr) -> Option<PathBuf> {
    let candidates: Vec<PathBuf> = if called.components().count() > 1 {
        vec![directory.join(called)]
    } else {
        std::env::split_paths(path).map(|folder| directory.join(folder).join(called)).collect()
    };
    candidates.into_iter().find(|path| is_same_file(path, Path::new("/proc/self/exe")))
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    let identity = |path| std::fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
    identity(one).is_some_and(|one| Some(one) == identity(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_as_it_was_called() {
        let exe = std::env::current_exe().unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(&exe, folder.path().join("causeway")).unwrap();
        let link = folder.path().join("causeway");
        assert_eq!(find(&exe, Path::new("/"), "".as_ref()), Some(exe));
        assert_eq!(
            find("./causeway".as_ref(), folder.path(), "".as_ref()),
            Some(folder.path().join("./causeway"))
        );
        let path = std::env::join_paths([Path::new("/nonexistent"), folder.path()]).unwrap();
        assert_eq!(find("causeway".as_ref(), Path::new("/"), &path), Some(link));
        assert_eq!(find("sh".as_ref(), Path::new("/"), "/bin".as_ref()), None, "it is another program");
    }

    #[test]
    fn the_directory_keeps_its_symlinks() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("current");
        std::os::unix::fs::symlink(std::env::current_dir().unwrap(), &link).unwrap();
        assert_eq!(directory(Some(link.clone())).unwrap(), link);
        let real = std::env::current_dir().unwrap();
        assert_eq!(directory(Some("/".into())).unwrap(), real);
        assert_eq!(directory(None).unwrap(), real);
    }
}
