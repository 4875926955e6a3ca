//! The ids of streams: 128 random bits in the URL-safe alphabet of base64, so that no caller of RPC guesses one.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::os::random;

const BYTES: usize = 16;

/// The characters of an id.
const TEXT: usize = 22;

/// The id of one stream.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StreamId([u8; BYTES]);

impl StreamId {
    /// Returns an id that no other stream has.
    pub fn random() -> Self {
        Self(random::bytes())
    }

    /// Reads an id; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; BYTES];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        (text.len() == TEXT && length == BYTES).then_some(Self(bytes))
    }

    /// A number below `shards`, which has to be a power of two.
    pub(super) fn shard(self, shards: usize) -> usize {
        usize::from(self.0[0]) & (shards - 1)
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; TEXT];
        // It has the length of the text.
        let _ = URL_SAFE_NO_PAD.encode_slice(self.0, &mut text);
        f.write_str(str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn an_id_is_read_as_it_was_written_and_nothing_else_is_an_id() {
        let id = StreamId::random();
        let text = id.to_string();
        assert_eq!(text.len(), TEXT);
        assert_eq!(StreamId::parse(&text), Some(id));
        for wrong in [
            "",
            "a",
            &text[1..],
            &format!("{text}A"),
            &format!("{text}=="),
            &"+".repeat(TEXT),
            &"é".repeat(11),
        ] {
            assert_eq!(StreamId::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn ids_differ() {
        let ids: HashSet<_> = (0..1000).map(|_| StreamId::random()).collect();
        assert_eq!(ids.len(), 1000);
        let shards: HashSet<_> = ids.iter().map(|id| id.shard(16)).collect();
        assert_eq!(shards.len(), 16);
    }
}
