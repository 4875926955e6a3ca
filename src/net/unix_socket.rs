//! Listening unix sockets, whose files have an owner and a mode, and may be left over from a server before.

use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, Flock, FlockArg, OFlag};
use nix::sys::stat::{FileStat, Mode};
use nix::unistd::{Gid, Uid};
use serde::de::{self, Deserialize as _, Deserializer, Unexpected};
use socket2::{Domain, SockAddr, Socket, Type};

/// Connections that may wait to be accepted; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 1024;

/// How long to wait for the lock of a folder, and the pause between two attempts. A server holds it for less than a millisecond.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
const LOCK_INTERVAL: Duration = Duration::from_millis(2);

/// The owner and the permissions of a socket file. Those who may write to it may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// The permissions, regardless of the umask.
    pub(crate) mode: u32,
    /// The owner, if not ours.
    pub(crate) uid: Option<u32>,
    /// The group, if not ours.
    pub(crate) gid: Option<u32>,
}

impl Attributes {
    /// Permissions, with our own user and group.
    pub(crate) const fn mode(mode: u32) -> Self {
        Self { mode, uid: None, gid: None }
    }
}

/// Deserialises permissions such as 0660, in octal digits.
///
/// # Errors
/// If the value is anything else.
pub(crate) fn socket_mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let text = String::deserialize(deserializer)?;
    let digits = text.strip_prefix("0o").unwrap_or(&text);
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err(de::Error::invalid_value(Unexpected::Str(&text), &"permissions such as 0660")),
    }
}

/// The file of a bound socket. Dropping this removes the file, unless another server has replaced it.
///
/// While the socket itself is open, the kernel gives its inode to no other file. So drop this first.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
    /// Whether it is to be removed.
    is_owned: AtomicBool,
}

impl SocketFile {
    /// The file of a socket that another process has bound, and removes unless this one comes to own it.
    pub(super) fn of_another(path: PathBuf, inode: (u64, u64)) -> Self {
        Self { path, inode, is_owned: AtomicBool::new(false) }
    }

    /// Its device and its inode.
    pub(super) fn inode(&self) -> (u64, u64) {
        self.inode
    }

    /// Whether this process removes it from now on.
    pub(super) fn own(&self, yes: bool) {
        self.is_owned.store(yes, SeqCst);
    }

    fn is_ours(&self) -> bool {
        inode_at(&self.path) == Some(self.inode)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_owned.load(SeqCst) && self.is_ours() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens on `path`. Replaces a socket file on which no process listens any more.
///
/// The file has its owner and its mode before the socket listens, and before that no peer can connect.
///
/// # Errors
/// `AddrInUse` if another process listens there, `AlreadyExists` if the file is not a socket, or any error of the system calls.
pub(super) fn bind(path: &Path, attributes: Attributes) -> io::Result<(OwnedFd, SocketFile)> {
    let address = SockAddr::unix(path)?;
    // Of servers that start at the same moment, each binds and listens before the next one checks the file.
    let _turn = lock_folder(path);
    clear(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // The file is created with the mode of the socket, minus the umask: at no time does it allow more than it should.
    nix::sys::stat::fchmod(&socket, mode_of(attributes.mode))?;
    socket.bind(&address)?;
    let (itself, stat) = open_path(path)?;
    let file = SocketFile { path: path.to_owned(), inode: (stat.st_dev, stat.st_ino), is_owned: true.into() };
    set_attributes(&itself, path, attributes)?;
    socket.listen(BACKLOG)?;
    // Another server that started at the same moment may have taken our file for a stale one.
    if !file.is_ours() {
        return Err(in_use());
    }
    Ok((socket.into(), file))
}

/// Locks the folder of the socket, which only other servers notice. Goes on without the lock if the file system has none, or another process
/// holds it for too long.
fn lock_folder(path: &Path) -> Option<Flock<fs::File>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut folder = fs::File::open(folder).ok()?;
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match Flock::lock(folder, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Some(lock),
            Err((unlocked, Errno::EWOULDBLOCK | Errno::EINTR)) if Instant::now() < deadline => {
                folder = unlocked;
            }
            Err(_) => return None,
        }
        std::thread::sleep(LOCK_INTERVAL);
    }
}

/// Removes a socket file on which no process listens any more.
fn clear(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the file exists and is not a socket"));
        }
        Ok(_) => {}
    }
    if is_listening(path) {
        return Err(in_use());
    }
    // Another server may bind the path between the check and the removal. So the file is renamed, and checked again.
    let aside = aside(path);
    match fs::rename(path, &aside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        renamed => renamed?,
    }
    if is_listening(&aside) {
        // Back to its path, unless there is yet another file by now.
        let _ = fs::hard_link(&aside, path);
        fs::remove_file(&aside)?;
        return Err(in_use());
    }
    fs::remove_file(&aside)
}

/// A short, random name in the same folder: the path of a socket has at most 107 bytes, and servers in containers may share a pid.
fn aside(path: &Path) -> PathBuf {
    path.with_file_name(format!(".{:x}", RandomState::new().hash_one(path) & 0xffff_ffff))
}

/// Whether a process listens there. Only a refusal proves that none does: a listener may be busy, or we may lack the permission.
pub(super) fn is_listening(path: &Path) -> bool {
    let connected = address_of(path).and_then(|(address, _file)| {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // With a full backlog, a blocking connect would wait.
        socket.set_nonblocking(true)?;
        socket.connect(&address)
    });
    !connected.is_err_and(|error| {
        matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
    })
}

/// The address of a socket file. One with a longer path than fits is reached through a descriptor, which has to live until then.
fn address_of(path: &Path) -> io::Result<(SockAddr, Option<OwnedFd>)> {
    if let Ok(address) = SockAddr::unix(path) {
        return Ok((address, None));
    }
    let (file, _) = open_path(path)?;
    Ok((SockAddr::unix(path_of(&file))?, Some(file)))
}

/// Sets the attributes through a descriptor, so that another file that takes its path is left alone.
fn set_attributes(file: &OwnedFd, path: &Path, attributes: Attributes) -> io::Result<()> {
    let explain = |call: &str, error: io::Error| {
        io::Error::new(error.kind(), format!("{call} unix socket \"{}\": {error}", path.display()))
    };
    let (uid, gid) = (attributes.uid.map(Uid::from_raw), attributes.gid.map(Gid::from_raw));
    if uid.is_some() || gid.is_some() {
        let owned = nix::unistd::fchownat(file, "", uid, gid, AtFlags::AT_EMPTY_PATH);
        owned.map_err(|error| explain("chown", error.into()))?;
    }
    let permissions = fs::Permissions::from_mode(attributes.mode);
    fs::set_permissions(path_of(file), permissions).map_err(|error| explain("chmod", error))
}

fn path_of(file: &OwnedFd) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

/// Opens the socket file itself: follows no symlink, and reads nothing.
fn open_path(path: &Path) -> io::Result<(OwnedFd, FileStat)> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = nix::fcntl::open(path, flags, Mode::empty())?;
    let stat = nix::sys::stat::fstat(&file)?;
    // Otherwise another file in its place would get our attributes.
    if stat.st_mode & nix::libc::S_IFMT == nix::libc::S_IFSOCK { Ok((file, stat)) } else { Err(in_use()) }
}

fn inode_at(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

fn mode_of(mode: u32) -> Mode {
    Mode::from_bits_truncate(mode)
}

fn in_use() -> io::Error {
    io::Error::new(io::ErrorKind::AddrInUse, "another process listens on this socket")
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    const PRIVATE: Attributes = Attributes::mode(0o600);

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_stale_file_is_replaced_and_our_own_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let (listener, file) = bind(&path, PRIVATE).unwrap();
        UnixStream::connect(&path).unwrap();
        drop(file);
        drop(listener);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_live_socket_and_a_file_of_another_kind_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.sock");
        let (listener, _file) = bind(&path, PRIVATE).unwrap();
        assert_eq!(bind(&path, PRIVATE).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        // With a full backlog it is busy, and not gone.
        let mut waiting = Vec::new();
        while let Ok(socket) = connect_now(&path) {
            waiting.push(socket);
        }
        assert_eq!(bind(&path, PRIVATE).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        let plain = folder.path().join("plain");
        fs::write(&plain, "x").unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        for other in [plain, link] {
            assert_eq!(bind(&other, PRIVATE).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
            assert!(fs::symlink_metadata(other).is_ok());
        }
    }

    fn connect_now(path: &Path) -> io::Result<Socket> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)?;
        Ok(socket)
    }

    #[test]
    fn a_stale_file_is_replaced_and_a_live_one_kept_even_if_their_paths_can_be_no_longer() {
        let folder = tempfile::tempdir().unwrap();
        let room = 107 - folder.path().as_os_str().len() - "//s".len();
        let folder = folder.path().join("x".repeat(room));
        fs::create_dir(&folder).unwrap();
        let path = folder.join("s");
        let live = UnixListener::bind(&path).unwrap();
        assert_eq!(path.as_os_str().len(), 107);
        assert!(is_listening(&path));
        // As it is done with a file that seems stale, in a race with another server.
        let longer = folder.join("longer");
        fs::rename(&path, &longer).unwrap();
        assert!(is_listening(&longer));
        drop(live);
        assert!(!is_listening(&longer));
        fs::rename(&longer, &path).unwrap();
        let (_listener, _file) = bind(&path, PRIVATE).unwrap();
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn the_file_of_a_successor_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("proxy.sock");
        let (_listener, file) = bind(&path, PRIVATE).unwrap();
        fs::remove_file(&path).unwrap();
        let (_successor, successors_file) = bind(&path, PRIVATE).unwrap();
        drop(file);
        UnixStream::connect(&path).unwrap();
        drop(successors_file);
        assert!(!path.exists());
    }

    #[test]
    fn of_two_servers_that_start_at_the_same_moment_one_listens() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rpc.sock");
        for _ in 0..100 {
            drop(UnixListener::bind(&path));
            let bound: Vec<_> = std::thread::scope(|scope| {
                let one = || bind(&path, PRIVATE);
                let both = [scope.spawn(one), scope.spawn(one)];
                both.map(|one| one.join().unwrap()).into_iter().filter_map(Result::ok).collect()
            });
            assert!(bound.len() <= 1);
            if bound.len() == 1 {
                UnixStream::connect(&path).unwrap();
            }
            // The file first.
            for (listener, file) in bound {
                drop(file);
                drop(listener);
            }
            let _ = fs::remove_file(&path);
        }
    }

    #[test]
    fn the_mode_is_independent_of_the_umask_and_never_wider() {
        let folder = tempfile::tempdir().unwrap();
        for wanted in [0o600, 0o660, 0o666, 0o777] {
            let path = folder.path().join(format!("{wanted:o}.sock"));
            let is_binding = AtomicBool::new(true);
            let seen = std::thread::scope(|scope| {
                let watcher = scope.spawn(|| {
                    let mut seen = 0;
                    while is_binding.load(SeqCst) {
                        seen |= fs::metadata(&path).map_or(0, |found| found.permissions().mode() & 0o777);
                    }
                    seen
                });
                let bound = bind(&path, Attributes::mode(wanted)).unwrap();
                assert_eq!(mode(&path), wanted);
                is_binding.store(false, SeqCst);
                drop(bound);
                watcher.join().unwrap()
            });
            assert_eq!(seen & !wanted, 0, "{seen:o}");
        }
    }

    #[test]
    fn the_owner_is_set_if_permitted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.sock");
        let attributes = Attributes { mode: 0o600, uid: Some(65534), gid: Some(65533) };
        match bind(&path, attributes) {
            Ok((_listener, _file)) => {
                let metadata = fs::metadata(&path).unwrap();
                assert_eq!((metadata.uid(), metadata.gid(), mode(&path)), (65534, 65533, 0o600));
            }
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::PermissionDenied),
        }
        assert!(!path.exists(), "nothing is left behind");
    }
}
