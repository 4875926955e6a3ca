//! `lock`: locks shared by all workers.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::compat::Compat;
use crate::rpc::codec::Shape;
use crate::rpc::locks::{Claim, LimitReached, Mode};
use crate::rpc::method::Method;
use crate::rpc::services::Services;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LockRequest {
    resource: String,
    id: String,
    /// Microseconds; without it, or below one, the lock does not expire.
    ttl: Option<i64>,
    /// Microseconds; without it, or below one, the call does not wait.
    wait: Option<i64>,
}

/// The longest time in microseconds: RoadRunner counts in nanoseconds.
const MAX_MICROS: i64 = i64::MAX / 1000;

/// How long a call without a `wait` waits, under RoadRunner 3.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

#[derive(Debug, Serialize)]
struct LockResponse {
    ok: bool,
}

#[derive(Debug, thiserror::Error)]
enum LockError {
    #[error("empty ID is not allowed")]
    EmptyId,
    /// Under RoadRunner 3; before, a negative time counts as absent.
    #[error("{0} must be between 0 and {MAX_MICROS} microseconds")]
    OutOfRange(&'static str),
    #[error(transparent)]
    LimitReached(#[from] LimitReached),
}

pub(super) fn methods() -> Vec<(&'static str, Method)> {
    let at_once = |checked: &'static [Checked], run: fn(&Services, &LockRequest) -> bool| {
        method(move |services, request| async move {
            check(&request, checked, services.compat)?;
            Ok::<_, LockError>(LockResponse { ok: run(&services, &request) })
        })
    };
    vec![
        // A caller that has disconnected cannot learn that it holds the lock.
        ("lock.Lock", method(|services, request| lock(services, request, Mode::Write)).until_hangup()),
        ("lock.LockRead", method(|services, request| lock(services, request, Mode::Read)).until_hangup()),
        (
            "lock.Release",
            at_once(&[Checked::Id], |services, request| {
                services.locks.release(&request.resource, &request.id)
            }),
        ),
        (
            "lock.ForceRelease",
            at_once(&[], |services, request| services.locks.force_release(&request.resource)),
        ),
        (
            "lock.Exists",
            at_once(&[Checked::Id], |services, request| {
                services.locks.exists(&request.resource, &request.id)
            }),
        ),
        (
            "lock.UpdateTTL",
            at_once(&[Checked::Id, Checked::Ttl], |services, request| {
                services.locks.update_ttl(&request.resource, &request.id, request.ttl.and_then(span))
            }),
        ),
    ]
}

fn method<F: Future<Output = Result<LockResponse, LockError>> + Send + 'static>(
    run: impl Fn(Arc<Services>, LockRequest) -> F + Clone + Send + Sync + 'static,
) -> Method {
    Method::new(Shape::message("causeway.rpc.LockRequest"), Shape::message("causeway.rpc.LockResponse"), run)
}

async fn lock(services: Arc<Services>, request: LockRequest, mode: Mode) -> Result<LockResponse, LockError> {
    check(&request, &[Checked::Id, Checked::Ttl], services.compat)?;
    let ttl = request.ttl.and_then(span);
    let shortest = if services.compat.is_v3() { SHORTEST_WAIT } else { Duration::ZERO };
    let wait = request.wait.and_then(span).unwrap_or(shortest);
    let claim = Claim { resource: request.resource, id: request.id, mode, ttl, wait };
    Ok(LockResponse { ok: services.locks.lock(claim).await? })
}

/// A part of a request that a method checks, besides `wait`.
#[derive(Debug, PartialEq)]
enum Checked {
    Id,
    Ttl,
}

/// Checks what is wrong under this RoadRunner, in its order.
fn check(request: &LockRequest, checked: &[Checked], compat: Compat) -> Result<(), LockError> {
    if checked.contains(&Checked::Id) && request.id.is_empty() {
        return Err(LockError::EmptyId);
    }
    let is_wrong = |micros: Option<i64>| {
        compat.is_v3() && micros.is_some_and(|micros| !(0..=MAX_MICROS).contains(&micros))
    };
    if checked.contains(&Checked::Ttl) && is_wrong(request.ttl) {
        return Err(LockError::OutOfRange("ttl"));
    }
    if is_wrong(request.wait) { Err(LockError::OutOfRange("wait")) } else { Ok(()) }
}

/// A time span, unless it is zero or negative.
fn span(micros: i64) -> Option<Duration> {
    u64::try_from(micros).ok().filter(|micros| *micros > 0).map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_bounds_under_roadrunner_3_alone_and_the_id_is_checked_first() {
        let both = [Checked::Id, Checked::Ttl];
        let request = |id: &str, ttl, wait| LockRequest { resource: "r".into(), id: id.into(), ttl, wait };
        let text = |request: &LockRequest, checked: &[Checked], compat| {
            check(request, checked, compat).map_err(|error| error.to_string())
        };
        let out_of_range =
            |name: &str| Err(format!("{name} must be between 0 and 9223372036854775 microseconds"));
        for (ttl, wait, expected) in [
            (None, None, Ok(())),
            (Some(0), Some(MAX_MICROS), Ok(())),
            (Some(-1), Some(-1), out_of_range("ttl")),
            (Some(MAX_MICROS + 1), None, out_of_range("ttl")),
            (None, Some(i64::MIN), out_of_range("wait")),
        ] {
            assert_eq!(text(&request("a", ttl, wait), &both, Compat::V2025), Ok(()));
            assert_eq!(text(&request("a", ttl, wait), &both, Compat::V3), expected);
            assert_eq!(
                text(&request("", ttl, wait), &both, Compat::V3),
                Err("empty ID is not allowed".into())
            );
        }
        // Without a time to live of its own, a method looks at `wait` only.
        assert_eq!(text(&request("", Some(-1), None), &[], Compat::V3), Ok(()));
        assert_eq!(text(&request("", Some(-1), Some(-1)), &[], Compat::V3), out_of_range("wait"));
    }
}
