//! One computation at a time, shared by all that request it meanwhile.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinError;
use tokio::time::Instant;

/// How long before a request a computation may have begun to count as its answer, by default.
const FRESH: Duration = Duration::from_millis(50);

/// A computation on request that is too expensive to repeat for each of many requests. Its result is kept while requests wait.
pub(crate) struct SingleFlight<T> {
    shared: Arc<Shared<T>>,
    fresh: Duration,
}

struct Shared<T> {
    /// When the last computation began, and its result.
    last: Mutex<Option<(Instant, Arc<T>)>>,
    /// Requests without an answer yet.
    waiting: AtomicUsize,
}

impl<T: Send + Sync + 'static> SingleFlight<T> {
    /// One whose results are never older than the request.
    pub(crate) fn exact() -> Self {
        Self { fresh: Duration::ZERO, ..Self::default() }
    }

    /// The result of a computation that began after this was called, or shortly before.
    ///
    /// The computation goes on even if this future is not polled, so that no other request waits for it.
    ///
    /// # Errors
    /// If the computation has panicked.
    pub(crate) async fn get(
        &self,
        compute: impl Future<Output = T> + Send + 'static,
    ) -> Result<Arc<T>, JoinError> {
        let (oldest, shared) = (Instant::now() - self.fresh, Arc::clone(&self.shared));
        shared.waiting.fetch_add(1, Relaxed);
        tokio::spawn(async move { shared.answer(oldest, compute).await }).await
    }
}

impl<T> Shared<T> {
    async fn answer(&self, oldest: Instant, compute: impl Future<Output = T>) -> Arc<T> {
        let mut last = self.last.lock().await;
        let result = match &*last {
            Some((began, result)) if *began >= oldest => Arc::clone(result),
            _ => {
                let began = Instant::now();
                let result = Arc::new(compute.await);
                *last = Some((began, Arc::clone(&result)));
                result
            }
        };
        if self.waiting.fetch_sub(1, Relaxed) == 1 {
            *last = None;
        }
        result
    }
}

impl<T> Default for SingleFlight<T> {
    fn default() -> Self {
        Self {
            shared: Arc::new(Shared { last: Mutex::default(), waiting: AtomicUsize::new(0) }),
            fresh: FRESH,
        }
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

    /// Returns the number of computations before its own.
    async fn get(flight: &SingleFlight<usize>, computations: &Arc<AtomicUsize>) -> usize {
        let computations = Arc::clone(computations);
        let compute = async move {
            tokio::time::sleep(FRESH * 2).await;
            computations.fetch_add(1, SeqCst)
        };
        *flight.get(compute).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_requests_share_one_computation_that_is_no_older_than_they_are() {
        let (flight, computations) = (SingleFlight::default(), Arc::default());
        let all = (0..100).map(|_| get(&flight, &computations));
        assert_eq!(futures_util::future::join_all(all).await, [0; 100]);
        let late = async {
            tokio::time::sleep(FRESH * 3 / 2).await;
            get(&flight, &computations).await
        };
        assert_eq!(tokio::join!(get(&flight, &computations), late), (1, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn an_exact_result_is_never_older_than_the_request() {
        let (flight, computations) = (SingleFlight::exact(), Arc::default());
        let late = async {
            tokio::time::sleep(FRESH / 2).await;
            let late = (0..100).map(|_| get(&flight, &computations));
            futures_util::future::join_all(late).await
        };
        assert_eq!(tokio::join!(get(&flight, &computations), late), (0, vec![1; 100]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_not_polled_delays_no_other() {
        let (flight, computations) = (SingleFlight::default(), Arc::default());
        let mut asleep = Box::pin(get(&flight, &computations));
        assert!(futures_util::poll!(&mut asleep).is_pending());
        get(&flight, &computations).await;
        asleep.await;
    }
}
