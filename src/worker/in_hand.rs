//! What a worker is doing: the requests that it has in hand.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

use crate::request_type::RequestType;

/// A request in hand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tag {
    /// Its type.
    pub(crate) kind: RequestType,
    /// When the worker was leased to it.
    pub(crate) since: Instant,
}

/// All requests that a worker has in hand.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct InHand {
    /// The oldest one.
    pub(crate) oldest: Option<Tag>,
    /// How long they have been in hand, all together.
    pub(crate) total: Duration,
}

/// Reads what a worker with many requests has in hand.
type Read = Box<dyn Fn() -> InHand + Send + Sync>;

/// The requests of one worker. A worker with one at a time writes a single word per request.
pub(super) struct Tags {
    began: Instant,
    /// Microseconds from `began` until the last request, and its type in the lowest byte.
    last: AtomicU64,
    several: OnceLock<Read>,
}

#[cfg(test)]
impl Tag {
    /// Any request.
    pub(super) fn any() -> Self {
        Self { kind: RequestType::of("rpc"), since: Instant::now() }
    }
}

impl InHand {
    /// Adds a request.
    pub(super) fn add(&mut self, tag: Tag, now: Instant) {
        self.total += now.saturating_duration_since(tag.since);
        if self.oldest.is_none_or(|oldest| tag.since < oldest.since) {
            self.oldest = Some(tag);
        }
    }
}

impl Tags {
    pub(super) fn new(began: Instant) -> Self {
        Self { began, last: AtomicU64::new(0), several: OnceLock::new() }
    }

    /// A worker with one request at a time has got this one.
    pub(super) fn set(&self, tag: Tag) {
        let micros = tag.since.saturating_duration_since(self.began).as_micros();
        let micros = u64::try_from(micros).unwrap_or(u64::MAX);
        self.last.store(micros << 8 | tag.kind.number() as u64, Relaxed);
    }

    /// The last request of a worker with one at a time.
    pub(super) fn last(&self) -> Tag {
        let last = self.last.load(Relaxed);
        let [kind, ..] = last.to_le_bytes();
        Tag { kind: RequestType::numbered(kind), since: self.began + Duration::from_micros(last >> 8) }
    }

    /// This worker may have several, which `read` finds.
    pub(super) fn set_several(&self, read: Read) {
        let _ = self.several.set(read);
    }

    /// What a worker with several requests has in hand; `None` for others.
    pub(super) fn several(&self) -> Option<InHand> {
        self.several.get().map(|read| read())
    }
}

impl fmt::Debug for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tags").field("last", &self.last()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_last_request_is_one_word() {
        let tags = Tags::new(Instant::now());
        tokio::time::advance(Duration::from_millis(1500)).await;
        let tag = Tag { kind: RequestType::of("rpc"), since: Instant::now() };
        tags.set(tag);
        assert_eq!((tags.last().kind, tags.last().since), (tag.kind, tag.since));
        assert!(tags.several().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_of_several_requests_is_found() {
        let mut in_hand = InHand::default();
        let since = Instant::now();
        tokio::time::advance(Duration::from_secs(3)).await;
        let now = Instant::now();
        for (kind, age) in [("rpc", 1), ("publish", 3), ("connect", 2)] {
            let since = now - Duration::from_secs(age);
            in_hand.add(Tag { kind: RequestType::of(kind), since }, now);
        }
        assert_eq!(in_hand.oldest.map(|tag| (tag.kind.name(), tag.since)), Some(("publish", since)));
        assert_eq!(in_hand.total, Duration::from_secs(6));
    }
}
