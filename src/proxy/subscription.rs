//! The calls that open subscription streams: one request to the application, whose answer accepts or rejects. An accepted stream goes over to
//! [`crate::streams`].
//!
//! Centrifugo sets no deadline for these calls, since it would be one for the whole stream; it cancels a call whose first message has not
//! come within its proxy's `timeout`. An opening whose client has left is dropped if no worker has seen it yet. Otherwise its answer is
//! waited for, and if it accepts, the application is told that the stream has ended.
//!
//! Source: Centrifugo v6.9.1, `internal/proxy/subscribe_stream_handler.go`.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::request::Parts;
use http::{HeaderValue, Response, header};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tonic::{Code, Status};
use tracing::debug;

use super::accepted::{Call, refuse_counted, refuse_unseen};
use super::account::Reservation;
use super::gzip::Encoding;
use super::message::Message;
use super::service::{CallHead, Service, Until};
use super::statistics::Timed;
use super::{Backend, POOL_HEADER, held, send, service, status};
use crate::grpc;
use crate::net::EvictionGuard;
use crate::pools::{self, Opened, Streamed, Timings};
use crate::streams::{self, Begun, Inlet, Reason, StreamId, wire};

/// How long the first message of a bidirectional stream may take.
const FIRST: Duration = Duration::from_secs(10);

/// How long an opening waits for its turn (`streams.open_rate`), unless its caller sets a deadline.
const TURN: Duration = Duration::from_secs(10);

/// How long the answer is waited for that tells whether the application has accepted a client that has left.
const ABANDONED: Duration = Duration::from_mins(1);

/// A call that is to become a stream.
pub(super) struct Subscription<B> {
    pub(super) service: Arc<Service<B>>,
    pub(super) head: CallHead,
    pub(super) id: StreamId,
    /// What the client sends, on a bidirectional stream.
    pub(super) inlet: Option<Inlet>,
    pub(super) timed: Option<Timed>,
    pub(super) respond: SendResponse<Bytes>,
    pub(super) reservation: Reservation,
    pub(super) guard: EvictionGuard,
}

/// What the application has answered.
struct Answer {
    /// The first message of the stream, behind gRPC's prefix.
    first: Bytes,
    is_accepted: bool,
    /// The rest, if a worker streams.
    held: Option<Streamed>,
}

/// Why there is no answer for the client.
enum Failure {
    /// It has left.
    Gone,
    /// This is its answer.
    Refused(Status),
    /// The server is shutting down, and no worker has seen the call.
    Unseen(Status),
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Refused(status)
    }
}

impl From<crate::streams::Refused> for Failure {
    fn from(refused: crate::streams::Refused) -> Self {
        let status = status::of_stream(refused);
        if refused == crate::streams::Refused::ShuttingDown {
            Self::Unseen(status)
        } else {
            Self::Refused(status)
        }
    }
}

/// Waits for the first message of a bidirectional stream, and opens it.
pub(super) async fn open_bidirectional<B: Backend>(
    mut call: Call<B>,
    head: Parts,
    encoding: Encoding,
    body: RecvStream,
) {
    let streams = &call.service.streams;
    let port = call.reservation.account().port();
    let mut inlet = streams.inlet(body, encoding != Encoding::Plain, port);
    let message = tokio::select! {
        biased;
        message = timeout(FIRST, first(&mut inlet)) => message,
        _ = poll_fn(|cx| call.respond.poll_reset(cx)) => return,
    };
    match message.unwrap_or_else(|_| Err(Status::deadline_exceeded("the message did not arrive in time"))) {
        Ok(message) => {
            let is_compressed = message.is_compressed;
            // A part of a larger buffer is not kept.
            let body = Bytes::copy_from_slice(&message.body);
            inlet.handled();
            if let Some(opening) = Subscription::of(call, &head, encoding, Some(inlet)) {
                opening.open(Message { body, is_compressed }).await;
            }
        }
        Err(status) => call.refuse(status),
    }
}

async fn first(inlet: &mut Inlet) -> Result<crate::streams::Message, Status> {
    poll_fn(|cx| {
        let arrived = inlet.poll(cx)?;
        match inlet.take() {
            Some(message) => Poll::Ready(Ok(message)),
            None if inlet.is_closed() => Poll::Ready(Err(Status::internal("Missing request message."))),
            None => arrived.map(|()| Err(Status::internal("Missing request message."))),
        }
    })
    .await
}

impl<B: Backend> Subscription<B> {
    /// The call as one that opens a stream; `None` if it has been refused.
    pub(super) fn of(
        mut call: Call<B>,
        head: &Parts,
        encoding: Encoding,
        inlet: Option<Inlet>,
    ) -> Option<Self> {
        let id = StreamId::random();
        let head = match call.head(head, encoding, Some(id)) {
            Ok(head) => head,
            Err(status) => {
                call.refuse(status);
                return None;
            }
        };
        let Call { service, timed, respond, reservation, guard, .. } = call;
        Some(Self { service, head, id, inlet, timed, respond, reservation, guard })
    }

    /// Opens the stream, if the application accepts it.
    pub(super) async fn open(mut self, message: Message) {
        match self.ask(message).await {
            Ok((begun, answer)) => self.answer(begun, answer),
            Err(Failure::Gone) => {}
            Err(Failure::Refused(status)) => refuse_counted(self.timed, status, self.respond),
            Err(Failure::Unseen(status)) => refuse_unseen(self.timed, &status, self.respond),
        }
    }

    /// Asks the application.
    async fn ask(&mut self, message: Message) -> Result<(Begun, Answer), Failure> {
        let service = Arc::clone(&self.service);
        let call = service.in_flight.begin();
        let request = self.request(message).await?;
        let pool = service.backend.route(&self.head.kind, &request);
        if let Some(timed) = &mut self.timed {
            timed.pool = pool;
            if let Some(entry) = &mut timed.access {
                entry.received(&self.head.context, &request);
            }
        }
        let place = service.streams.place()?;
        self.turn().await?;
        let port = Arc::clone(self.reservation.account().port());
        let is_bidirectional = self.inlet.is_some();
        let context = std::mem::take(&mut self.head.context);
        let begun = service.streams.begin(
            place,
            &streams::Request {
                id: self.id,
                pool,
                is_bidirectional,
                context: &context,
                request: &request,
                port: &port,
            },
        )?;
        let caller = self.reservation.account().caller();
        let end = Until::of(self.head.deadline, &self.reservation);
        let CallHead { kind, label, trace, deadline, .. } = &self.head;
        let (kind, label, trace, deadline) = (kind.clone(), *label, *trace, *deadline);
        let shared = Arc::clone(&service);
        let seen = Arc::new(AtomicBool::new(false));
        let is_seen = Arc::clone(&seen);
        let mut asked = Box::pin(async move {
            let mut timings = Timings::default();
            let request = pools::Request {
                pool,
                caller,
                kind: &kind,
                label,
                trace,
                context: &context,
                body: request,
                deadline,
            };
            let failed = |error| service::failed(&kind, shared.statistics.label_of(pool), &error);
            let answer = async {
                let opened = shared.backend.open(&request, &is_seen, &mut timings).await.map_err(failed)?;
                Answer::of(opened).await.map_err(failed)?.ok_or_else(status::not_a_response)
            };
            let answer = answer.await;
            (answer, timings)
        });
        if let Some(timed) = &mut self.timed {
            // If its client leaves, all of the time was spent waiting, as far as is known.
            timed.timings.asked = Some(Instant::now());
        }
        let answer = tokio::select! {
            biased;
            (answer, timings) = &mut asked => {
                if let Some(timed) = &mut self.timed {
                    timed.timings = timings;
                }
                Ok(answer?)
            }
            status = too_late(end) => Err(Failure::Refused(status)),
            _ = poll_fn(|cx| self.respond.poll_reset(cx)) => Err(Failure::Gone),
        };
        match answer {
            Ok(answer) => Ok((begun, answer)),
            Err(failure) => {
                drop(call);
                if seen.load(Relaxed) {
                    tokio::spawn(abandon(begun, asked));
                }
                Err(failure)
            }
        }
    }

    /// The `SubscribeRequest`.
    async fn request(&mut self, message: Message) -> Result<Bytes, Status> {
        let body = if message.is_compressed {
            let (gzip, limit) = (&self.service.gzip, self.service.max_message_size);
            Box::pin(gzip.decompress(message.body, limit, &mut self.reservation)).await?
        } else {
            message.body
        };
        if self.inlet.is_none() {
            return Ok(body);
        }
        match wire::subscribe_request(&body) {
            Ok(Some(request)) => Ok(request),
            Ok(None) => Err(Status::invalid_argument("the first message has no subscribe_request")),
            Err(error) => Err(Status::internal(error.to_string())),
        }
    }

    /// Waits until the stream may be opened.
    async fn turn(&mut self) -> Result<(), Failure> {
        let streams = self.service.streams.clone();
        let patience = Instant::now() + TURN;
        let until = self.head.deadline.map_or(patience, |deadline| deadline.min(patience));
        tokio::select! {
            biased;
            turn = timeout_at(until, streams.turn()) => turn.map_err(|_| streams.too_fast().into()),
            _ = poll_fn(|cx| self.respond.poll_reset(cx)) => Err(Failure::Gone),
        }
    }

    /// Passes the application's answer on: the stream is open if it accepts.
    fn answer(mut self, begun: Begun, answer: Answer) {
        let pool = self.timed.as_ref().map_or(0, |timed| timed.pool);
        let named = self.timed.as_ref().filter(|_| self.head.shows_pool);
        let named = named.and_then(|timed| self.service.statistics.pool_of(timed));
        let Answer { first, is_accepted, held } = answer;
        if let Some(mut timed) = self.timed.take() {
            if let Some(entry) = &mut timed.access {
                entry.answered(first.len());
            }
            timed.end(Code::Ok);
        }
        if !is_accepted {
            drop(begun);
            if let Err(error) = respond(self.respond, named).and_then(|stream| send::last(stream, first)) {
                debug!(target: "centrifuge", %error, "cannot send an answer");
            }
            return;
        }
        let Some(stream) = begun.accepted() else { return };
        let Ok(outlet) = respond(self.respond, named) else { return stream.abandon(Reason::Client) };
        let mut inlet = self.inlet.take();
        let input = held.map(|mut held| {
            let input = held.input().and_then(|input| Some((inlet.take()?, input)));
            (held, input)
        });
        let driver = stream.accept(outlet, inlet, first, input.is_some());
        if let Some(driver) = driver {
            let guard = self.guard;
            tokio::spawn(async move {
                driver.run().await;
                drop(guard);
            });
        }
        if let Some((held, input)) = input {
            let (service, kind) = (self.service, self.head.kind);
            let failed = move |error: &_| service::failed(&kind, service.statistics.label_of(pool), error);
            tokio::spawn(held::feed(stream, held, input, failed));
        }
    }
}

impl Answer {
    /// The answer as it begins; `None` if it is not what it should be.
    async fn of(opened: Opened) -> Result<Option<Self>, pools::Error> {
        let mut held = match opened {
            // The worker is given back here.
            Opened::Answer(answer) => {
                let is_accepted = wire::is_success(&answer.body).ok();
                let first = wire::first_message(&answer.body);
                return Ok(is_accepted.map(|is_accepted| Self { first, is_accepted, held: None }));
            }
            Opened::Stream(held) => held,
        };
        let pid = held.pid();
        let message = held.next().await.unwrap_or(Err(pools::Error::NoAnswer { pid }))?;
        let is_accepted = wire::opens(&message).ok().flatten();
        let first = wire::message(&message);
        Ok(is_accepted.map(|is_accepted| Self { first, is_accepted, held: Some(held) }))
    }
}

/// Sends the head of the answer.
fn respond(
    mut respond: SendResponse<Bytes>,
    pool: Option<HeaderValue>,
) -> Result<SendStream<Bytes>, h2::Error> {
    let mut head = Response::new(());
    head.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(grpc::CONTENT_TYPE));
    if let Some(pool) = pool {
        head.headers_mut().insert(POOL_HEADER, pool);
    }
    respond.send_response(head, false)
}

/// Finds out whether the application has accepted a client that has left.
async fn abandon(begun: Begun, asked: Pin<Box<impl Future<Output = (Result<Answer, Status>, Timings)>>>) {
    let Ok((Ok(answer), _)) = timeout(ABANDONED, asked).await else { return };
    if answer.is_accepted
        && let Some(stream) = begun.accepted()
    {
        stream.abandon(Reason::Client);
    }
}

/// Resolves when an answer comes too late.
async fn too_late(end: Option<Until>) -> Status {
    let Some(end) = end else { return std::future::pending().await };
    sleep_until(end.time).await;
    end.status()
}
