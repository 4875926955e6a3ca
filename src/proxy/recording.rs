//! The spans of a call that is recorded: the call, its wait for a worker, and the worker's part.

use http::HeaderMap;
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::grpc::CODES;
use crate::pools::Timings;
use crate::telemetry::trace::{Kind, Part, Pending, Trace, Tracer, Value, cut};

/// A call that is recorded. What is known of it only if it is recorded is here, so that others do not pay for it.
#[derive(Debug)]
pub(super) struct Recording {
    pending: Pending,
    /// The full name of its method.
    method: String,
    /// The message of its status.
    message: String,
}

impl Recording {
    /// Of a call with this path and these headers, if it is recorded.
    pub(super) fn begin(tracer: &Tracer, trace: Trace, path: &str, headers: &HeaderMap) -> Option<Box<Self>> {
        let pending = tracer.pending(trace, Some(headers))?;
        let method = cut(path.trim_start_matches('/')).to_owned();
        Some(Box::new(Self { pending, method, message: String::new() }))
    }

    /// The call gets this status.
    pub(super) fn fail(&mut self, status: &Status) {
        cut(status.message()).clone_into(&mut self.message);
    }

    /// The call, answered by this pool, has ended with this code. It lasted from the first of these times to the second.
    pub(super) fn end(self, pool: &str, code: Code, timings: &Timings, [start, end]: [Instant; 2]) {
        let Self { pending, method, message } = self;
        let name = CODES[code as usize];
        let mut attributes: Vec<(_, Value)> = vec![
            ("rpc.system.name", "grpc".into()),
            ("rpc.method", method.clone().into()),
            ("rpc.response.status_code", name.into()),
            ("causeway.pool", pool.to_owned().into()),
        ];
        let failure = is_failure(code).then_some(message);
        if failure.is_some() {
            attributes.push(("error.type", name.into()));
        }
        let parts = [queue(timings, end), worker(timings, end, failure.clone())];
        let whole = Part { name: method.into(), kind: Kind::Server, start, end, attributes, failure };
        pending.end(whole, parts.into_iter().flatten());
    }
}

/// The wait for a worker, if there was one.
fn queue(timings: &Timings, end: Instant) -> Option<Part> {
    let (start, end) = (timings.asked?, timings.leased.unwrap_or(end));
    let (name, kind, attributes) = ("queue".into(), Kind::Internal, Vec::new());
    (start < end).then_some(Part { name, kind, start, end, attributes, failure: None })
}

/// The worker's part, if a worker has got the call.
fn worker(timings: &Timings, end: Instant, failure: Option<String>) -> Option<Part> {
    let (start, end) = (timings.begun?, timings.done.unwrap_or(end));
    let attributes = timings.pid.map(|pid| ("worker.pid", pid.into())).into_iter().collect();
    Some(Part { name: "worker".into(), kind: Kind::Client, start, end, attributes, failure })
}

/// Whether it is the server's failure, by OpenTelemetry's rules for gRPC.
fn is_failure(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}
