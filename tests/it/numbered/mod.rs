//! Workers of protocol 2, with several requests in flight: raw ones, which speak goridge by hand.

mod credit;
mod failures;
mod limits;
mod php;
mod requests;

use std::path::PathBuf;

use causeway::pool::WorkerInfo;

use crate::support::pool::TestPool;
use crate::support::{Setup, eventually, worker};

/// A worker that offers so many requests in flight, and has a thread for each.
fn many(concurrency: usize) -> Setup {
    let setup = worker();
    let notes = setup.path("notes").display().to_string();
    let offers = format!("{{\"protocol\":2,\"concurrency\":{concurrency},\"name\":\"raw\"}}");
    setup.env("OFFERS", &offers).env("NOTES", &notes)
}

/// The same, but it handles one request after the other, and reads nothing meanwhile.
fn one_at_a_time(concurrency: usize) -> Setup {
    many(concurrency).env("ONE_AT_A_TIME", "1")
}

impl TestPool {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Lines that workers have noted.
    fn notes(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("notes")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    async fn has_noted(&self, line: &str, times: usize) {
        eventually(&format!("{times} times {line}"), || {
            self.notes().iter().filter(|noted| *noted == line).count() == times
        })
        .await;
    }

    /// Requests in hand, by worker.
    fn in_hand(&self) -> Vec<usize> {
        self.pool.workers().iter().map(|worker| worker.in_hand).collect()
    }

    /// By worker. A request is in hand from when its worker is chosen; that it is on its way there is said by [`Self::has_begun`].
    async fn has_in_hand(&self, expected: &[usize]) {
        eventually(&format!("{expected:?} are in hand"), || self.in_hand() == expected).await;
    }

    /// So many requests were begun: those that are begun later come after them in the worker's pipe.
    async fn has_begun(&self, requests: u64) {
        eventually(&format!("{requests} have begun"), || self.begun() == requests).await;
    }

    fn begun(&self) -> u64 {
        self.pool.workers().iter().map(|worker| worker.executions).sum()
    }

    /// The only worker.
    fn single(&self) -> WorkerInfo {
        let workers = self.pool.workers();
        assert_eq!(workers.len(), 1, "{workers:?}");
        workers[0]
    }
}
