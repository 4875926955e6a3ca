//! The event `subrefresh`, for workers that wait for it under another name.
//!
//! PHP's package roadrunner/centrifugo knows it up to version 2.3 as `sub_refresh`, a type that no RoadRunner sends: it takes the event for
//! an invalid one, which the usual loop does not answer. The fence says so. So the first time that a pool does not answer the event, it gets it once
//! more under the other name. If it answers then, it gets this name first from now on. If it does not, or has answered the usual name before, a
//! handler that does not answer has its reasons, and is not asked twice.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tracing::info;

use super::Backend;
use crate::pools::{Answered, Error, Request, Timings};

/// The type of the event.
pub(super) const KIND: &str = "subrefresh";

/// The type in a context, which no other header can have the name of, and the one that the package waits for.
const USUAL: &[u8] = br#""type":["subrefresh"]"#;
const RENAMED: &[u8] = br#""type":["sub_refresh"]"#;

/// The name under which a pool answers the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    Usual,
    Renamed,
}

/// What is known of each pool, by its number.
#[derive(Debug, Default)]
pub(super) struct SubRefresh {
    names: Mutex<HashMap<usize, Name>>,
}

impl SubRefresh {
    /// Passes the event to the backend.
    pub(super) async fn call<B: Backend>(
        &self,
        backend: &B,
        request: &Request<'_>,
        timings: &mut Timings,
    ) -> Result<Answered, Error> {
        let pool = request.pool;
        let known = self.name(pool);
        let renamed = renamed(request.context);
        let (first, other) = match known {
            Some(Name::Renamed) => (&renamed[..], Name::Usual),
            _ => (request.context, Name::Renamed),
        };
        let answer = backend.call(&Request { context: first, ..request.clone() }, timings).await;
        match (known, &answer) {
            (None, Ok(_)) => self.settle(pool, Name::Usual),
            (None | Some(Name::Renamed), Err(Error::NoAnswer { .. })) => {
                let context = if other == Name::Renamed { &renamed[..] } else { request.context };
                let again = backend.call(&Request { context, ..request.clone() }, timings).await;
                if again.is_ok() {
                    self.settle(pool, other);
                } else if known.is_none() {
                    self.settle(pool, Name::Usual);
                }
                return again.or(answer);
            }
            _ => {}
        }
        answer
    }

    fn name(&self, pool: usize) -> Option<Name> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).get(&pool).copied()
    }

    fn settle(&self, pool: usize, name: Name) {
        let before = self.names.lock().unwrap_or_else(PoisonError::into_inner).insert(pool, name);
        if name == Name::Renamed && before != Some(name) {
            info!(
                target: "centrifuge", pool,
                "workers know the event subrefresh as sub_refresh, as roadrunner/centrifugo does up to 2.3"
            );
        }
    }
}

/// The context with the other name.
fn renamed(context: &[u8]) -> Vec<u8> {
    let Some(at) = memchr::memmem::find(context, USUAL) else { return context.to_vec() };
    [&context[..at], RENAMED, &context[at + USUAL.len()..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_type_of_a_context_is_renamed() {
        let context = br#"{"a":["\"type\":[\"subrefresh\"]"],"type":["subrefresh"],"x":["subrefresh"]}"#;
        let expected = br#"{"a":["\"type\":[\"subrefresh\"]"],"type":["sub_refresh"],"x":["subrefresh"]}"#;
        assert_eq!(renamed(context), expected);
        assert_eq!(renamed(b"{}"), b"{}");
    }
}
