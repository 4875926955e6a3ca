//! What a worker offers in its handshake, and whether it can be served.

use crate::goridge::{Codec, Greeting};

/// The variables with the protocols and codecs that a worker may offer.
pub(super) const PROTOCOLS: (&str, &str) = ("CAUSEWAY_PROTOCOLS", "1");
pub(super) const CODECS: (&str, &str) = ("CAUSEWAY_CODECS", "proto,json");

/// Bytes of a worker's name that are kept, at most.
const MAX_NAME: usize = 100;

/// What a worker offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) pid: u32,
    pub(super) codec: Codec,
    /// The name and version of its library, for the log.
    pub(super) name: Option<String>,
}

/// A worker offers what cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unsupported {
    #[error("it offers protocol {0}, but this server speaks {speaks}", speaks = PROTOCOLS.1)]
    Protocol(u64),
    #[error("it offers the codec \"{}\", but this server knows proto and json", .0.escape_debug())]
    Codec(String),
}

impl Offer {
    /// Reads a greeting; `codec` is that of workers which name none.
    ///
    /// # Errors
    /// If it offers what cannot be served.
    pub(super) fn new(greeting: Greeting, codec: Codec) -> Result<Self, Unsupported> {
        let Greeting { pid, protocol, codec: named, name, .. } = greeting;
        if let Some(protocol) = protocol.filter(|protocol| *protocol != 1) {
            return Err(Unsupported::Protocol(protocol));
        }
        let codec = match named {
            Some(named) => Codec::named(&named).ok_or(Unsupported::Codec(cut(named)))?,
            None => codec,
        };
        Ok(Self { pid, codec, name: name.map(cut) })
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
        assert_eq!(offer(Greeting::default()), Ok(Offer { pid: 7, codec: Codec::Json, name: None }));
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
    fn unknown_protocols_are_refused() {
        let speaks = |protocol| offer(Greeting { protocol: Some(protocol), ..Greeting::default() });
        assert!(speaks(1).is_ok());
        assert_eq!(speaks(3).unwrap_err().to_string(), "it offers protocol 3, but this server speaks 1");
    }

    #[test]
    fn a_long_name_is_cut() {
        let named = offer(Greeting { name: Some("ä".repeat(1000)), ..Greeting::default() }).unwrap();
        assert_eq!(named.name.unwrap().len(), MAX_NAME);
    }
}
