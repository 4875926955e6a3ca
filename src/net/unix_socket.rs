//! Unix sockets: files that have an owner, a mode, and an earlier life.

use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, Flock, FlockArg, OFlag};
use nix::sys::stat::{FileStat, Mode};
use nix::unistd::{Gid, Uid};
use serde::de::{self, Deserialize as _, Deserializer, Unexpected};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener;

/// Connections that may wait to be accepted; the kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 1024;

/// How long the lock of a folder is waited for, and how long between two looks. Who has it needs it for less than a millisecond.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
const LOCK_PAUSE: Duration = Duration::from_millis(2);

/// Whose a socket file is, and who may connect to it: whoever may write to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// The permissions, whatever the umask is.
    pub(crate) mode: u32,
    /// The owner, if it is not to be ours.
    pub(crate) uid: Option<u32>,
    /// The group, if it is not to be ours.
    pub(crate) gid: Option<u32>,
}

impl Attributes {
    /// A socket of our own user and group.
    pub(crate) const fn mode(mode: u32) -> Self {
        Self { mode, uid: None, gid: None }
    }
}

/// Reads permissions such as 0660, in octal digits.
///
/// # Errors
/// When the value is something else.
pub(crate) fn socket_mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let text = String::deserialize(deserializer)?;
    let digits = text.strip_prefix("0o").unwrap_or(&text);
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err(de::Error::invalid_value(Unexpected::Str(&text), &"permissions such as 0660")),
    }
}

/// A bound socket file, removed when it is dropped, unless it is another's by then.
///
/// As long as the socket itself is open, the kernel gives its inode to no other file. So drop this first.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
}

impl SocketFile {
    fn is_ours(&self) -> bool {
        inode_at(&self.path) == Some(self.inode)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_ours() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens on `path`. A socket file on which nobody listens any more is replaced.
///
/// The file has its owner and its mode before the socket listens, and nobody can connect to it earlier.
///
/// # Errors
/// `AddrInUse` when somebody listens there, `AlreadyExists` when the file is no socket, else what the kernel says.
pub(super) fn bind(path: &Path, attributes: Attributes) -> io::Result<(UnixListener, SocketFile)> {
    let address = SockAddr::unix(path)?;
    // Of servers that start at the same moment one listens before another looks.
    let _turn = lock_folder(path);
    clear(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // The file is made with the mode of the socket, less the umask: at no time it allows more than it should.
    nix::sys::stat::fchmod(&socket, mode_of(attributes.mode))?;
    socket.bind(&address)?;
    let (itself, stat) = open_path(path)?;
    let file = SocketFile { path: path.to_owned(), inode: (stat.st_dev, stat.st_ino) };
    set_attributes(&itself, attributes)?;
    socket.listen(BACKLOG)?;
    // Another server that started at the same moment may have taken our file for one that was left behind.
    if !file.is_ours() {
        return Err(in_use());
    }
    Ok((UnixListener::from_std(socket.into())?, file))
}

/// The lock of the folder in which the socket is to be. Nobody else is hindered by it. Without it, as on a file system that has none, or
/// when somebody holds it for too long, the start goes on.
fn lock_folder(path: &Path) -> Option<Flock<fs::File>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut folder = fs::File::open(folder).ok()?;
    let until = Instant::now() + LOCK_PATIENCE;
    loop {
        match Flock::lock(folder, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Some(lock),
            Err((unlocked, Errno::EWOULDBLOCK | Errno::EINTR)) if Instant::now() < until => folder = unlocked,
            Err(_) => return None,
        }
        std::thread::sleep(LOCK_PAUSE);
    }
}

/// Removes a socket file on which nobody listens any more.
fn clear(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the file exists and is no socket"));
        }
        Ok(_) => {}
    }
    if is_listening(path) {
        return Err(in_use());
    }
    // Another server may bind the path between the look and the removal. So the file is set aside, and looked at once more.
    let aside = aside(path);
    match fs::rename(path, &aside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        renamed => renamed?,
    }
    if is_listening(&aside) {
        // Back, unless yet another one stands there by now.
        let _ = fs::hard_link(&aside, path);
        fs::remove_file(&aside)?;
        return Err(in_use());
    }
    fs::remove_file(&aside)
}

/// A name of our own beside `path`, no longer than it has to be: the path of a socket has at most 107 bytes. It is random, since servers in
/// containers may have the same process id.
fn aside(path: &Path) -> PathBuf {
    path.with_file_name(format!(".{:x}", RandomState::new().hash_one(path) & 0xffff_ffff))
}

/// Whether somebody listens there. Only a refusal says that nobody does: a listener may be busy, or may not be ours to call.
fn is_listening(path: &Path) -> bool {
    let connected = SockAddr::unix(path).and_then(|address| {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // A listener whose backlog is full would have us wait.
        socket.set_nonblocking(true)?;
        socket.connect(&address)
    });
    !connected.is_err_and(|error| {
        matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
    })
}

/// Through a descriptor of the file, so that whatever else may come to stand at its path is left alone.
fn set_attributes(file: &OwnedFd, attributes: Attributes) -> io::Result<()> {
    let (uid, gid) = (attributes.uid.map(Uid::from_raw), attributes.gid.map(Gid::from_raw));
    if uid.is_some() || gid.is_some() {
        nix::unistd::fchownat(file, "", uid, gid, AtFlags::AT_EMPTY_PATH)?;
    }
    let itself = format!("/proc/self/fd/{}", file.as_raw_fd());
    fs::set_permissions(itself, fs::Permissions::from_mode(attributes.mode))
}

/// Opens the socket file, as what it is: no symlink is followed, and nothing is read.
fn open_path(path: &Path) -> io::Result<(OwnedFd, FileStat)> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = nix::fcntl::open(path, flags, Mode::empty())?;
    let stat = nix::sys::stat::fstat(&file)?;
    // Another's file in its place would get our attributes.
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
    use std::os::unix::net::{UnixListener as Foreign, UnixStream};

    use std::sync::atomic::Ordering::SeqCst;

    use super::*;

    const PRIVATE: Attributes = Attributes::mode(0o600);

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn a_stale_file_is_replaced_and_the_own_one_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.sock");
        drop(Foreign::bind(&path).unwrap());
        assert!(path.exists());
        let (listener, file) = bind(&path, PRIVATE).unwrap();
        UnixStream::connect(&path).unwrap();
        drop(file);
        drop(listener);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_live_socket_and_a_file_of_another_kind_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.sock");
        let (listener, _file) = bind(&path, PRIVATE).unwrap();
        assert_eq!(bind(&path, PRIVATE).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        // As many as wait for it to accept them: it is busy, and not gone.
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

    #[tokio::test]
    async fn a_successor_s_file_is_left_alone() {
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

    #[tokio::test]
    async fn of_two_that_start_at_the_same_moment_one_listens() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rpc.sock");
        let runtime = tokio::runtime::Handle::current();
        for _ in 0..100 {
            drop(Foreign::bind(&path));
            let bound: Vec<_> = std::thread::scope(|scope| {
                let one = || {
                    let _entered = runtime.enter();
                    bind(&path, PRIVATE)
                };
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

    #[tokio::test]
    async fn the_mode_does_not_depend_on_the_umask_and_is_never_wider() {
        let folder = tempfile::tempdir().unwrap();
        for wanted in [0o600, 0o660, 0o666, 0o777] {
            let path = folder.path().join(format!("{wanted:o}.sock"));
            let looked = std::sync::atomic::AtomicBool::new(true);
            let seen = std::thread::scope(|scope| {
                let look = scope.spawn(|| {
                    let mut seen = 0;
                    while looked.load(SeqCst) {
                        seen |= fs::metadata(&path).map_or(0, |found| found.permissions().mode() & 0o777);
                    }
                    seen
                });
                let bound = bind(&path, Attributes::mode(wanted)).unwrap();
                assert_eq!(mode(&path), wanted);
                looked.store(false, SeqCst);
                drop(bound);
                look.join().unwrap()
            });
            assert_eq!(seen & !wanted, 0, "{seen:o}");
        }
    }

    #[tokio::test]
    async fn the_owner_is_set_where_it_may_be() {
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
