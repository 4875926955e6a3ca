//! Checks beforehand whether an address can be listened on, without leaving anything behind.
//!
//! This covers what does not change by itself: addresses of this machine, folders, permissions. Whether an address is in use may change at
//! any moment, and is not checked.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use socket2::{Domain, Socket, Type};

use super::Address;
use super::address::MAX_SOCKET_PATH;
use super::unix_socket::is_listening;
use crate::access::{WRITE, can_create_in, folder_of, is_shared};

/// Checks whether `address` can be listened on, unless it is in use. Relative paths start in `work_dir`.
///
/// # Errors
/// Why it cannot.
pub(crate) fn can_listen(address: &Address, work_dir: &Path) -> Result<(), String> {
    match address {
        Address::Tcp(host_and_port) => can_bind(&Address::bindable(host_and_port)),
        Address::Unix(path) => can_bind_file(path, work_dir),
    }
    .map_err(|reason| format!("cannot listen on {address}: {reason}"))
}

/// Whether other machines can connect to a listener at this address. False for an unknown host, which [`can_listen`] reports.
pub(crate) fn is_exposed(address: &Address) -> bool {
    let Address::Tcp(host_and_port) = address else { return false };
    let found = Address::bindable(host_and_port).to_socket_addrs();
    found.is_ok_and(|mut found| found.any(|address| !address.ip().is_loopback()))
}

/// What other users of this machine can do with a unix socket of this mode at `address`, if anything.
pub(crate) fn risk_of_file(address: &Address, mode: u32, work_dir: &Path) -> Option<&'static str> {
    let Address::Unix(path) = address else { return None };
    if mode & WRITE != 0 {
        Some("every user of this machine may connect")
    } else if is_shared(folder_of(&work_dir.join(path))) {
        Some(
            "every user of this machine may put another socket in its place, since all may write to its directory",
        )
    } else {
        None
    }
}

fn can_bind(host_and_port: &str) -> Result<(), String> {
    let mut last = String::from("the host has no address");
    for address in host_and_port.to_socket_addrs().map_err(|error| error.to_string())? {
        match bind(address) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                last = format!("{} is not an address of this machine", address.ip());
            }
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

/// Binds a socket and closes it at once. It never listens, so servers that bind with the usual option are not disturbed.
fn bind(address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())
}

fn can_bind_file(path: &Path, work_dir: &Path) -> Result<(), String> {
    let length = path.as_os_str().as_bytes().len();
    if length > MAX_SOCKET_PATH {
        return Err(format!("the path has {length} bytes, and that of a socket may have {MAX_SOCKET_PATH}"));
    }
    let path = work_dir.join(path);
    match path.symlink_metadata() {
        Ok(found) if !found.file_type().is_socket() => Err("the file exists and is not a socket".into()),
        // It is in use, perhaps by the service manager, who will pass it on.
        Ok(_) if is_listening(&path) => Ok(()),
        _ => can_create_in(folder_of(&path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_use_passes_and_one_of_another_machine_does_not() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = |text: &str| can_listen(&text.parse().unwrap(), Path::new("/"));
        listen(&listener.local_addr().unwrap().to_string()).unwrap();
        listen("tcp://127.0.0.1:0").unwrap();
        assert_eq!(
            listen("tcp://192.0.2.1:7000").unwrap_err(),
            "cannot listen on tcp://192.0.2.1:7000: 192.0.2.1 is not an address of this machine"
        );
    }

    #[test]
    fn a_socket_is_safe_by_its_mode_and_in_a_directory_of_its_own() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let allow = |mode| {
            std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        };
        let risk = |mode| risk_of_file(&Address::Unix("a.sock".into()), mode, folder.path());
        assert_eq!(risk(0o660), None);
        assert!(risk(0o666).unwrap().ends_with("may connect"));
        allow(0o1777);
        assert_eq!(risk(0o660), None);
        allow(0o777);
        assert!(risk(0o660).unwrap().contains("in its place"));
        assert_eq!(risk_of_file(&"127.0.0.1:1".parse().unwrap(), 0o666, folder.path()), None);
    }

    #[test]
    fn a_socket_needs_a_folder_and_a_short_path() {
        let folder = tempfile::tempdir().unwrap();
        let listen = |path: &str| can_listen(&Address::Unix(path.into()), folder.path());
        listen("a.sock").unwrap();
        assert!(listen("no/a.sock").unwrap_err().ends_with("/no does not exist"));
        listen(&"x".repeat(107)).unwrap();
        assert!(listen(&"x".repeat(108)).unwrap_err().contains("108 bytes"));
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert!(listen("file").unwrap_err().ends_with("is not a socket"));
        drop(std::os::unix::net::UnixListener::bind(folder.path().join("old.sock")).unwrap());
        listen("old.sock").unwrap();
    }
}
