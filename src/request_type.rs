//! The types of requests that metrics and logs tell apart: a fixed number of them, since callers choose the names of all others.

use std::fmt;

/// Centrifugo's types, in the order of `pools::TYPES`, then the bridge's own events, then all others.
const NAMES: [&str; 16] = [
    "connect",
    "refresh",
    "subscribe",
    "publish",
    "rpc",
    "subrefresh",
    "notifycacheempty",
    "notifychannelstate",
    "mappublish",
    "mapremove",
    "sharedpollrefresh",
    "subscribeunidirectional",
    "subscribebidirectional",
    "streampublish",
    "streamend",
    "other",
];

/// The type of a request: one that Centrifugo or the bridge itself sends, or [`RequestType::OTHER`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RequestType(u8);

impl RequestType {
    /// How many there are.
    pub const COUNT: usize = NAMES.len();

    /// Every type of another name.
    pub const OTHER: Self = Self(15);

    /// Returns the type of this name, as workers read it.
    pub fn of(name: &str) -> Self {
        let found = (0..Self::OTHER.0).find(|number| NAMES[usize::from(*number)] == name);
        found.map_or(Self::OTHER, Self)
    }

    /// Returns all types, in the order of their numbers.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..=Self::OTHER.0).map(Self)
    }

    /// Its name in metrics and logs.
    pub fn name(self) -> &'static str {
        NAMES[self.number()]
    }

    /// Its number, less than [`Self::COUNT`].
    pub fn number(self) -> usize {
        usize::from(self.0)
    }

    /// Returns the type of this number.
    pub(crate) fn numbered(number: u8) -> Self {
        Self(number.min(Self::OTHER.0))
    }
}

impl fmt::Debug for RequestType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pools::TYPES;

    #[test]
    fn every_type_of_centrifugo_has_a_name_of_its_own_and_others_share_one() {
        assert_eq!(RequestType::all().count(), RequestType::COUNT);
        for (number, (name, _)) in TYPES.iter().enumerate() {
            let found = RequestType::of(name);
            assert_eq!((found.number(), found.name()), (number, *name));
        }
        assert_eq!(RequestType::of("streamend").name(), "streamend");
        for other in ["", "other", "invented", "Connect"] {
            assert_eq!(RequestType::of(other), RequestType::OTHER);
        }
        assert_eq!(RequestType::OTHER.name(), "other");
    }
}
