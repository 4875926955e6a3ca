//! The access log: one line per call, where the channel `access` is on. Elsewhere it costs one comparison per call.

use bytes::Bytes;
use tokio::time::Instant;
use tonic::Code;
use tracing::{Level, enabled, info};

use crate::grpc::CODES;
use crate::pools::{Describe as _, Described, Description, Timings};

/// What is kept of a call for its line.
#[derive(Debug)]
pub(super) struct Entry {
    kind: String,
    described: Option<Described>,
    request_bytes: usize,
    response_bytes: usize,
}

impl Entry {
    /// The line of a call of this type, if there is an access log.
    #[inline]
    pub(super) fn of(kind: &str) -> Option<Box<Self>> {
        if !enabled!(target: "access", Level::INFO) {
            return None;
        }
        let kind = kind.to_owned();
        Some(Box::new(Self { kind, described: None, request_bytes: 0, response_bytes: 0 }))
    }

    /// Its message has arrived.
    pub(super) fn received(&mut self, context: &[u8], message: &Bytes) {
        self.request_bytes = message.len();
        self.described = Some(Described::new(&self.kind, context, message));
    }

    /// Its answer is about to be sent.
    pub(super) fn answered(&mut self, bytes: usize) {
        self.response_bytes = bytes;
    }

    /// Writes the line of a call that arrived and ends at these times. In the line, times are in seconds.
    pub(super) fn log(self, timings: &Timings, [arrived, now]: [Instant; 2], pool: Option<&str>, code: Code) {
        let Self { kind, described, request_bytes, response_bytes } = self;
        let description = described.map(|described| described.describe()).unwrap_or_default();
        let Description { method, channel, user, trace_id, .. } = description;
        let code = usize::try_from(code as i32).ok().and_then(|code| CODES.get(code));
        info!(
            target: "access",
            r#type = kind, method, channel, user, trace_id, pool, pid = timings.pid, code,
            queue = timings.waited(now).as_secs_f64(),
            worker = timings.worked(now).as_secs_f64(),
            duration = now.saturating_duration_since(arrived).as_secs_f64(),
            request_bytes, response_bytes,
            "call"
        );
    }
}
