//! `lock`: locks shared by all workers.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::compat::Compat;
use crate::rpc::codec::Shape;
use crate::rpc::locks::{Claim, LockError, Mode, Token};
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
    /// The process whose end releases the lock; 0: none.
    pid: u32,
}

/// The longest time in microseconds: RoadRunner counts in nanoseconds.
const MAX_MICROS: i64 = i64::MAX / 1000;

#[derive(Debug, Serialize)]
struct LockResponse {
    ok: bool,
}

#[derive(Debug, Serialize)]
struct LockFencedResponse {
    ok: bool,
    token: i64,
}

#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error("empty ID is not allowed")]
    EmptyId,
    /// Under RoadRunner 3; before, a negative time counts as absent.
    #[error("{0} must be between 0 and {MAX_MICROS} microseconds")]
    OutOfRange(&'static str),
    #[error(transparent)]
    Lock(#[from] LockError),
}

pub(super) fn methods() -> Vec<(&'static str, Method)> {
    let request = || Shape::message("causeway.rpc.LockRequest");
    let fenced = Method::new(request(), Shape::message("causeway.rpc.LockFencedResponse"), lock_fenced);
    vec![
        // A caller that has disconnected cannot learn that it holds the lock.
        ("lock.Lock", method(|services, request| lock(services, request, Mode::Write)).until_hangup()),
        ("lock.LockRead", method(|services, request| lock(services, request, Mode::Read)).until_hangup()),
        ("lock.LockFenced", fenced.until_hangup()),
        ("lock.Release", method(release)),
        ("lock.ForceRelease", method(force_release)),
        ("lock.Exists", method(exists)),
        ("lock.UpdateTTL", method(update_ttl)),
    ]
}

fn method<F: Future<Output = Result<LockResponse, CallError>> + Send + 'static>(
    run: impl Fn(Arc<Services>, LockRequest) -> F + Clone + Send + Sync + 'static,
) -> Method {
    Method::new(Shape::message("causeway.rpc.LockRequest"), Shape::message("causeway.rpc.LockResponse"), run)
}

async fn lock(services: Arc<Services>, request: LockRequest, mode: Mode) -> Result<LockResponse, CallError> {
    let granted = acquire(&services, request, mode, false).await?;
    Ok(LockResponse { ok: granted.is_some() })
}

async fn lock_fenced(services: Arc<Services>, request: LockRequest) -> Result<LockFencedResponse, CallError> {
    let granted = acquire(&services, request, Mode::Write, true).await?;
    Ok(LockFencedResponse { ok: granted.is_some(), token: granted.unwrap_or(0).cast_signed() })
}

async fn acquire(
    services: &Services,
    request: LockRequest,
    mode: Mode,
    is_fenced: bool,
) -> Result<Option<Token>, CallError> {
    check(&request, &[Checked::Id, Checked::Ttl], services.compat)?;
    let ttl = request.ttl.and_then(span);
    let wait = request.wait.and_then(span).unwrap_or(Duration::ZERO);
    let owner = Some(request.pid).filter(|pid| *pid != 0);
    let claim = Claim { resource: request.resource, id: request.id, mode, ttl, wait, is_fenced };
    Ok(services.locks.lock(claim, owner).await?)
}

async fn release(services: Arc<Services>, request: LockRequest) -> Result<LockResponse, CallError> {
    check(&request, &[Checked::Id], services.compat)?;
    let LockRequest { resource, id, .. } = &request;
    Ok(LockResponse { ok: services.locks.release(resource, id, request.patience()).await? })
}

async fn force_release(services: Arc<Services>, request: LockRequest) -> Result<LockResponse, CallError> {
    check(&request, &[], services.compat)?;
    Ok(LockResponse { ok: services.locks.force_release(&request.resource, request.patience()).await? })
}

async fn exists(services: Arc<Services>, request: LockRequest) -> Result<LockResponse, CallError> {
    check(&request, &[Checked::Id], services.compat)?;
    let LockRequest { resource, id, .. } = &request;
    Ok(LockResponse { ok: services.locks.exists(resource, id, request.patience()).await? })
}

async fn update_ttl(services: Arc<Services>, request: LockRequest) -> Result<LockResponse, CallError> {
    check(&request, &[Checked::Id, Checked::Ttl], services.compat)?;
    let (LockRequest { resource, id, .. }, ttl) = (&request, request.ttl.and_then(span));
    Ok(LockResponse { ok: services.locks.update_ttl(resource, id, ttl, request.patience()).await? })
}

impl LockRequest {
    /// How long Redis may take for a call that waits for nothing.
    fn patience(&self) -> Option<Duration> {
        self.wait.and_then(span)
    }
}

/// A part of a request that a method checks, besides `wait`.
#[derive(Debug, PartialEq)]
enum Checked {
    Id,
    Ttl,
}

/// Checks what is wrong under this RoadRunner, in its order.
fn check(request: &LockRequest, checked: &[Checked], compat: Compat) -> Result<(), CallError> {
    if checked.contains(&Checked::Id) && request.id.is_empty() {
        return Err(CallError::EmptyId);
    }
    let is_wrong = |micros: Option<i64>| {
        compat.is_v3() && micros.is_some_and(|micros| !(0..=MAX_MICROS).contains(&micros))
    };
    if checked.contains(&Checked::Ttl) && is_wrong(request.ttl) {
        return Err(CallError::OutOfRange("ttl"));
    }
    if is_wrong(request.wait) { Err(CallError::OutOfRange("wait")) } else { Ok(()) }
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
        let request =
            |id: &str, ttl, wait| LockRequest { resource: "r".into(), id: id.into(), ttl, wait, pid: 0 };
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
