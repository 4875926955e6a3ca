//! `lock`: locks shared by all workers.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

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

#[derive(Debug, Serialize)]
struct LockResponse {
    ok: bool,
}

#[derive(Debug, thiserror::Error)]
enum LockError {
    #[error("empty ID is not allowed")]
    EmptyId,
    #[error(transparent)]
    LimitReached(#[from] LimitReached),
}

pub(super) fn methods() -> Vec<(&'static str, Method)> {
    let at_once = |run: fn(&Services, &LockRequest) -> bool| {
        method(move |services, request| async move {
            Ok::<_, LockError>(LockResponse { ok: run(&services, &request) })
        })
    };
    let owned = |run: fn(&Services, &LockRequest) -> bool| {
        method(move |services, request| async move {
            named(&request)?;
            Ok::<_, LockError>(LockResponse { ok: run(&services, &request) })
        })
    };
    vec![
        // A caller that has disconnected cannot learn that it holds the lock.
        ("lock.Lock", method(|services, request| lock(services, request, Mode::Write)).until_hangup()),
        ("lock.LockRead", method(|services, request| lock(services, request, Mode::Read)).until_hangup()),
        ("lock.Release", owned(|services, request| services.locks.release(&request.resource, &request.id))),
        ("lock.ForceRelease", at_once(|services, request| services.locks.force_release(&request.resource))),
        ("lock.Exists", owned(|services, request| services.locks.exists(&request.resource, &request.id))),
        (
            "lock.UpdateTTL",
            owned(|services, request| {
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
    named(&request)?;
    let (ttl, wait) = (request.ttl.and_then(span), request.wait.and_then(span).unwrap_or_default());
    let claim = Claim { resource: request.resource, id: request.id, mode, ttl, wait };
    Ok(LockResponse { ok: services.locks.lock(claim).await? })
}

fn named(request: &LockRequest) -> Result<(), LockError> {
    if request.id.is_empty() { Err(LockError::EmptyId) } else { Ok(()) }
}

/// A time span, unless it is zero or negative.
fn span(micros: i64) -> Option<Duration> {
    u64::try_from(micros).ok().filter(|micros| *micros > 0).map(Duration::from_micros)
}
