//! Work that would keep the runtime's thread from other calls. It runs on threads for blocking work, a few pieces at a time.

use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::task::AbortOnDropHandle;

use crate::os;

/// Arguments and results of more bytes than this are decoded or encoded elsewhere: fewer bytes take at most some hundred microseconds.
pub(crate) const LONG: usize = 16 << 10;

/// What is longer than this has a lane of its own, so that it does not delay others, and so that the memory for decoding it, several times
/// its length, is used once at a time.
const HUGE: usize = 1 << 20;

/// How many pieces of work run at a time.
static LONG_LANE: Semaphore = Semaphore::const_new(2);
static HUGE_LANE: Semaphore = Semaphore::const_new(1);

/// Does work on `bytes` of input: here if they are few, elsewhere otherwise. There it goes on even if the future is not polled. Work that
/// has not begun is cancelled if the future is dropped.
///
/// # Errors
/// If the work has panicked elsewhere.
pub(crate) async fn run<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    if bytes <= LONG {
        return Ok(work());
    }
    let lane = if bytes <= HUGE { &LONG_LANE } else { &HUGE_LANE };
    let task = tokio::spawn(async move {
        let turn = lane.acquire().await;
        let work = move || {
            // Held until the work ends, even if its caller has gone.
            let _turn = turn;
            work()
        };
        background(work).await
    });
    AbortOnDropHandle::new(task).await.flatten()
}

/// The same for work that can fail.
///
/// # Errors
/// Those of the work, or if it has panicked.
pub(crate) async fn try_run<T: Send + 'static, E: From<JoinError> + Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    run(bytes, work).await.unwrap_or_else(|panic| Err(panic.into()))
}

/// Runs `work` on a thread for blocking work. If cores are scarce, the threads that serve calls run first.
pub(crate) fn background<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    tokio::task::spawn_blocking(|| {
        os::priority::step_back();
        work()
    })
}
