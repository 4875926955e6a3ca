//! The RoadRunner that this bridge stands in for, as workers, operators and clients see it.
//!
//! What only one of its versions has is understood under both. [`Compat`] chooses where both cannot be true at once: the shape of log lines
//! and what channels inherit, the texts of RPC errors, the rules of locks, the bounds of `dynamic_allocator`, whether included files or `-o`
//! take precedence, and the version that workers and clients read.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{self, Deserializer};

/// The name of its plugin for Centrifugo: the mode that workers read from `RR_MODE`, and the name of the default pool.
pub(crate) const PLUGIN: &str = "centrifuge";

/// The variable that says which RoadRunner it is, unless the configuration does.
pub(crate) const VARIABLE: &str = "CAUSEWAY_COMPAT";

/// A major version of RoadRunner: `causeway.compat`. It is read in one place, `config::load`, and handed on from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compat {
    /// RoadRunner 2025.1 and its predecessors.
    #[default]
    V2025,
    /// RoadRunner 3.
    V3,
}

impl Compat {
    /// The version of this RoadRunner: workers read it from `RR_VERSION`, callers of RPC from `rpc.Version`.
    pub(crate) const fn version(self) -> &'static str {
        match self {
            Self::V2025 => "2025.1.15",
            Self::V3 => "3.2.0",
        }
    }

    /// Whether this is RoadRunner 3.
    pub(crate) const fn is_v3(self) -> bool {
        matches!(self, Self::V3)
    }

    /// The other one.
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::V2025 => Self::V3,
            Self::V3 => Self::V2025,
        }
    }

    /// The one that [`VARIABLE`] names in this process's environment, for what is printed before a configuration is read.
    pub(crate) fn of_process() -> Self {
        std::env::var(VARIABLE).ok().and_then(|text| text.parse().ok()).unwrap_or_default()
    }
}

/// A text that names no version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 2025 or 3")]
pub struct UnknownVersion;

impl FromStr for Compat {
    type Err = UnknownVersion;

    fn from_str(text: &str) -> Result<Self, UnknownVersion> {
        match text {
            "2025" => Ok(Self::V2025),
            "3" => Ok(Self::V3),
            _ => Err(UnknownVersion),
        }
    }
}

impl<'de> Deserialize<'de> for Compat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|expected| de::Error::custom(format!("{expected}, found \"{text}\"")))
    }
}

impl fmt::Display for Compat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V2025 => "2025",
            Self::V3 => "3",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_written_as_it_is_read() {
        for compat in [Compat::V2025, Compat::V3] {
            assert_eq!(compat.to_string().parse(), Ok(compat));
            assert_eq!(compat.other().other(), compat);
        }
        for text in ["", "2024", "v3", "3.0", "2025.1"] {
            assert_eq!(text.parse::<Compat>(), Err(UnknownVersion), "{text}");
        }
    }
}
