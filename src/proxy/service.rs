//! What all calls of the listener share, and how a call whose message has arrived is answered.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;
use tonic::Status;
use tracing::{debug, error, warn};

use super::account::Reservation;
use super::gzip::{Encoding, Gzip};
use super::health::Health;
use super::in_flight::InFlight;
use super::memory::Memory;
use super::message::Message;
use super::retry::Retry;
use super::slice::Lane;
use super::statistics::{Statistics, Timed};
use super::sub_refresh::{self, SubRefresh};
use super::{Backend, CredentialCheck, status};
use crate::pools::{self, Answered, Request, RequestType, Timings};
use crate::streams::Streams;
use crate::telemetry::trace::{TraceId, Tracer};

/// All services of the listener.
#[derive(Debug)]
pub(super) struct Service<B> {
    pub(super) backend: B,
    pub(super) health: Health,
    pub(super) in_flight: Arc<InFlight>,
    pub(super) memory: Arc<Memory>,
    pub(super) lane: Lane,
    /// For calls with large headers whose message has arrived after them.
    pub(super) contexts: Lane,
    pub(super) statistics: Arc<Statistics>,
    pub(super) credentials: Arc<CredentialCheck>,
    pub(super) gzip: Gzip,
    pub(super) streams: Streams,
    pub(super) tracer: Tracer,
    pub(super) sub_refresh: SubRefresh,
    pub(super) max_message_size: usize,
}

/// A call, apart from its message.
#[derive(Debug)]
pub(super) struct CallHead {
    pub(super) kind: String,
    pub(super) label: RequestType,
    /// The id of its trace, if that is recorded.
    pub(super) trace: Option<TraceId>,
    pub(super) context: Vec<u8>,
    pub(super) deadline: Option<Instant>,
    pub(super) encoding: Encoding,
    /// Whether the answer is to name the pool.
    pub(super) shows_pool: bool,
}

/// How long a call is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Until {
    pub(super) time: Instant,
    /// It is the caller's deadline, and not the end of its connection.
    is_deadline: bool,
}

impl Until {
    /// Until the caller's deadline or the end of its connection, whichever comes first.
    #[inline]
    pub(super) fn of(deadline: Option<Instant>, reservation: &Reservation) -> Option<Self> {
        match (deadline, reservation.account().over()) {
            (Some(deadline), Some(over)) if over < deadline => Some(Self { time: over, is_deadline: false }),
            (Some(time), _) => Some(Self { time, is_deadline: true }),
            (None, Some(time)) => Some(Self { time, is_deadline: false }),
            (None, None) => None,
        }
    }

    /// The status of a call that has no answer by then. A worker may have seen it.
    pub(super) fn status(self) -> Status {
        if self.is_deadline { status::too_late() } else { status::connection_over() }
    }
}

/// What a call is answered with.
pub(super) enum Outcome {
    /// A message, and the status OK.
    Message(Answered),
    /// The same, compressed.
    Compressed(Bytes),
    /// No message.
    Status(Status),
}

impl Outcome {
    /// The bytes of its message.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Message(answer) => answer.body.len(),
            Self::Compressed(body) => body.len(),
            Self::Status(_) => 0,
        }
    }

    /// The same if there is memory for it.
    pub(super) fn within(self, reservation: &mut Reservation) -> Self {
        if matches!(self, Self::Status(_)) || reservation.replace(self.size()) {
            self
        } else {
            Self::Status(Retry::Never.advised(status::out_of_memory()))
        }
    }
}

impl<B: Backend> Service<B> {
    pub(super) fn new(
        backend: B,
        health: Health,
        statistics: Arc<Statistics>,
        credentials: Arc<CredentialCheck>,
        max_message_size: usize,
        streams: Streams,
        tracer: Tracer,
    ) -> Self {
        Self {
            backend,
            health,
            in_flight: Arc::new(InFlight::new()),
            memory: Arc::new(Memory::new(max_message_size)),
            lane: Lane::new(),
            contexts: Lane::new(),
            statistics,
            credentials,
            gzip: Gzip::new(),
            streams,
            tracer,
            sub_refresh: SubRefresh::default(),
            max_message_size,
        }
    }

    /// Passes the call to the backend and waits until its deadline.
    pub(super) async fn answer(
        &self,
        head: &CallHead,
        message: &mut Message,
        timed: Option<&mut Timed>,
        reservation: &mut Reservation,
    ) -> Outcome {
        let _call = self.in_flight.begin();
        let until = Until::of(head.deadline, reservation);
        let answer = self.forward(head, message, timed, reservation);
        let Some(until) = until else { return answer.await };
        tokio::select! {
            biased;
            outcome = answer => outcome,
            () = tokio::time::sleep_until(until.time) => {
                debug!(target: "centrifuge", r#type = head.kind, "deadline exceeded");
                Outcome::Status(until.status())
            }
        }
    }

    async fn forward(
        &self,
        head: &CallHead,
        message: &mut Message,
        timed: Option<&mut Timed>,
        reservation: &mut Reservation,
    ) -> Outcome {
        let mut body = std::mem::take(&mut message.body);
        if message.is_compressed {
            match Box::pin(self.gzip.decompress(body, self.max_message_size, reservation)).await {
                Ok(plain) => body = plain,
                Err(status) => return Outcome::Status(status),
            }
        }
        let CallHead { kind, label, trace, context, deadline, encoding, .. } = head;
        let pool = self.backend.route(kind, &body);
        let mut untimed = Timings::default();
        let timings = match timed {
            Some(timed) => {
                timed.pool = pool;
                &mut timed.timings
            }
            None => &mut untimed,
        };
        let caller = reservation.account().caller();
        let (label, trace, deadline) = (*label, *trace, *deadline);
        let request = Request { pool, caller, kind, label, trace, context, body, deadline };
        let answered = if kind == sub_refresh::KIND {
            Box::pin(self.sub_refresh.call(&self.backend, &request, timings)).await
        } else {
            self.backend.call(&request, timings).await
        };
        match answered {
            Err(error) => Outcome::Status(failed(kind, self.statistics.label_of(pool), &error)),
            Ok(answer) if *encoding == (Encoding::Gzip { answer: true }) => {
                Box::pin(self.compressed(answer)).await
            }
            Ok(answer) => Outcome::Message(answer),
        }
    }

    async fn compressed(&self, answer: Answered) -> Outcome {
        // The worker is released before the answer is compressed.
        let body = answer.body.clone();
        drop(answer);
        let compressed = self.gzip.compress(body).await;
        compressed.map_or_else(|status| Outcome::Status(Retry::Never.advised(status)), Outcome::Compressed)
    }
}

/// Logs a failure and returns its status. A passed deadline is the caller's choice, and logged at debug level only.
pub(super) fn failed(kind: &str, pool: Option<&str>, error: &pools::Error) -> Status {
    use pools::Error;
    match error {
        Error::ShuttingDown | Error::Removed => {}
        Error::DeadlineExceeded => {
            debug!(target: "centrifuge", r#type = kind, pool, "deadline exceeded");
        }
        Error::Worker { pid, .. } => {
            warn!(target: "centrifuge", r#type = kind, pid, pool, %error, "worker answered with an error");
        }
        _ => error!(target: "centrifuge", r#type = kind, pid = error.pid(), pool, %error, "call failed"),
    }
    status::of(error)
}
