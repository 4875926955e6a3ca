//! The script that executes every operation, what it is called with, and what it returns.
//!
//! Keys, members, scores and channels are those of RoadRunner 3, so that it and Causeway exclude each other.

use std::sync::LazyLock;
use std::time::Duration;

use redis::{Cmd, Script, Value, cmd, from_redis_value};

use super::slot;
use crate::rpc::locks::claim::{Claim, Mode, Token};

/// In front of a resource's name.
const PREFIX: &str = "rr:lock:";

/// The key of the last token, which only Causeway has.
const TOKEN: &str = "rr:fence";

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("script.lua")));

/// One call of the script.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) operation: &'static str,
    /// The resource's key, which is its channel as well.
    pub(super) key: String,
    pub(super) id: String,
    ttl: Option<Duration>,
    only_own: bool,
    is_fenced: bool,
}

/// What the script returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) is_done: bool,
    delay: i64,
    extra: i64,
}

/// What a refused claim may hope for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prospect {
    /// Nothing.
    None,
    /// The first lock expires after this time; `None`: when it is released.
    After(Option<Duration>),
}

impl Call {
    pub(super) fn new(operation: &'static str, resource: &str, id: &str) -> Self {
        let key = format!("{PREFIX}{resource}");
        Self { operation, key, id: id.to_owned(), ttl: None, only_own: false, is_fenced: false }
    }

    /// The call for a claim. One that must not overtake others is granted only what its own id has a part of already.
    pub(super) fn claim(claim: &Claim, only_own: bool) -> Self {
        let operation = match claim.mode {
            Mode::Read => "read",
            Mode::Write => "lock",
        };
        let call = Self::new(operation, &claim.resource, &claim.id).with_ttl(claim.ttl);
        Self { only_own, is_fenced: claim.is_fenced, ..call }
    }

    /// The call that takes back what a claim may have been granted.
    pub(super) fn undo(claim: &Claim) -> Self {
        let operation = match claim.mode {
            Mode::Read => "undo read",
            Mode::Write => "undo lock",
        };
        Self::new(operation, &claim.resource, &claim.id)
    }

    pub(super) fn with_ttl(self, ttl: Option<Duration>) -> Self {
        Self { ttl, ..self }
    }

    /// The command, with the script's hash or its text. In a cluster, the token's key is one of the same slot.
    pub(super) fn command(&self, with_text: bool, in_cluster: bool) -> Cmd {
        let mut command = if with_text { cmd("EVAL") } else { cmd("EVALSHA") };
        command.arg(if with_text { include_str!("script.lua") } else { SCRIPT.get_hash() });
        if self.is_fenced {
            command.arg(2).arg(&self.key).arg(token_key(&self.key, in_cluster));
        } else {
            command.arg(1).arg(&self.key);
        }
        let ttl = self.ttl.map_or(0, |ttl| u64::try_from(ttl.as_micros()).unwrap_or(u64::MAX));
        command.arg(self.operation).arg(&self.id).arg(ttl).arg(if self.only_own { "own" } else { "" });
        command
    }
}

/// One key holds the last token of all resources, so that tokens increase for each of them and no key is left behind for a name. A cluster
/// has one for each slot.
fn token_key(key: &str, in_cluster: bool) -> String {
    if in_cluster { format!("{TOKEN}:{{{}}}", slot::tag(slot::of(key.as_bytes()))) } else { TOKEN.to_owned() }
}

impl Reply {
    pub(super) fn parse(value: Value) -> Option<Self> {
        let (done, delay, extra) = from_redis_value::<(i64, i64, i64)>(value).ok()?;
        Some(Self { is_done: done == 1, delay, extra })
    }

    /// The token of a granted claim.
    pub(super) fn token(&self) -> Token {
        self.extra.unsigned_abs()
    }

    /// Whether the id of a refused claim is among the readers.
    pub(super) fn is_of_reader(&self) -> bool {
        self.extra == 1
    }

    pub(super) fn prospect(&self) -> Prospect {
        match self.delay {
            -2 => Prospect::None,
            delay => Prospect::After(u64::try_from(delay).ok().map(Duration::from_micros)),
        }
    }
}
