//! What a server holds for its peers: memory of each budget, connections, descriptors, threads.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{PATIENCE, Server};

/// Families of the metrics page that are back where they were once all peers have gone.
const FAMILIES: [&str; 6] = [
    "causeway_connections",
    "causeway_proxy_memory_bytes",
    "causeway_rpc_memory_bytes",
    "causeway_rpc_memory_waiters",
    "causeway_stream_memory_bytes",
    "causeway_streams{",
];

/// How many more descriptors or threads are no leak: workers that are replaced at the moment, and threads that are kept for the next work.
const SPARE: u64 = 16;

/// Figures by their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holdings(BTreeMap<String, u64>);

impl Holdings {
    /// Those of a server with a metrics page.
    pub async fn of(server: &Server) -> Self {
        let mut stream = TcpStream::connect(server.listening("metrics")).await.unwrap();
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).await.unwrap();
        let figures = page.lines().filter(|line| FAMILIES.iter().any(|family| line.starts_with(family)));
        let mut held: BTreeMap<_, _> = figures
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
            .collect();
        assert!(held.len() >= FAMILIES.len(), "{page}");
        for (name, folder) in [("descriptors", "fd"), ("threads", "task")] {
            let open = std::fs::read_dir(format!("/proc/{}/{folder}", server.pid())).unwrap().count();
            held.insert(name.to_owned(), open as u64);
        }
        Self(held)
    }

    /// Waits until the server holds no more than this.
    pub async fn are_all_that_is_left(&self, server: &Server) {
        // Connections of attackers that hung up are noticed soon, calls of workers that they have left after some seconds.
        let deadline = Instant::now() + 2 * PATIENCE;
        loop {
            let now = Self::of(server).await;
            let more: Vec<_> = now.0.iter().filter(|(name, held)| self.is_exceeded(name, **held)).collect();
            if more.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "{more:?} are left, and there were {self:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn is_exceeded(&self, name: &str, held: u64) -> bool {
        let is_counted = matches!(name, "descriptors" | "threads");
        held > self.0.get(name).copied().unwrap_or_default() + if is_counted { SPARE } else { 0 }
    }
}
