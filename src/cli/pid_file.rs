//! `.pid`, which `serve -p` writes: the number of the server's process, for `stop` and for supervisors.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

/// Its permissions, less the umask: anybody may read it.
const MODE: u32 = 0o644;

/// The file of this process, removed when this is dropped, unless it is another's by then.
#[derive(Debug)]
pub(super) struct PidFile {
    path: PathBuf,
    /// Open, so that the kernel gives its inode to no other file.
    file: File,
}

impl PidFile {
    /// Writes the file as a whole, in the place of whatever stood there: who reads it finds a number, and a symlink is replaced and not
    /// followed.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn write(path: PathBuf) -> io::Result<Self> {
        let new = path.with_file_name(format!(".pid.{}", std::process::id()));
        // Left behind by a process of the same number, or laid there by somebody else.
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
        let (ours, there) = (self.file.metadata()?, fs::symlink_metadata(&self.path)?);
        Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino()))
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
    fn it_holds_the_number_and_is_removed_at_the_end() {
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
        // The same number, but written by somebody else.
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
