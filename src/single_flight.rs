//! One computation at a time, shared by those who ask for it meanwhile.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinError;
use tokio::time::Instant;

/// How much earlier than the question a computation may have begun whose result is an answer to it.
const FRESH: Duration = Duration::from_millis(50);

/// Something that is computed when somebody asks, and takes so long that it should not be done for each one who asks. A result is kept as
/// long as somebody waits.
pub(crate) struct SingleFlight<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    /// When the last computation began, and what came of it.
    last: Mutex<Option<(Instant, Arc<T>)>>,
    /// How many have asked and have no answer yet.
    asking: AtomicUsize,
}

impl<T: Send + Sync + 'static> SingleFlight<T> {
    /// The result of a computation that began after this was called, or shortly before.
    ///
    /// It goes on though nobody polls for it, so that nobody has to wait for one who does not.
    ///
    /// # Errors
    /// When the computation has panicked.
    pub(crate) async fn get(
        &self,
        compute: impl Future<Output = T> + Send + 'static,
    ) -> Result<Arc<T>, JoinError> {
        let (asked, shared) = (Instant::now(), Arc::clone(&self.shared));
        shared.asking.fetch_add(1, Relaxed);
        tokio::spawn(async move { shared.answer(asked, compute).await }).await
    }
}

impl<T> Shared<T> {
    async fn answer(&self, asked: Instant, compute: impl Future<Output = T>) -> Arc<T> {
        let mut last = self.last.lock().await;
        let result = match &*last {
            Some((began, result)) if *began + FRESH >= asked => Arc::clone(result),
            _ => {
                let began = Instant::now();
                let result = Arc::new(compute.await);
                *last = Some((began, Arc::clone(&result)));
                result
            }
        };
        if self.asking.fetch_sub(1, Relaxed) == 1 {
            *last = None;
        }
        result
    }
}

impl<T> Default for SingleFlight<T> {
    fn default() -> Self {
        Self { shared: Arc::new(Shared { last: Mutex::default(), asking: AtomicUsize::new(0) }) }
    }
}

impl<T> fmt::Debug for SingleFlight<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SingleFlight").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;

    /// Counts how often it is computed.
    async fn look(flight: &SingleFlight<usize>, looks: &Arc<AtomicUsize>) -> usize {
        let looks = Arc::clone(looks);
        let compute = async move {
            tokio::time::sleep(FRESH * 2).await;
            looks.fetch_add(1, SeqCst)
        };
        *flight.get(compute).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_ask_at_once_share_one_computation_and_none_is_older_than_the_question() {
        let (flight, looks) = (SingleFlight::default(), Arc::default());
        let all = (0..100).map(|_| look(&flight, &looks));
        assert_eq!(futures_util::future::join_all(all).await, [0; 100]);
        let late = async {
            tokio::time::sleep(FRESH * 3 / 2).await;
            look(&flight, &looks).await
        };
        assert_eq!(tokio::join!(look(&flight, &looks), late), (1, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_has_asked_and_is_not_polled_keeps_nobody_waiting() {
        let (flight, looks) = (SingleFlight::default(), Arc::default());
        let mut asleep = Box::pin(look(&flight, &looks));
        assert!(futures_util::poll!(&mut asleep).is_pending());
        look(&flight, &looks).await;
        asleep.await;
    }
}
