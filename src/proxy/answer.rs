//! The part of a call that takes time: from its message to the last byte of its answer.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderName, Request};
use tonic::Code;
use tracing::debug;

use super::account::Reservation;
use super::message::Message;
use super::service::{CallHead, Outcome, Service};
use super::statistics::Timed;
use super::{Backend, POOL_HEADER, send};
use crate::net::EvictionGuard;

/// The part of a call that takes time, until HTTP/2 has its answer or its caller has gone. Each call has such a future on the heap, so it is
/// kept small: a future around it, or an `async fn`, would hold the arguments twice.
#[expect(clippy::manual_async_fn, reason = "an async fn would hold the arguments twice")]
pub(super) fn answer<B: Backend>(
    service: Arc<Service<B>>,
    head: CallHead,
    mut message: Message,
    mut timed: Option<Timed>,
    mut respond: SendResponse<Bytes>,
    mut reservation: Reservation,
    guard: EvictionGuard,
) -> impl Future<Output = ()> + Send {
    async move {
        let outcome = tokio::select! {
            biased;
            outcome = service.answer(&head, &mut message, timed.as_mut(), &mut reservation) => outcome,
            _ = poll_fn(|cx| respond.poll_reset(cx)) => return,
        };
        let outcome = outcome.within(&mut reservation);
        let mut pool = None;
        if let Some(mut timed) = timed {
            if let Some(entry) = &mut timed.access {
                entry.answered(outcome.size());
            }
            pool = if head.shows_pool { service.statistics.pool_of(&timed) } else { None };
            match &outcome {
                Outcome::Message(_) | Outcome::Compressed(_) => timed.end(Code::Ok),
                Outcome::Status(status) => timed.end_with(status),
            }
        }
        let sent = match outcome {
            Outcome::Message(answer) => send::message(&answer.body, false, pool, respond, reservation),
            Outcome::Compressed(body) => send::message(&body, true, pool, respond, reservation),
            Outcome::Status(status) => {
                let mut response = status.into_http();
                response.headers_mut().extend(pool.map(|pool| (HeaderName::from_static(POOL_HEADER), pool)));
                send::head_alone(response, respond).map(|()| None)
            }
        };
        let sent = match sent {
            Ok(Some(blocked)) => Box::pin(blocked.send()).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = sent {
            debug!(target: "centrifuge", %error, "cannot send an answer");
        }
        drop(guard);
    }
}

/// A call to the health service.
pub(super) async fn health<B: Backend>(
    service: Arc<Service<B>>,
    method: String,
    request: Request<Bytes>,
    respond: SendResponse<Bytes>,
    reservation: Reservation,
    _guard: EvictionGuard,
) {
    let response = service.health.answer(&method, request).await;
    if let Err(error) = send::response(response, respond, &reservation).await {
        debug!(target: "centrifuge", %error, "cannot send an answer");
    }
}
