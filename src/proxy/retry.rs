//! What a client that retries by itself is advised to do about a failed call: `grpc-retry-pushback-ms`, as gRFC A6 defines it.
//!
//! A client's retry policy lists codes, and a code does not say whether a worker has seen the request. This header does: -1 forbids a retry
//! whatever the policy lists, and a number is the time until the next attempt. Clients heed it in answers without a message only, which all
//! failures are.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use tonic::Status;
use tonic::metadata::MetadataValue;

/// The header.
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// When a call may be repeated that was refused because of overload, in milliseconds. Clients wait exactly as long as they are advised to, so
/// the times are spread: calls that were refused together do not come back together.
const SOONEST: u32 = 100;
const LATEST: u32 = 1100;

/// What a client may do about a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    /// Nothing: a worker may have seen the request.
    Never,
    /// Repeat it at once: no worker has seen it, and another bridge can take it.
    Now,
    /// Repeat it after a while: no worker has seen it, since there are too many calls.
    Later,
}

impl Retry {
    /// Adds the advice to a status, in place of any that it has.
    pub(super) fn advised(self, mut status: Status) -> Status {
        let value = match self {
            Self::Never => MetadataValue::from_static("-1"),
            Self::Now => MetadataValue::from_static("0"),
            Self::Later => MetadataValue::from(spread(&REFUSED)),
        };
        status.metadata_mut().insert(PUSHBACK, value);
        status
    }
}

/// Calls that were advised to come back later.
static REFUSED: AtomicU32 = AtomicU32::new(0);

/// Returns the next of evenly spread times: multiples of the golden ratio fall into the largest gap that is left.
fn spread(count: &AtomicU32) -> u32 {
    const GOLDEN: u32 = 0x9e37_79b9;
    let turn = count.fetch_add(1, Relaxed).wrapping_mul(GOLDEN);
    SOONEST + turn / (u32::MAX / (LATEST - SOONEST) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_were_refused_together_come_back_evenly_spread() {
        let count = AtomicU32::new(0);
        let mut tenths = [0; 10];
        for _ in 0..1000 {
            tenths[((spread(&count) - SOONEST) / 100) as usize] += 1;
        }
        assert!(tenths.iter().all(|calls| (95..=105).contains(calls)), "{tenths:?}");
    }

    #[test]
    fn the_last_advice_counts() {
        let status = Retry::Never.advised(Retry::Later.advised(Status::resource_exhausted("")));
        let values: Vec<_> = status.metadata().get_all(PUSHBACK).iter().collect();
        assert_eq!(values, ["-1"]);
    }
}
