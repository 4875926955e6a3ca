//! How many calls a peer may have open at a time: [`CALLS`], and the subscription streams that it has opened.
//!
//! A peer with thousands of streams on a connection would otherwise have no place left for calls. And if the limit were that of both from the
//! beginning, ten times as many calls could wait here, where they take memory, instead of at the peer. So the limit grows with the streams.
//!
//! `h2` sends its settings once and has no way to change this one, though it enforces whatever it began with: it begins with the largest
//! limit. The limits that the peer sees are SETTINGS frames of this module, written when `h2` has flushed, which is between two frames; what
//! the peer acknowledges of them is turned into frames that `h2` ignores. Calls of a peer that exceeds them are refused
//! ([`super::account::Account::is_full`]).

use bytes::{BufMut as _, Bytes, BytesMut};

/// Concurrent calls on one connection; those beyond wait at the peer's side. When a connection ends, `h2` visits all of them, which takes
/// some ten milliseconds.
pub(super) const CALLS: u32 = 10_000;

/// Streams by which the limit is ahead of those that are open, and by which it is changed.
pub(super) const STEP: u32 = 1000;

const SETTINGS: u8 = 4;
const ACK: u8 = 1;

/// `SETTINGS_MAX_CONCURRENT_STREAMS`.
const MAX_CONCURRENT_STREAMS: u16 = 3;

/// A type that no frame has: receivers ignore it.
const UNKNOWN: u8 = 0xfe;

/// Where a frame's header has the type, and behind it the flags.
const KIND: usize = 3;

/// The limits that a peer has been sent.
#[derive(Debug)]
pub(super) struct Concurrency {
    /// Streams that the last limit allows for; nothing has been sent at first.
    streams: Option<u32>,
    /// SETTINGS frames of this module that the peer has not acknowledged.
    unacknowledged: u32,
    /// Whether the peer has acknowledged those of `h2`.
    is_begun: bool,
}

impl Concurrency {
    pub(super) fn new() -> Self {
        Self { streams: None, unacknowledged: 0, is_begun: false }
    }

    /// Returns the limit, and the frame to be sent, if it has to change since so many streams are open.
    pub(super) fn announce(&mut self, open: usize) -> Option<(u32, Bytes)> {
        let open = u32::try_from(open).unwrap_or(u32::MAX - CALLS - 2 * STEP);
        let is_fine = |streams: u32| open + STEP / 2 <= streams && streams <= open + 4 * STEP;
        if self.streams.is_some_and(is_fine) {
            return None;
        }
        let streams = open.next_multiple_of(STEP) + STEP;
        self.streams = Some(streams);
        self.unacknowledged += 1;
        Some((CALLS + streams, frame(CALLS + streams)))
    }

    /// Looks at the header of a frame of the peer, and hides it from `h2` if it acknowledges a frame of this module.
    pub(super) fn hide(&mut self, header: &mut [u8]) {
        let [SETTINGS, flags] = header[KIND..KIND + 2] else { return };
        if flags & ACK == 0 {
            return;
        }
        // They are acknowledged in order, and those of `h2` were the first.
        if std::mem::replace(&mut self.is_begun, true) && self.unacknowledged > 0 {
            self.unacknowledged -= 1;
            header[KIND] = UNKNOWN;
            header[KIND + 1] = 0;
        }
    }
}

fn frame(limit: u32) -> Bytes {
    let mut frame = BytesMut::with_capacity(15);
    frame.put_slice(&[0, 0, 6, SETTINGS, 0]);
    frame.put_u32(0);
    frame.put_u16(MAX_CONCURRENT_STREAMS);
    frame.put_u32(limit);
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit((limit, frame): &(u32, Bytes)) -> u32 {
        assert_eq!((frame.len(), &frame[..11]), (15, &[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3][..]));
        assert_eq!(frame[11..], limit.to_be_bytes());
        *limit
    }

    #[test]
    fn the_limit_leaves_room_for_calls_whatever_streams_are_open() {
        let mut concurrency = Concurrency::new();
        assert_eq!(limit(&concurrency.announce(0).unwrap()), CALLS + 1000);
        let mut frames = 0;
        let mut announced = 1000;
        for open in (0..=50_000).chain((0..50_000).rev()) {
            if let Some(frame) = concurrency.announce(open) {
                frames += 1;
                announced = limit(&frame) - CALLS;
            }
            let open = u32::try_from(open).unwrap();
            assert!((open + 500..=open + 4000).contains(&announced), "{open}: {announced}");
        }
        assert!(frames < 100, "{frames}");
    }

    #[test]
    fn only_the_peer_s_acknowledgements_of_these_frames_are_hidden() {
        let ack = [0, 0, 0, SETTINGS, ACK, 0, 0, 0, 0];
        let hides = |concurrency: &mut Concurrency| {
            let mut header = ack;
            concurrency.hide(&mut header);
            header != ack
        };
        let mut concurrency = Concurrency::new();
        concurrency.announce(0);
        assert!(!hides(&mut concurrency), "that of h2's own");
        assert!(hides(&mut concurrency));
        assert!(!hides(&mut concurrency), "there was none to acknowledge");
        concurrency.announce(5000);
        let mut other = [0, 0, 6, SETTINGS, 0, 0, 0, 0, 0];
        concurrency.hide(&mut other);
        assert_eq!(other[KIND], SETTINGS);
        assert!(hides(&mut concurrency));
    }
}
