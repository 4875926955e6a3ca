//! `lock`: locks that workers share.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::rpc::codec::Shape;
use crate::rpc::locks::{Claim, Mode};
use crate::rpc::method::{Method, Reply};
use crate::rpc::services::Services;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Request {
    resource: String,
    id: String,
    /// Microseconds; none or less than one: without end.
    ttl: Option<i64>,
    /// Microseconds; none or less than one: not at all.
    wait: Option<i64>,
}

#[derive(Debug, Serialize)]
struct Response {
    ok: bool,
}

pub(super) fn methods() -> Vec<(&'static str, Method)> {
    let at_once = |run: fn(&Services, &Request) -> bool| {
        method(move |services, request| async move { Ok(Response { ok: run(&services, &request) }) })
    };
    let owned = |run: fn(&Services, &Request) -> bool| {
        method(move |services, request| async move {
            named(&request)?;
            Ok(Response { ok: run(&services, &request) })
        })
    };
    vec![
        // Whoever hangs up cannot be told that it has the lock.
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

fn method<F: Future<Output = Reply<Response>> + Send + 'static>(
    run: impl Fn(Arc<Services>, Request) -> F + Clone + Send + Sync + 'static,
) -> Method {
    Method::new(Shape::message("causeway.rpc.LockRequest"), Shape::message("causeway.rpc.LockResponse"), run)
}

async fn lock(services: Arc<Services>, request: Request, mode: Mode) -> Reply<Response> {
    named(&request)?;
    let (ttl, wait) = (request.ttl.and_then(span), request.wait.and_then(span).unwrap_or_default());
    let claim = Claim { resource: request.resource, id: request.id, mode, ttl, wait };
    let granted = services.locks.lock(claim).await;
    granted.map(|ok| Response { ok }).map_err(|error| error.to_string())
}

fn named(request: &Request) -> Reply<()> {
    if request.id.is_empty() { Err("empty ID is not allowed".into()) } else { Ok(()) }
}

/// A time, or none if there is none to be had.
fn span(micros: i64) -> Option<Duration> {
    u64::try_from(micros).ok().filter(|micros| *micros > 0).map(Duration::from_micros)
}
