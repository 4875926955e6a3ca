//! The page as a browser that shows it reads it: the document and its data, then the events.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::http;

/// What the page reads when it is opened.
const DATA: [&str; 3] = ["/", "/api/about", "/api/history"];

/// How long an answer, and an event, may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A page that is open until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenPage {
    longest_gap: Arc<Mutex<Duration>>,
    following: JoinHandle<anyhow::Result<()>>,
}

impl OpenPage {
    /// Opens the page at `address`.
    ///
    /// # Errors
    /// If it is not served, or has no events.
    pub(crate) async fn open(address: &str) -> anyhow::Result<Self> {
        for path in DATA {
            http::get(address, path, "identity").await?;
        }
        let mut events = Events::open(address).await?;
        events.next().await?;
        let longest_gap = Arc::default();
        let following = tokio::spawn(follow(events, Arc::clone(&longest_gap)));
        Ok(Self { longest_gap, following })
    }

    /// The longest time between two events so far.
    ///
    /// # Errors
    /// If the stream of events has ended.
    pub(crate) fn longest_gap(&self) -> anyhow::Result<Duration> {
        if self.following.is_finished() {
            bail!("the page gets no more events");
        }
        Ok(*self.longest_gap.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for OpenPage {
    fn drop(&mut self) {
        self.following.abort();
    }
}

async fn follow(mut events: Events, longest_gap: Arc<Mutex<Duration>>) -> anyhow::Result<()> {
    loop {
        let begin = Instant::now();
        events.next().await.inspect_err(|error| eprintln!("the page: {error:#}"))?;
        let mut longest = longest_gap.lock().unwrap_or_else(PoisonError::into_inner);
        *longest = longest.max(begin.elapsed());
    }
}

/// The lines of the stream of events.
struct Events(BufReader<TcpStream>);

impl Events {
    async fn open(address: &str) -> anyhow::Result<Self> {
        Ok(Self(BufReader::new(http::request(address, "/api/events", "identity", "keep-alive").await?)))
    }

    /// Waits for the next event, which has to be a snapshot.
    async fn next(&mut self) -> anyhow::Result<()> {
        let mut line = String::new();
        let read = async {
            while !line.starts_with("data: ") {
                line.clear();
                if self.0.read_line(&mut line).await? == 0 {
                    bail!("the stream of events has ended");
                }
            }
            Ok(())
        };
        tokio::time::timeout(PATIENCE, read).await.context("there is no event")??;
        if !line.contains(r#""state":"serving""#) {
            bail!("an event is no snapshot of a server that serves: {line}");
        }
        Ok(())
    }
}
