//! How the bodies of requests and answers are encoded.

use super::header::Flags;

/// The encoding of the bodies that a worker reads and writes. Contexts are JSON in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// Centrifugo's protobuf messages, as they are.
    #[default]
    Proto,
    /// The same messages as JSON, in the form of Centrifugo's HTTP proxy.
    Json,
}

impl Codec {
    /// The codec that a worker calls so.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Proto, Self::Json].into_iter().find(|codec| codec.name() == name)
    }

    /// Its name in handshakes and settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Proto => "proto",
            Self::Json => "json",
        }
    }

    /// The flag of frames with such bodies.
    pub(super) fn flag(self) -> Flags {
        match self {
            Self::Proto => Flags::PROTO,
            Self::Json => Flags::JSON,
        }
    }
}
