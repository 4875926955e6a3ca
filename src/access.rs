//! Checks beforehand whether files can be created and written, without leaving anything behind.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag};
use nix::sys::stat::Mode;
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{AccessFlags, faccessat};

/// Symlinks that are followed to a file that does not exist yet.
const MAX_LINKS: usize = 8;

/// Checks whether a file can be opened for appending; it may have to be created.
///
/// # Errors
/// Why it cannot.
pub(crate) fn can_append(path: &Path) -> Result<(), String> {
    append(path, MAX_LINKS)
}

fn append(path: &Path, links: usize) -> Result<(), String> {
    match path.metadata() {
        Ok(found) if found.is_dir() => Err(format!("{} is a directory", path.display())),
        Ok(_) if !allows(path, AccessFlags::W_OK) => Err(format!("{} is not writable", path.display())),
        Ok(found) if found.file_type().is_fifo() && is_unread(path) => {
            Err(format!("{} is a fifo that no program reads", path.display()))
        }
        Ok(_) => Ok(()),
        Err(error) if is_absent(&error) => match path.read_link() {
            Ok(target) if links > 0 => append(&folder_of(path).join(target), links - 1),
            _ => can_create_in(folder_of(path)),
        },
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// The same, if missing folders are created too.
///
/// # Errors
/// Why it cannot.
pub(crate) fn can_append_in_new_folders(path: &Path) -> Result<(), String> {
    let folder = folder_of(path);
    match folder.ancestors().find(|folder| folder.symlink_metadata().is_ok()) {
        Some(there) if there != folder => can_create_in(there),
        _ => can_append(path),
    }
}

/// The folder of a file.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Checks whether a file can be created in this folder.
///
/// # Errors
/// Why it cannot.
pub(crate) fn can_create_in(folder: &Path) -> Result<(), String> {
    match folder.metadata() {
        Ok(found) if !found.is_dir() => Err(format!("{} is not a directory", folder.display())),
        Ok(_) if !allows(folder, AccessFlags::W_OK | AccessFlags::X_OK) => {
            Err(format!("the directory {} is not writable", folder.display()))
        }
        Ok(_) => Ok(()),
        Err(error) if is_absent(&error) => Err(format!("the directory {} does not exist", folder.display())),
        Err(error) => Err(format!("the directory {}: {error}", folder.display())),
    }
}

/// Permissions of every user of the machine, in the mode of a file.
pub(crate) const READ: u32 = 0o004;
pub(crate) const WRITE: u32 = 0o002;

/// The bit of a directory in which only the owner of a file may replace it, as in /tmp.
const STICKY: u32 = 0o1000;

/// Whether every user of the machine may replace files in this directory. No user may where it is mounted read-only, as Kubernetes mounts
/// configuration.
pub(crate) fn is_shared(folder: &Path) -> bool {
    let is_read_only = || statvfs(folder).is_ok_and(|found| found.flags().contains(FsFlags::ST_RDONLY));
    open_to_others(folder, WRITE).is_some_and(|mode| mode & STICKY == 0) && !is_read_only()
}

/// The mode of a file or directory if every user has one of these permissions.
pub(crate) fn open_to_others(path: &Path, permissions: u32) -> Option<u32> {
    let mode = path.metadata().ok()?.mode() & 0o7777;
    (mode & permissions != 0).then_some(mode)
}

/// Whether opening this fifo would wait for a reader.
fn is_unread(path: &Path) -> bool {
    let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    matches!(nix::fcntl::open(path, flags, Mode::empty()), Err(Errno::ENXIO))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Whether this process has these permissions, by its effective user and groups.
fn allows(path: &Path, what: AccessFlags) -> bool {
    faccessat(AT_FDCWD, path, what, AtFlags::AT_EACCESS).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifo_needs_a_reader() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
        assert!(can_append(&path).unwrap_err().ends_with("is a fifo that no program reads"));
        let _reader = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
        assert_eq!(can_append(&path), Ok(()));
    }

    #[test]
    fn a_file_can_be_created_only_in_an_existing_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        can_append(&path.join("new.log")).unwrap();
        assert!(can_append(path).unwrap_err().ends_with("is a directory"));
        assert!(can_append(&path.join("no/new.log")).unwrap_err().ends_with("/no does not exist"));
        std::fs::write(path.join("file"), "").unwrap();
        can_append(&path.join("file")).unwrap();
        assert!(can_append(&path.join("file/new.log")).is_err());
        std::os::unix::fs::symlink("no/target", path.join("link")).unwrap();
        assert!(can_append(&path.join("link")).unwrap_err().ends_with("/no does not exist"));
        std::os::unix::fs::symlink("loop", path.join("loop")).unwrap();
        assert!(can_append(&path.join("loop")).is_err());
        can_append_in_new_folders(&path.join("a/b/c.log")).unwrap();
        assert!(can_append_in_new_folders(&path.join("file/b/c.log")).is_err());
        assert!(!path.join("a").exists() && !path.join("new.log").exists());
    }
}
