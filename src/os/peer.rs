//! Which process holds the other end of a TCP connection, if it is one of this machine.
//!
//! The kernel's table of connections has the user and the inode of the socket at the other end, and `/proc/PID/fd` shows whether a process
//! holds that socket. All of this blocks for as long as the kernel takes: some milliseconds with ten thousand connections.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::proc_fs;

/// Bytes of a table that are read: 400,000 connections, with a line of 150 bytes each.
const MAX_TABLE: u64 = 64 << 20;

/// Processes that are checked for a socket, beginning with the one that claims it: a wrapper and its descendants.
const MAX_HOLDERS: usize = 256;

/// Whether a peer with this address can only be on this machine.
pub(crate) fn is_local(own: SocketAddr, peer: SocketAddr) -> bool {
    let (own, peer) = (own.ip().to_canonical(), peer.ip().to_canonical());
    peer.is_loopback() || peer == own
}

/// The ends of this machine's connections that lead to one port.
#[derive(Debug)]
pub(crate) struct Ends(HashMap<(SocketAddr, SocketAddr), End>);

impl Ends {
    /// Reads them all.
    ///
    /// # Errors
    /// If the kernel does not show its tables.
    pub(crate) fn of_connections_to(port: u16) -> io::Result<Self> {
        let mut ends = HashMap::new();
        // A connection over IPv4 may be in the table of IPv6.
        for (n, table) in ["tcp", "tcp6"].into_iter().enumerate() {
            let file = match File::open(format!("/proc/self/net/{table}")) {
                Ok(file) => file,
                // A kernel without IPv6 has no table of it.
                Err(error) if n > 0 && error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            collect(&mut ends, BufReader::new(io::Read::take(file, MAX_TABLE)), port)?;
        }
        Ok(Self(ends))
    }

    /// The other end of a connection from `own` to `peer`.
    pub(crate) fn find(&self, own: SocketAddr, peer: SocketAddr) -> Option<End> {
        self.0.get(&(canonical(peer), canonical(own))).copied()
    }
}

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    uid: u32,
    /// The inode of its socket; 0 if no process holds it any more.
    inode: u64,
}

impl End {
    /// Whether it is held by the process `pid`, or by a descendant; where that is hidden from us, whether both belong to one user.
    pub(crate) fn is_held_by(self, pid: u32) -> bool {
        if self.inode == 0 {
            return false;
        }
        let mut is_hidden = false;
        let descendants = std::iter::once_with(|| proc_fs::descendants(vec![pid], MAX_HOLDERS)).flatten();
        for process in std::iter::once(pid).chain(descendants) {
            match holds(process, self.inode) {
                Ok(true) => return true,
                Ok(false) => {}
                Err(error) => is_hidden |= error.kind() == io::ErrorKind::PermissionDenied,
            }
        }
        is_hidden && users(pid).is_some_and(|users| users.contains(&self.uid))
    }
}

/// Whether a process has a descriptor for this socket.
fn holds(pid: u32, inode: u64) -> io::Result<bool> {
    let name = format!("socket:[{inode}]");
    let entries = fs::read_dir(format!("/proc/{pid}/fd"))?;
    // A descriptor may be closed meanwhile.
    Ok(entries
        .flatten()
        .any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target.as_os_str() == name.as_str())))
}

/// The real, effective, saved and file system user of a process. Source: proc(5), `Uid` of `/proc/PID/status`.
fn users(pid: u32) -> Option<Vec<u32>> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_ascii_whitespace().map(|uid| uid.parse().ok()).collect()
}

fn collect(
    ends: &mut HashMap<(SocketAddr, SocketAddr), End>,
    mut table: impl io::BufRead,
    port: u16,
) -> io::Result<()> {
    // Ports are compared before addresses are parsed.
    let text = format!(":{port:04X} ");
    let mut line = String::new();
    while table.read_line(&mut line)? > 0 {
        if line.contains(&text)
            && let Some((local, remote, end)) = parse(&line)
            && remote.port() == port
        {
            ends.insert((local, remote), end);
        }
        line.clear();
    }
    Ok(())
}

/// One line of the table.
///
/// Source: proc_net_tcp in the kernel's documentation: `sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout
/// inode ...`.
fn parse(line: &str) -> Option<(SocketAddr, SocketAddr, End)> {
    let fields: Vec<&str> = line.split_ascii_whitespace().take(10).collect();
    let end = End { uid: fields.get(7)?.parse().ok()?, inode: fields.get(9)?.parse().ok()? };
    Some((address(fields[1])?, address(fields[2])?, end))
}

/// `0100007F:1F90`: each 32-bit word of the address as a number in native byte order, and the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| Some(u32::from_str_radix(ip.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(words.as_flattened()).ok()?))
        }
        _ => return None,
    };
    Some(canonical(SocketAddr::new(ip, port)))
}

/// An IPv4-mapped address as IPv4; without flow and scope, which the table does not have.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::process::{Command, Stdio};

    use super::*;

    fn connection(listen: &str, connect: &str) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(listen).unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect(format!("{connect}:{port}")).unwrap();
        (listener.accept().unwrap().0, client)
    }

    fn is_held_by(server: &TcpStream, pid: u32) -> bool {
        let (own, peer) = (server.local_addr().unwrap(), server.peer_addr().unwrap());
        assert!(is_local(own, peer));
        // The kernel can skip a line while others come and go.
        let search = |_| Ends::of_connections_to(own.port()).unwrap().find(own, peer);
        (0..10).find_map(search).is_some_and(|end| end.is_held_by(pid))
    }

    #[test]
    fn a_process_holds_its_connection_and_another_does_not() {
        for (listen, connect) in [
            ("127.0.0.1:0", "127.0.0.1"),
            ("0.0.0.0:0", "127.0.0.1"),
            ("[::]:0", "127.0.0.1"),
            ("[::1]:0", "[::1]"),
        ] {
            let (server, client) = connection(listen, connect);
            let mut other = Command::new("sleep").arg("1000").spawn().unwrap();
            assert!(is_held_by(&server, std::process::id()), "{listen}");
            assert!(!is_held_by(&server, other.id()), "{listen}");
            assert!(!is_held_by(&server, u32::MAX), "{listen}");
            drop(client);
            assert!(!is_held_by(&server, other.id()), "{listen}");
            other.kill().unwrap();
            other.wait().unwrap();
        }
    }

    #[test]
    fn a_connection_of_a_descendant_belongs_to_its_ancestor() {
        let (server, client) = connection("127.0.0.1:0", "127.0.0.1");
        // The shell holds it too, until it has started `sleep` and closes its own. A background process gets another standard input.
        let mut shell = Command::new("sh")
            .args(["-c", "exec 3<&0 <&-; sleep 1000 & exec 3<&-; wait"])
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(client)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        assert!(is_held_by(&server, shell.id()));
        assert!(is_held_by(&server, std::process::id()));
        for child in proc_fs::children(shell.id()) {
            let _ = nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(child.cast_signed()),
                nix::sys::signal::Signal::SIGKILL,
            );
        }
        shell.kill().unwrap();
        shell.wait().unwrap();
    }

    #[test]
    fn lines_of_both_tables_are_read() {
        let line = "   1: 0100007F:95FD 0100007F:DB0E 01 00000000:00000000 03:00000DF4 00000000  1000        0 4242 3 00000000ebfd8bdf";
        let (local, remote, end) = parse(line).unwrap();
        if cfg!(target_endian = "little") {
            assert_eq!(
                (local, remote),
                ("127.0.0.1:38397".parse().unwrap(), "127.0.0.1:56078".parse().unwrap())
            );
            let mapped = address("0000000000000000FFFF00000100007F:0050").unwrap();
            assert_eq!(mapped, "127.0.0.1:80".parse().unwrap());
            let six = address("00000000000000000000000001000000:0050").unwrap();
            assert_eq!(six, "[::1]:80".parse().unwrap());
        }
        assert_eq!(end, End { uid: 1000, inode: 4242 });
        for line in
            ["", "  sl  local_address rem_address   st", "1: 0100007F:95FD", "1: x:1 y:2 01 0 0 0 0 0 0 0"]
        {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
