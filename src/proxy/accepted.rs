//! A call whose headers have arrived: what is known of it, and how it is refused.

use std::sync::Arc;

use bytes::Bytes;
use h2::server::SendResponse;
use http::request::Parts;
use tokio::time::Instant;
use tonic::Status;
use tracing::debug;

use super::account::{self, Reservation};
use super::gzip::Encoding;
use super::recording::Recording;
use super::route::Route;
use super::service::{CallHead, Service};
use super::statistics::Timed;
use super::{Backend, POOL_HEADER, context, send, status};
use crate::grpc::parse_timeout;
use crate::net::EvictionGuard;
use crate::pools::RequestType;
use crate::streams::StreamId;
use crate::telemetry::trace::Trace;

/// Headers and messages of fewer bytes are copied out of larger buffers.
pub(super) const SMALL: usize = 4096;

/// A call that has arrived.
pub(super) struct Call<B> {
    pub(super) service: Arc<Service<B>>,
    pub(super) route: Route,
    /// `None` for the health service.
    pub(super) timed: Option<Timed>,
    pub(super) respond: SendResponse<Bytes>,
    pub(super) reservation: Reservation,
    pub(super) guard: EvictionGuard,
    pub(super) arrived: Instant,
}

impl<B: Backend> Call<B> {
    /// What the backend gets of the call apart from its message.
    pub(super) fn head(
        &mut self,
        head: &Parts,
        encoding: Encoding,
        stream: Option<StreamId>,
    ) -> Result<CallHead, Status> {
        let kind = match &mut self.route {
            Route::Proxied { kind, .. } | Route::Health(kind) => std::mem::take(kind),
        };
        let trace = self.service.tracer.incoming(&head.headers);
        let place = trace.map(|trace| self.place(&trace, head));
        let authority = head.uri.authority().map(|read| self.reservation.account().authority(read.as_str()));
        let id = stream.map(|id| id.to_string());
        // What grpc-go answers.
        let context = context::build(&kind, id.as_deref(), authority, &head.headers, place.as_ref());
        let context = context.map_err(|error| status::malformed(&error))?;
        let timeout = parse_timeout(&head.headers).map_err(|error| status::malformed(&error))?;
        // An escaped byte may take six.
        if context.len() > SMALL {
            let more = context.len().saturating_sub(account::size(&head.headers));
            if !self.reservation.grow(more) {
                return Err(status::out_of_memory());
            }
        }
        let deadline = timeout.and_then(|timeout| self.arrived.checked_add(timeout));
        let shows_pool =
            self.service.statistics.has_several_pools() && head.headers.contains_key(POOL_HEADER);
        let label = self.timed.as_ref().map_or(RequestType::OTHER, |timed| timed.label);
        let trace = trace.and_then(|trace| trace.recorded());
        Ok(CallHead { kind, label, trace, context, deadline, encoding, shows_pool })
    }

    /// The place of its worker in this trace. Its spans are recorded from now on.
    #[inline]
    fn place(&mut self, trace: &Trace, head: &Parts) -> context::Place {
        if let Some(timed) = &mut self.timed {
            timed.recording = Recording::begin(&self.service.tracer, *trace, head.uri.path(), &head.headers);
        }
        context::Place { traceparent: trace.next.traceparent(), keeps_state: trace.parent.is_some() }
    }

    /// Answers the call with a status alone.
    pub(super) fn refuse(self, status: Status) {
        refuse_counted(self.timed, status, self.respond);
    }
}

pub(super) fn refuse(response: http::Response<tonic::body::Body>, respond: SendResponse<Bytes>) {
    if let Err(error) = send::head_alone(response, respond) {
        debug!(target: "centrifuge", %error, "cannot refuse a call");
    }
}

pub(super) fn refuse_counted(timed: Option<Timed>, status: Status, respond: SendResponse<Bytes>) {
    if let Some(timed) = timed {
        timed.end_with(&status);
    }
    refuse(status.into_http(), respond);
}

/// Refuses a call that no worker has seen, on a connection that is about to close. Clients repeat such a call on another connection by
/// themselves, without a retry policy.
///
/// Source: RFC 9113, section 8.7.
pub(super) fn refuse_unseen(timed: Option<Timed>, status: &Status, mut respond: SendResponse<Bytes>) {
    if let Some(timed) = timed {
        timed.end_with(status);
    }
    respond.send_reset(h2::Reason::REFUSED_STREAM);
}
