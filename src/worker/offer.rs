//! What a worker offers in its handshake, and whether it can be served.

use nix::sys::signal::Signal;

use super::backtrace::Bell;
use crate::goridge::{Codec, Greeting};

/// The variables with the protocols and codecs that a worker may offer.
pub(super) const PROTOCOLS: (&str, &str) = ("CAUSEWAY_PROTOCOLS", "1,2");
pub(super) const CODECS: (&str, &str) = ("CAUSEWAY_CODECS", "proto,json");

/// The variable with the signal on which a worker may print where in its code it is, where that is of interest.
pub(super) const BACKTRACE: (&str, &str) = ("CAUSEWAY_BACKTRACE", "SIGUSR2");

/// The most requests that a worker may have in flight.
const MAX_CONCURRENCY: u64 = 65_535;

/// Bytes of a worker's name that are kept, at most.
const MAX_NAME: usize = 100;

/// What a worker offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) pid: u32,
    pub(super) codec: Codec,
    /// How many requests it takes at a time, if it numbers them.
    pub(super) concurrency: Option<usize>,
    /// The name and version of its library, for the log.
    pub(super) name: Option<String>,
    /// How it is asked where in its code it is.
    pub(super) bell: Option<Bell>,
}

/// A worker offers what cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unsupported {
    #[error("it offers protocol {0}, but this server speaks {speaks}", speaks = PROTOCOLS.1)]
    Protocol(u64),
    #[error("it offers {} requests at a time; protocol 2 allows 1 to {MAX_CONCURRENCY}, protocol 1 one", .0)]
    Concurrency(u64),
    #[error("it offers the codec \"{}\", but this server knows proto and json", .0.escape_debug())]
    Codec(String),
    #[error("it offers a backtrace on \"{}\", but this server sends {sends}", .0.escape_debug(), sends = BACKTRACE.1)]
    Backtrace(String),
}

impl Offer {
    /// Reads a greeting; `codec` is that of workers which name none.
    ///
    /// # Errors
    /// If it offers what cannot be served.
    pub(super) fn new(greeting: Greeting, codec: Codec) -> Result<Self, Unsupported> {
        let Greeting { pid, protocol, concurrency, codec: named, name, backtrace, thread, .. } = greeting;
        let concurrency = match (protocol.unwrap_or(1), concurrency.unwrap_or(1)) {
            (1, 1) => None,
            (2, some @ 1..=MAX_CONCURRENCY) => usize::try_from(some).ok(),
            (1 | 2, some) => return Err(Unsupported::Concurrency(some)),
            (other, _) => return Err(Unsupported::Protocol(other)),
        };
        let codec = match named {
            Some(named) => Codec::named(&named).ok_or(Unsupported::Codec(cut(named)))?,
            None => codec,
        };
        let bell = match backtrace {
            Some(signal) if signal == BACKTRACE.1 => Some(Bell { signal: Signal::SIGUSR2, thread }),
            Some(signal) => return Err(Unsupported::Backtrace(cut(signal))),
            None => None,
        };
        Ok(Self { pid, codec, concurrency, name: name.map(cut), bell })
    }
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_NAME));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(greeting: Greeting) -> Result<Offer, Unsupported> {
        Offer::new(Greeting { pid: 7, ..greeting }, Codec::Json)
    }

    #[test]
    fn a_worker_that_sends_its_pid_alone_has_the_pool_s_codec() {
        let plain = Offer { pid: 7, codec: Codec::Json, concurrency: None, name: None, bell: None };
        assert_eq!(offer(Greeting::default()), Ok(plain));
    }

    #[test]
    fn a_worker_s_own_codec_counts() {
        let named = |codec: &str| offer(Greeting { codec: Some(codec.into()), ..Greeting::default() });
        assert_eq!(named("proto").map(|offer| offer.codec), Ok(Codec::Proto));
        assert_eq!(named("json").map(|offer| offer.codec), Ok(Codec::Json));
        let refused = named("xml").unwrap_err().to_string();
        assert_eq!(refused, "it offers the codec \"xml\", but this server knows proto and json");
    }

    #[test]
    fn what_cannot_be_served_is_refused() {
        let offers = |protocol, concurrency| {
            let offer = offer(Greeting { protocol, concurrency, ..Greeting::default() });
            offer.map(|offer| offer.concurrency).map_err(|refused| refused.to_string())
        };
        assert_eq!(offers(Some(1), None), Ok(None));
        assert_eq!(offers(Some(1), Some(1)), Ok(None));
        assert_eq!(offers(Some(2), None), Ok(Some(1)));
        assert_eq!(offers(Some(2), Some(MAX_CONCURRENCY)), Ok(Some(65_535)));
        assert_eq!(offers(Some(3), None), Err("it offers protocol 3, but this server speaks 1,2".into()));
        for (protocol, concurrency) in [(None, 2), (Some(1), 2), (Some(2), 0), (Some(2), MAX_CONCURRENCY + 1)]
        {
            let refused = offers(protocol, Some(concurrency)).unwrap_err();
            assert!(refused.starts_with(&format!("it offers {concurrency} requests at a time")), "{refused}");
        }
    }

    #[test]
    fn a_long_name_is_cut() {
        let named = offer(Greeting { name: Some("ä".repeat(1000)), ..Greeting::default() }).unwrap();
        assert_eq!(named.name.unwrap().len(), MAX_NAME);
    }
}
