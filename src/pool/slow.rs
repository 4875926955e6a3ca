//! The slow log: requests that have kept their worker for longer than `pool.slow_after`, logged while they run.
//!
//! The actor looks from time to time; no request has a timer. A request whose caller has gone is watched until its worker is done with it.
//! Streams are not watched once they are open.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tracing::warn;

use super::recent::Slow;
use crate::request_type::RequestType;
use crate::worker::{Doing, Status, Tag};

/// At most one request is logged in this time.
const PACE: Duration = Duration::from_secs(1);

/// The shortest and the longest time between two looks.
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(1);

/// Says what a request is about. It is kept as long as the request runs, and asked only if that is slow.
pub trait Describe: fmt::Debug + Send + Sync {
    /// What the request is about.
    fn describe(&self) -> Description;
}

/// What a request is about, for people to read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Description {
    /// Its type.
    pub kind: String,
    /// The method of an RPC.
    pub method: Option<String>,
    /// Its channel.
    pub channel: Option<String>,
    /// The user.
    pub user: Option<String>,
    /// The trace that it belongs to.
    pub trace_id: Option<String>,
}

/// What is left of a request whose caller has gone.
impl Describe for Description {
    fn describe(&self) -> Description {
        self.clone()
    }
}

/// The requests of a pool that has a slow log.
#[derive(Debug)]
pub(super) struct Watch {
    after: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// In the order in which they got their workers.
    running: BTreeMap<u64, Running>,
    next: u64,
    /// Slow ones that have ended and were not logged.
    missed: u64,
    logged: Option<Instant>,
}

#[derive(Debug)]
struct Running {
    status: Arc<Status>,
    tag: Tag,
    details: Option<Arc<dyn Describe>>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Quick,
    Slow,
    Logged,
}

/// Watches a request until it is dropped.
#[derive(Debug)]
pub(super) struct Watched {
    watch: Arc<Watch>,
    number: u64,
}

/// A slow request to be logged.
#[derive(Debug)]
pub(super) struct Found {
    status: Arc<Status>,
    kind: RequestType,
    details: Option<Arc<dyn Describe>>,
    took: Duration,
    /// Whether it is the oldest one of its worker, whose place in the code a worker with several tells.
    is_oldest: bool,
    /// Others that are slow, and were not logged yet.
    others: usize,
    /// Slow ones that have ended meanwhile, and were not logged.
    missed: u64,
}

impl Watch {
    /// Watches for requests that take longer than this; `None` if that is zero.
    pub(super) fn new(after: Duration) -> Option<Arc<Self>> {
        (!after.is_zero()).then(|| Arc::new(Self { after, state: Mutex::default() }))
    }

    /// How often to look.
    pub(super) fn interval(&self) -> Duration {
        (self.after / 4).clamp(SHORTEST, LONGEST)
    }

    /// A worker has got this request.
    pub(super) fn begin(
        self: &Arc<Self>,
        status: &Arc<Status>,
        tag: Tag,
        details: Option<Arc<dyn Describe>>,
    ) -> Watched {
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        let running = Running { status: Arc::clone(status), tag, details, stage: Stage::Quick };
        state.running.insert(number, running);
        Watched { watch: Arc::clone(self), number }
    }

    /// Returns a request to be logged, if there is one and its time has come.
    pub(super) fn find(&self, now: Instant) -> Option<Found> {
        let mut state = self.state();
        let is_slow = |running: &&mut Running| now.saturating_duration_since(running.tag.since) >= self.after;
        for running in state.running.values_mut().take_while(is_slow) {
            if running.stage == Stage::Quick {
                running.stage = Stage::Slow;
            }
        }
        if state.logged.is_some_and(|logged| now.saturating_duration_since(logged) < PACE) {
            return None;
        }
        let others = state.running.values().filter(|running| running.stage == Stage::Slow).count();
        let found = state.running.values_mut().find(|running| running.stage == Stage::Slow)?;
        found.stage = Stage::Logged;
        let (status, details) = (Arc::clone(&found.status), found.details.clone());
        let Tag { kind, since } = found.tag;
        state.logged = Some(now);
        let oldest = state.running.values().find(|running| Arc::ptr_eq(&running.status, &status));
        let is_oldest = oldest.is_some_and(|oldest| oldest.tag.since == since);
        Some(Found {
            status,
            kind,
            details,
            took: now.saturating_duration_since(since),
            is_oldest,
            others: others - 1,
            missed: std::mem::take(&mut state.missed),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    /// The caller has gone, and the memory of the request with it: of its details, only the texts for the log are kept.
    pub(super) fn keep_only_texts(&self) {
        let find = |state: &mut State| state.running.get_mut(&self.number)?.details.clone();
        let Some(details) = find(&mut self.watch.state()) else { return };
        let texts: Arc<dyn Describe> = Arc::new(details.describe());
        if let Some(running) = self.watch.state().running.get_mut(&self.number) {
            running.details = Some(texts);
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let ended = {
            let mut state = self.watch.state();
            let ended = state.running.remove(&self.number);
            state.missed += u64::from(ended.as_ref().is_some_and(|ended| ended.stage == Stage::Slow));
            ended
        };
        drop(ended);
    }
}

impl Found {
    /// Looks at what its worker is doing, and logs it with the pool's name, if it has one. Returns what is kept of it.
    pub(super) async fn log(self, pool: Option<&str>) -> Slow {
        let Self { status, kind, details, took, is_oldest, others, missed } = self;
        let doing = Doing::of(&status, is_oldest).await;
        let unknown = || Description { kind: kind.name().to_owned(), ..Description::default() };
        let Description { kind, method, channel, user, trace_id } =
            details.map_or_else(unknown, |details| details.describe());
        let pid = status.pid();
        let backtrace = doing.backtrace.as_ref();
        warn!(
            target: "server", pid, pool, r#type = kind, method, channel, user, trace_id,
            running = format!("{took:.1?}"),
            state = doing.state, wchan = doing.wchan, syscall = doing.syscall,
            place = backtrace.map(|backtrace| &*backtrace.place),
            stack = backtrace.map(|backtrace| &*backtrace.stack),
            stderr = Some(&*doing.last_words).filter(|words| !words.is_empty()),
            others = Some(others).filter(|count| *count > 0),
            suppressed = Some(missed).filter(|count| *count > 0),
            "slow request"
        );
        let doing = doing.to_string();
        Slow { at: SystemTime::now(), pid, kind, method, channel, user, trace_id, took, doing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(watch: &Arc<Watch>) -> Watched {
        begin_on(watch, &Arc::new(Status::any()), None)
    }

    fn begin_on(watch: &Arc<Watch>, status: &Arc<Status>, details: Option<Arc<dyn Describe>>) -> Watched {
        watch.begin(status, Tag { kind: RequestType::of("rpc"), since: Instant::now() }, details)
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_oldest_request_of_a_worker_is_asked_for_its_place() {
        let watch = Watch::new(PACE).unwrap();
        let (one, another) = (Arc::new(Status::any()), Arc::new(Status::any()));
        let mut running = Vec::new();
        for status in [&one, &one, &another] {
            running.push(begin_on(&watch, status, None));
            tokio::time::advance(PACE).await;
        }
        let mut found = Vec::new();
        for _ in &running {
            found.extend(watch.find(Instant::now()).map(|found| found.is_oldest));
            tokio::time::advance(PACE).await;
        }
        assert_eq!(found, [true, false, true]);
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_request_whose_caller_has_gone_only_the_texts_are_kept() {
        #[derive(Debug)]
        struct Message(Arc<[u8]>);

        impl Describe for Message {
            fn describe(&self) -> Description {
                Description { kind: self.0.len().to_string(), ..Description::default() }
            }
        }

        let watch = Watch::new(PACE).unwrap();
        let message: Arc<[u8]> = Arc::from([0; 64]);
        let details: Arc<dyn Describe> = Arc::new(Message(Arc::clone(&message)));
        let watched = begin_on(&watch, &Arc::new(Status::any()), Some(details));
        assert_eq!(Arc::strong_count(&message), 2);
        watched.keep_only_texts();
        assert_eq!(Arc::strong_count(&message), 1);
        tokio::time::advance(PACE).await;
        assert_eq!(watch.find(Instant::now()).unwrap().details.unwrap().describe().kind, "64");
    }

    #[tokio::test(start_paused = true)]
    async fn at_most_one_slow_request_a_second_is_found_and_the_others_are_counted() {
        assert!(Watch::new(Duration::ZERO).is_none());
        let watch = Watch::new(Duration::from_secs(2)).unwrap();
        let mut running: Vec<Watched> = (0..4).map(|_| begin(&watch)).collect();
        let find =
            || watch.find(Instant::now()).map(|found| (found.took.as_secs(), found.others, found.missed));
        assert_eq!(find(), None);
        tokio::time::advance(Duration::from_secs(2)).await;
        running.push(begin(&watch));
        assert_eq!(find(), Some((2, 3, 0)));
        assert_eq!(find(), None);
        // The logged one and one of the others end.
        running.drain(..2);
        tokio::time::advance(PACE).await;
        assert_eq!(find(), Some((3, 1, 1)));
        tokio::time::advance(PACE).await;
        assert_eq!(find(), Some((4, 1, 0)), "another one has become slow");
        tokio::time::advance(PACE).await;
        assert_eq!(find(), Some((3, 0, 0)));
        tokio::time::advance(PACE).await;
        assert_eq!(find(), None);
        drop(running);
        assert!(watch.state().running.is_empty());
    }
}
