//! Messages to the service manager, over the datagram socket that it names in `NOTIFY_SOCKET`.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::debug;

use super::invalid;
use crate::os::clock;

/// How long a message may wait while the manager's socket is full, and the pause between two attempts.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(5);

/// The longest status in characters.
const MAX_STATUS: usize = 200;

/// Sends messages to the service manager, if there is one. Clones send to the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notifier(Option<Arc<Manager>>);

#[derive(Debug)]
struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl Notifier {
    /// Opens a socket for messages to `address`: a path, or `@` and a name without a file.
    ///
    /// # Errors
    /// If it is neither, or there can be no socket.
    pub(super) fn open(address: Option<&str>) -> io::Result<Self> {
        let Some(address) = address else { return Ok(Self::default()) };
        let parsed = match address.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name),
            None if address.starts_with('/') => SocketAddr::from_pathname(address),
            None => Err(io::ErrorKind::InvalidInput.into()),
        };
        let address = parsed.map_err(|_| invalid("NOTIFY_SOCKET", "a path, or @ and a name"))?;
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self(Some(Arc::new(Manager { socket, address }))))
    }

    /// Whether there is a manager.
    pub(super) fn is_heard(&self) -> bool {
        self.0.is_some()
    }

    /// The server has begun to start, which takes at most `within`.
    pub(crate) async fn starting(&self, within: Duration) {
        self.send(&format!("STATUS=starting the workers\nEXTEND_TIMEOUT_USEC={}", within.as_micros())).await;
    }

    /// The server serves calls: for the first time, or again after [`Self::reloading`].
    pub(crate) async fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={}", one_line(status))).await;
    }

    /// The server reads its configuration again, and [`Self::ready`] follows after at most `within`.
    pub(crate) async fn reloading(&self, within: Duration) {
        let (now, within) = (clock::monotonic().as_micros(), within.as_micros());
        let text = "STATUS=reloading the configuration";
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={now}\n{text}\nEXTEND_TIMEOUT_USEC={within}")).await;
    }

    /// The server shuts down, which takes at most `within`.
    pub(crate) async fn stopping(&self, within: Duration) {
        let text = "STOPPING=1\nSTATUS=shutting down: finishing the calls in flight";
        self.send(&format!("{text}\nEXTEND_TIMEOUT_USEC={}", within.as_micros())).await;
    }

    /// What people read in `systemctl status`.
    pub(crate) async fn status(&self, status: &str) {
        self.send(&format!("STATUS={}", one_line(status))).await;
    }

    /// Another process is the service from now on.
    pub(crate) async fn main_pid(&self, pid: u32) {
        self.send(&format!("MAINPID={pid}\nSTATUS=handed over to process {pid}")).await;
    }

    /// A sign of life.
    pub(super) async fn alive(&self) {
        self.send("WATCHDOG=1").await;
    }

    /// Sends a message. It is dropped if there is no manager, or if that does not read.
    async fn send(&self, message: &str) {
        let Some(manager) = &self.0 else { return };
        let deadline = Instant::now() + PATIENCE;
        let error = loop {
            match manager.socket.send_to_addr(message.as_bytes(), &manager.address) {
                Ok(_) => return,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline => {
                    sleep(PAUSE).await;
                }
                Err(error) => break error,
            }
        };
        debug!(target: "server", %error, "cannot notify the service manager");
    }
}

/// Its first line, not too long: a line break would begin another field of the message.
fn one_line(status: &str) -> String {
    status.lines().next().unwrap_or_default().chars().take(MAX_STATUS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager(folder: &std::path::Path) -> (UnixDatagram, Notifier) {
        let path = folder.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        (socket, Notifier::open(path.to_str()).unwrap())
    }

    fn received(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 1024];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[tokio::test]
    async fn each_event_is_one_message_in_systemd_s_form() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, notifier) = manager(folder.path());
        notifier.starting(Duration::from_secs(70)).await;
        assert_eq!(received(&socket), "STATUS=starting the workers\nEXTEND_TIMEOUT_USEC=70000000");
        notifier.ready("serving\nREADY=0").await;
        assert_eq!(received(&socket), "READY=1\nSTATUS=serving");
        notifier.reloading(Duration::from_mins(2)).await;
        let text = received(&socket);
        let time = text.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().split('\n').next().unwrap();
        assert!(time.parse::<u64>().unwrap() > 0, "{text}");
        notifier.stopping(Duration::from_secs(1)).await;
        assert!(received(&socket).starts_with("STOPPING=1\nSTATUS="));
        notifier.status(&"x".repeat(500)).await;
        assert_eq!(received(&socket).len(), "STATUS=".len() + MAX_STATUS);
        notifier.alive().await;
        assert_eq!(received(&socket), "WATCHDOG=1");
    }

    #[tokio::test]
    async fn a_socket_without_a_file_is_reached_and_a_manager_that_has_gone_costs_nothing() {
        let name = format!("causeway-test-{}", std::process::id());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let notifier = Notifier::open(Some(&format!("@{name}"))).unwrap();
        notifier.status("here").await;
        assert_eq!(received(&socket), "STATUS=here");
        drop(socket);
        notifier.status("gone").await;
        Notifier::default().status("there is none").await;
        assert!(Notifier::open(Some("vsock:2:1")).unwrap_err().to_string().starts_with("NOTIFY_SOCKET: "));
    }

    #[tokio::test(start_paused = true)]
    async fn a_manager_that_does_not_read_is_waited_for_no_longer_than_a_second() {
        let folder = tempfile::tempdir().unwrap();
        let (_socket, notifier) = manager(folder.path());
        let begin = Instant::now();
        // The kernel keeps some messages until they are read.
        while begin.elapsed().is_zero() {
            notifier.alive().await;
        }
        assert!(begin.elapsed() <= PATIENCE + PAUSE, "{:?}", begin.elapsed());
    }
}
