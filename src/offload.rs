//! Work that would keep the runtime's thread from other calls: it runs on threads for blocking work, a few at a time.

use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::task::AbortOnDropHandle;

use crate::os;

/// An argument or result of more bytes than this is read or written elsewhere: less is done within some hundred microseconds.
pub(crate) const LONG: usize = 16 << 10;

/// What is longer than this waits in a lane of its own, so that it does not keep others waiting, and so that what it takes while it is
/// read, some times its length, is there once.
const HUGE: usize = 1 << 20;

/// How many do their work at one time.
static LONG_LANE: Semaphore = Semaphore::const_new(2);
static HUGE_LANE: Semaphore = Semaphore::const_new(1);

/// Does work on `bytes` of input: here if that is little, elsewhere otherwise. It goes on though nobody polls for it, and what has not
/// begun does not begin when nobody waits any more.
///
/// # Errors
/// When the work has panicked elsewhere.
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
            // It is the work's, whatever becomes of those who wait for it.
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
/// As the work, or when it has panicked.
pub(crate) async fn try_run<T: Send + 'static, E: From<JoinError> + Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    run(bytes, work).await.unwrap_or_else(|panic| Err(panic.into()))
}

/// Runs `work` on a thread for blocking work. Where there are no more cores than it takes, the threads that serve calls go first.
pub(crate) fn background<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    tokio::task::spawn_blocking(|| {
        os::priority::step_back();
        work()
    })
}
