//! `.pid`, which `serve -p` writes: the server's process id, for `stop` and for supervisors.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

/// Its permissions, less the umask: readable by all.
const MODE: u32 = 0o644;

/// The file of this process. Dropping it removes the file, unless another process has replaced it.
#[derive(Debug)]
pub(super) struct PidFile {
    path: PathBuf,
    /// Kept open so that the kernel does not reuse its inode.
    file: File,
}

impl PidFile {
    /// Writes the file atomically: a reader always finds a complete number, and a symlink is replaced, not followed.
    ///
    /// # Errors
    /// Errors of the file system.
    pub(super) fn write(path: PathBuf) -> io::Result<Self> {
        let new = path.with_file_name(format!(".pid.{}", std::process::id()));
        // Left by an earlier process with this pid, or planted by another user.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&new)?;
        let written = write!(file, "{}", std::process::id()).and_then(|()| fs::rename(&new, &path));
        if let Err(error) = written {
            let _ = fs::remove_file(&new);
            return Err(error);
        }
        Ok(Self { path, file })
    }

    fn is_ours(&self) -> io::Result<bool> {
        let (ours, found) = (self.file.metadata()?, fs::symlink_metadata(&self.path)?);
        Ok((ours.dev(), ours.ino()) == (found.dev(), found.ino()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if self.is_ours().unwrap_or(false) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn it_holds_the_pid_and_is_removed_on_drop() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".pid"), "1 is left over").unwrap();
        let written = PidFile::write(folder.path().join(".pid")).unwrap();
        assert_eq!(fs::read_to_string(&written.path).unwrap(), std::process::id().to_string());
        assert_eq!(names(folder.path()), [".pid"]);
        drop(written);
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_successor_s_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".pid");
        let (old, new) = (PidFile::write(path.clone()).unwrap(), PidFile::write(path.clone()).unwrap());
        drop(old);
        assert!(path.exists());
        // The same pid, but another file.
        fs::remove_file(&path).unwrap();
        fs::write(&path, std::process::id().to_string()).unwrap();
        drop(new);
        assert!(path.exists());
    }

    #[test]
    fn a_symlink_is_replaced_and_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, target) = (folder.path().join(".pid"), folder.path().join("precious"));
        fs::write(&target, "kept").unwrap();
        for name in [".pid".to_owned(), format!(".pid.{}", std::process::id())] {
            std::os::unix::fs::symlink(&target, folder.path().join(name)).unwrap();
        }
        let written = PidFile::write(path.clone()).unwrap();
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        drop(written);
        assert_eq!(names(folder.path()), ["precious"]);
        assert_eq!(fs::read_to_string(target).unwrap(), "kept");
    }

    #[test]
    fn nothing_is_left_behind_when_it_cannot_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".pid");
        fs::create_dir(&path).unwrap();
        PidFile::write(path).unwrap_err();
        assert_eq!(names(folder.path()), [".pid"]);
    }
}
