//! The memory of frames that workers have begun and not finished.
//!
//! Each connection's buffer may hold [`FREE`] bytes, and an equal part of [`SHARED`]. Beyond that a frame needs memory for all of it, from
//! [`WHOLE`]; until there is enough, no more of it is read, and its worker waits in its write. So workers that stop in the middle of large
//! frames never make the server hold more than these limits; small frames never wait; and since memory is taken for a whole frame, each
//! one that has it can be finished. One that has it and [makes no progress](Stall) while others wait is given up.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::PollSemaphore;

use super::stall::Stall;

/// Bytes that each connection may hold without the budget: more than most frames.
pub(super) const FREE: usize = 64 << 10;

/// Bytes that all connections may hold in equal parts.
const SHARED: usize = 128 << 20;

/// Bytes for frames that are larger than their connection's part; or the largest frame, if that is more.
const WHOLE: usize = 128 << 20;

/// A connection keeps its buffer, and the memory for it, after frames of up to this many bytes.
const KEPT: usize = 2 << 20;

/// [`WHOLE`] is handed out in units of this many bytes.
const UNIT: usize = 64 << 10;

/// The budget of all workers, whatever their pool.
static BUDGET: LazyLock<Arc<Budget>> = LazyLock::new(Arc::default);

/// Memory for frames, and who has it.
#[derive(Debug)]
struct Budget {
    connections: AtomicUsize,
    shared: AtomicUsize,
    whole: Arc<Semaphore>,
    /// The units of `whole`, free or not.
    units: Mutex<usize>,
    /// Connections that wait for `whole`.
    waiting: AtomicUsize,
}

/// Memory for one frame, released when this is dropped.
#[derive(Debug)]
pub(super) struct Memory {
    budget: Arc<Budget>,
    shared: usize,
    whole: Option<OwnedSemaphorePermit>,
}

/// A connection's access to the budget, and the memory for the frame that it reads.
#[derive(Debug)]
pub(super) struct Share {
    memory: Memory,
    queue: PollSemaphore,
    waiting_since: Option<Instant>,
    /// How long it waited before that, since [`Share::begin`].
    waited: Duration,
    stall: Stall,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            connections: AtomicUsize::new(0),
            shared: AtomicUsize::new(0),
            whole: Arc::new(Semaphore::new(WHOLE / UNIT)),
            units: Mutex::new(WHOLE / UNIT),
            waiting: AtomicUsize::new(0),
        }
    }
}

impl Budget {
    fn share(self: &Arc<Self>, max_payload: usize) -> Share {
        self.connections.fetch_add(1, Relaxed);
        self.grow_for(max_payload);
        let queue = PollSemaphore::new(Arc::clone(&self.whole));
        let (memory, waited, stall) = (Memory::none(self), Duration::ZERO, Stall::default());
        Share { memory, queue, waiting_since: None, waited, stall }
    }

    /// Makes the largest frame fit into [`WHOLE`]; its header is within [`FREE`].
    fn grow_for(&self, max_payload: usize) {
        let mut units = self.units.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = max_payload.div_ceil(UNIT).saturating_sub(*units);
        *units += missing;
        self.whole.add_permits(missing);
    }
}

impl Share {
    /// The share of one more connection, whose frames hold at most `max_payload` bytes.
    pub(super) fn new(max_payload: usize) -> Self {
        BUDGET.share(max_payload)
    }

    /// Ready when the connection may hold `bytes`, the beginning of a frame of `frame` bytes.
    pub(super) fn poll_cover(&mut self, cx: &mut Context<'_>, bytes: usize, frame: usize) -> Poll<()> {
        if bytes <= FREE + self.memory.shared || self.memory.whole.is_some() {
            return Poll::Ready(());
        }
        if !self.is_waiting() && self.memory.extend(bytes - FREE) {
            return Poll::Ready(());
        }
        let units = u32::try_from(frame.saturating_sub(FREE).div_ceil(UNIT)).unwrap_or(u32::MAX);
        self.wait();
        let whole = ready!(self.queue.poll_acquire_many(cx, units));
        self.end_wait();
        self.memory.release_shared();
        self.memory.whole = whole;
        Poll::Ready(())
    }

    /// Whether the connection waits for memory.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting_since.is_some()
    }

    fn wait(&mut self) {
        if self.waiting_since.is_none() {
            self.waiting_since = Some(Instant::now());
            self.memory.budget.waiting.fetch_add(1, Relaxed);
        }
    }

    fn end_wait(&mut self) {
        if let Some(since) = self.waiting_since.take() {
            self.waited += since.elapsed();
            self.memory.budget.waiting.fetch_sub(1, Relaxed);
        }
    }

    /// A request begins.
    pub(super) fn begin(&mut self) {
        self.waited = Duration::ZERO;
        if let Some(since) = &mut self.waiting_since {
            *since = Instant::now();
        }
    }

    /// How long the connection has waited for memory since the request began.
    pub(super) fn waited(&self) -> Duration {
        self.waited + self.waiting_since.map(|since| since.elapsed()).unwrap_or_default()
    }

    /// Bytes of the frame were read.
    pub(super) fn read(&mut self, bytes: usize) {
        self.stall.read(bytes);
    }

    /// Whether the worker keeps others from memory and makes no progress. To be asked while there is nothing to read; `kept` is the memory of
    /// a frame that was read before.
    pub(super) fn poll_stalled(&mut self, cx: &mut Context<'_>, kept: Option<&Memory>) -> bool {
        let has_whole = |memory: &Memory| memory.whole.is_some();
        if !has_whole(&self.memory) && !kept.is_some_and(has_whole) {
            self.stall.end();
            return false;
        }
        self.stall.poll(cx) && self.memory.budget.waiting.load(Relaxed) > 0
    }

    /// Whether the connection may keep its buffer, and the memory for it, after a frame with so many bytes.
    pub(super) fn keeps_buffer_of(&self, payload: usize) -> bool {
        payload <= KEPT && self.memory.whole.is_none()
    }

    /// Whether the connection holds more than it may without the budget.
    pub(super) fn has_memory(&self) -> bool {
        self.memory.shared > 0 || self.memory.whole.is_some()
    }

    /// Takes the memory away, with the frame for which it was taken.
    pub(super) fn take_memory(&mut self) -> Memory {
        self.stall.end();
        let none = Memory::none(&self.memory.budget);
        std::mem::replace(&mut self.memory, none)
    }
}

impl Memory {
    fn none(budget: &Arc<Budget>) -> Self {
        Self { budget: Arc::clone(budget), shared: 0, whole: None }
    }

    /// Takes memory of the connection's part until it has `wanted` bytes of it; false, and nothing taken, if that is too much.
    fn extend(&mut self, wanted: usize) -> bool {
        let Budget { connections, shared, .. } = &*self.budget;
        let more = |held| Some(held + wanted - self.shared).filter(|held| *held <= SHARED);
        let fits = wanted <= SHARED / connections.load(Relaxed).max(1)
            && shared.fetch_update(Relaxed, Relaxed, more).is_ok();
        if fits {
            self.shared = wanted;
        }
        fits
    }

    fn release_shared(&mut self) {
        if self.shared > 0 {
            self.budget.shared.fetch_sub(std::mem::take(&mut self.shared), Relaxed);
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.release_shared();
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.end_wait();
        self.memory.budget.connections.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    const MB: usize = 1 << 20;

    fn shares<const N: usize>(max_payload: usize) -> (Arc<Budget>, [Share; N]) {
        let budget = Arc::new(Budget::default());
        let shares = std::array::from_fn(|_| budget.share(max_payload));
        (budget, shares)
    }

    /// Whether the share may hold `bytes` of a frame of `frame` bytes.
    fn covers(share: &mut Share, bytes: usize, frame: usize) -> bool {
        share.poll_cover(&mut Context::from_waker(Waker::noop()), bytes, frame).is_ready()
    }

    /// Reads a frame in pieces until it waits for memory; returns how much of it was read.
    fn fill(share: &mut Share, frame: usize) -> usize {
        let step = MB / 4;
        let all = (step..=frame).step_by(step);
        all.take_while(|bytes| covers(share, *bytes, frame)).last().unwrap_or(0)
    }

    #[test]
    fn unfinished_frames_of_many_workers_are_bounded_and_a_small_one_never_waits() {
        let (budget, mut shares) = shares::<32>(64 * MB);
        let held: usize = shares[..30].iter_mut().map(|share| fill(share, 64 * MB)).sum();
        assert!(held <= SHARED + WHOLE, "{held}");
        assert!(held > WHOLE, "each had its part");
        assert!(budget.shared.load(Relaxed) <= SHARED);
        assert!(covers(&mut shares[30], FREE, FREE));
        let part = SHARED / 32;
        assert!(covers(&mut shares[31], part, part), "others cannot take its part");
    }

    #[test]
    fn a_frame_that_has_memory_is_finished_and_then_those_that_wait_get_theirs() {
        let (budget, mut shares) = shares::<8>(64 * MB);
        let (finish, wait) = shares.split_at_mut(2);
        for share in &mut *finish {
            assert_eq!(fill(share, 64 * MB), 64 * MB);
        }
        for share in &mut *wait {
            assert!(fill(share, 64 * MB) < 64 * MB && share.is_waiting());
        }
        for share in &mut *finish {
            assert!(!share.keeps_buffer_of(64 * MB));
            drop(share.take_memory());
        }
        assert_eq!(
            wait.iter_mut().map(|share| fill(share, 64 * MB)).filter(|read| *read == 64 * MB).count(),
            2
        );
        drop(shares);
        assert_eq!(budget.shared.load(Relaxed), 0);
        assert_eq!(budget.whole.available_permits(), WHOLE / UNIT);
    }

    /// Whether a frame that got so many bytes in each of the last half seconds is given up.
    async fn is_given_up(share: &mut Share, kept: Option<&Memory>, read: [usize; 4]) -> bool {
        let mut is_stalled = false;
        for bytes in read {
            share.read(bytes);
            let cx = &mut Context::from_waker(Waker::noop());
            share.poll_stalled(cx, kept);
            tokio::time::advance(Duration::from_millis(510)).await;
            is_stalled = share.poll_stalled(cx, kept);
        }
        is_stalled
    }

    #[tokio::test(start_paused = true)]
    async fn a_frame_that_has_memory_and_makes_no_progress_is_given_up_once_another_waits() {
        let (_, [mut first, mut second]) = shares(WHOLE);
        assert_eq!(fill(&mut first, WHOLE), WHOLE);
        assert!(!is_given_up(&mut first, None, [0; 4]).await, "none waits");
        assert!(fill(&mut second, WHOLE) < WHOLE && second.is_waiting());
        assert!(is_given_up(&mut first, None, [0; 4]).await);
        assert!(is_given_up(&mut first, None, [1; 4]).await);
        assert!(!is_given_up(&mut first, None, [0, 0, 0, FREE]).await);
        assert!(!is_given_up(&mut first, None, [0, FREE, 0, 0]).await);
        assert!(!is_given_up(&mut second, None, [0; 4]).await, "it is not its worker's turn");
        // The same for a frame that is complete, and kept.
        let kept = first.take_memory();
        assert!(!is_given_up(&mut first, Some(&kept), [0, 0, 0, FREE]).await);
        assert!(is_given_up(&mut first, Some(&kept), [0; 4]).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_does_not_use_up_its_time_while_its_answer_waits_for_memory() {
        let (_, [mut first, mut second]) = shares(WHOLE);
        fill(&mut first, WHOLE);
        fill(&mut second, WHOLE);
        second.begin();
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(second.waited(), Duration::from_secs(5));
        drop(first);
        assert_eq!(fill(&mut second, WHOLE), WHOLE);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(second.waited(), Duration::from_secs(5));
        second.begin();
        assert_eq!(second.waited(), Duration::ZERO);
    }

    #[test]
    fn a_buffer_is_kept_if_it_is_small_and_counts_until_its_connection_closes() {
        let (budget, [mut one, mut other]) = shares(64 * MB);
        for frame in [2 * MB, MB, 2 * MB] {
            assert_eq!(fill(&mut one, frame), frame);
            assert!(one.keeps_buffer_of(frame));
        }
        assert_eq!(budget.shared.load(Relaxed), 2 * MB - FREE);
        assert_eq!(fill(&mut other, 3 * MB), 3 * MB);
        assert!(!other.keeps_buffer_of(3 * MB));
        let frame = other.take_memory();
        assert!(!other.has_memory());
        assert_eq!(budget.shared.load(Relaxed), 5 * MB - 2 * FREE, "as long as the frame is held");
        drop(frame);
        drop(one);
        assert_eq!(budget.shared.load(Relaxed), 0);
    }

    #[test]
    fn a_frame_larger_than_the_budget_fits_if_frames_may_be_so_large() {
        let (_, mut shares) = shares::<4>(300 * MB);
        assert_eq!(fill(&mut shares[0], 300 * MB), 300 * MB);
    }
}
