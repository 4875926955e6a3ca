//! Listening on a unix socket whose file may be left over from an earlier life.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// A bound socket file, removed when it is dropped.
#[derive(Debug)]
pub(crate) struct SocketFile(PathBuf);

impl SocketFile {
    /// Sets the permissions of the file: who may connect.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn set_mode(&self, mode: u32) -> io::Result<()> {
        std::fs::set_permissions(&self.0, std::fs::Permissions::from_mode(mode))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Binds `path`. A socket file on which nobody listens any more is replaced.
///
/// # Errors
/// `AddrInUse` when somebody listens there, `AlreadyExists` when the file is no socket, else what the kernel says.
pub(crate) async fn bind(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    if let Ok(metadata) = std::fs::symlink_metadata(path) {
        if !metadata.file_type().is_socket() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the file exists and is no socket"));
        }
        if UnixStream::connect(path).await.is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens on this socket"));
        }
        std::fs::remove_file(path)?;
    }
    Ok((UnixListener::bind(path)?, SocketFile(path.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stale_file_is_replaced_and_the_own_one_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let bound = bind(&path).await.unwrap();
        UnixStream::connect(&path).await.unwrap();
        drop(bound);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_live_socket_and_a_file_of_another_kind_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.sock");
        let _bound = bind(&path).await.unwrap();
        assert_eq!(bind(&path).await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let plain = folder.path().join("plain");
        std::fs::write(&plain, "x").unwrap();
        assert_eq!(bind(&plain).await.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert!(plain.exists());
    }
}
