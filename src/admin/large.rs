//! Large pages, of which few exist at a time, and the scrapers that read them.
//!
//! A page exists until its last reader has taken it, so readers that take nothing could keep all others waiting. Therefore, while a scraper
//! waits for a page, a reader that does not make progress is disconnected.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

/// The number of large pages at one time, being written or still read.
const PAGES: usize = 2;

/// How long a scraper waits for one of these.
const PATIENCE: Duration = Duration::from_secs(5);

/// While another scraper waits, a reader has to take one of [`PARTS`] of its page within this time.
const STALLED: Duration = Duration::from_secs(1);
const PARTS: usize = 10;

/// How often a waiting scraper looks for stalled readers.
const INTERVAL: Duration = Duration::from_millis(100);

/// The large pages and the readers of pages.
#[derive(Debug)]
pub(super) struct LargePages {
    pages: Arc<Semaphore>,
    readers: Mutex<Vec<Weak<Reading>>>,
}

/// One page; dropped when nothing of it is left.
pub(super) type Permit = OwnedSemaphorePermit;

/// A connection that may read pages.
#[derive(Debug)]
pub(super) struct Reader {
    progress: Mutex<Progress>,
    stalled: Notify,
}

/// A page that a connection reads, until this is dropped.
#[derive(Debug)]
pub(super) struct Reading(Arc<Reader>);

#[derive(Debug)]
struct Progress {
    /// The size of a part, in bytes.
    part: usize,
    /// How much of the current part has been taken.
    taken: usize,
    /// When the current part was begun.
    since: Instant,
}

impl LargePages {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { pages: Arc::new(Semaphore::new(PAGES)), readers: Mutex::default() })
    }

    /// Waits for one of the pages, and meanwhile disconnects stalled readers. `None` if that takes too long.
    pub(super) async fn acquire(&self) -> Option<Permit> {
        let acquire = async {
            let mut acquire = std::pin::pin!(Arc::clone(&self.pages).acquire_owned());
            loop {
                match timeout(INTERVAL, &mut acquire).await {
                    Ok(permit) => return permit.ok(),
                    Err(_) => self.disconnect_stalled(),
                }
            }
        };
        timeout(PATIENCE, acquire).await.ok().flatten()
    }

    /// Adds a connection that reads a page of `length` bytes.
    pub(super) fn add(&self, reader: &Arc<Reader>, length: usize) -> Arc<Reading> {
        *lock(&reader.progress) = Progress::of(length / PARTS);
        let reading = Arc::new(Reading(Arc::clone(reader)));
        let mut readers = lock(&self.readers);
        readers.retain(|reading| reading.strong_count() > 0);
        readers.push(Arc::downgrade(&reading));
        reading
    }

    fn disconnect_stalled(&self) {
        let readers = lock(&self.readers);
        for reading in readers.iter().filter_map(Weak::upgrade) {
            let Reading(reader) = &*reading;
            if lock(&reader.progress).since.elapsed() >= STALLED {
                reader.stalled.notify_one();
            }
        }
    }
}

impl Reader {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { progress: Mutex::new(Progress::of(0)), stalled: Notify::new() })
    }

    /// The peer has taken more bytes.
    pub(super) fn took(&self, bytes: usize) {
        let mut progress = lock(&self.progress);
        progress.taken += bytes;
        if progress.taken >= progress.part {
            *progress = Progress::of(progress.part);
        }
    }

    /// Resolves when the peer has to be disconnected. Only for one task.
    pub(super) async fn stalled(&self) {
        self.stalled.notified().await;
    }
}

impl Progress {
    fn of(part: usize) -> Self {
        Self { part, taken: 0, since: Instant::now() }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_readers_without_progress_are_disconnected_and_only_while_another_waits() {
        let pages = LargePages::new();
        let held = [pages.acquire().await.unwrap(), pages.acquire().await.unwrap()];
        let [idle, slow, steady, done] = std::array::from_fn(|_| Reader::new());
        let _reading = [&idle, &slow, &steady].map(|reader| pages.add(reader, 1000));
        drop(pages.add(&done, 1000));
        tokio::time::advance(STALLED * 10).await;
        let is_stalled = async |reader: &Reader| timeout(Duration::ZERO, reader.stalled()).await.is_ok();
        assert!(!is_stalled(&idle).await, "no one waits");
        steady.took(100);
        slow.took(99);
        let begin = Instant::now();
        let (permit, ()) = tokio::join!(pages.acquire(), async {
            idle.stalled().await;
            slow.stalled().await;
            assert!(!is_stalled(&steady).await && !is_stalled(&done).await);
            drop(held);
        });
        assert!(permit.is_some() && begin.elapsed() < STALLED);
    }

    #[tokio::test(start_paused = true)]
    async fn a_scraper_waits_a_while_for_readers_that_make_progress() {
        let pages = LargePages::new();
        let _held = [pages.acquire().await.unwrap(), pages.acquire().await.unwrap()];
        let begin = Instant::now();
        assert!(pages.acquire().await.is_none());
        assert_eq!(begin.elapsed(), PATIENCE);
    }
}
