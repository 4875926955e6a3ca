//! One call, from its headers until its message has been passed on.
//!
//! ```text
//!  accepted ──▶ begin ──▶ its message has arrived ──▶ forward ──▶ a task: backend, answer
//!                 └─▶ its message has not arrived ──▶ a small task waits for it ──▶ forward
//! ```
//!
//! Most calls arrive together with their message: such a call is read, and its context built, on the spot. A call that was cancelled
//! meanwhile costs no task. One whose message is still to arrive keeps only its headers, and not for ever.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request};
use tokio::time::{Instant, sleep_until};
use tonic::Status;
use tracing::debug;

use super::accepted::{Call, SMALL, refuse, refuse_counted};
use super::account::{self, Account};
use super::gzip::Encoding;
use super::message::Message;
use super::receive::{Failure, Incoming};
use super::route::{Route, Shape};
use super::service::{Service, Until};
use super::subscription::{self, Subscription};
use super::{Backend, answer, status};
use crate::grpc::parse_timeout;
use crate::net::EvictionGuard;

/// How long a message may make no progress.
const SILENCE: Duration = Duration::from_secs(10);

/// How long a message may take, and how much longer per megabyte.
const MESSAGE: Duration = Duration::from_secs(30);
const PER_MEGABYTE: Duration = Duration::from_secs(1);

/// With more calls in flight than this, small messages are copied out of the larger buffers that they would keep in memory.
const MANY: usize = 1024;

/// Accepts a call; returns without waiting for anything.
pub(super) fn begin<B: Backend>(
    service: &Arc<Service<B>>,
    account: &Arc<Account>,
    guard: EvictionGuard,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
) {
    // The caller's timeout counts from here.
    let arrived = Instant::now();
    let (mut head, body) = request.into_parts();
    let route = match Route::of(&head) {
        Ok(route) => route,
        Err(response) => return refuse(*response, respond),
    };
    let timed = route.kind().map(|kind| service.statistics.begin(kind, arrived));
    // Health checks have none.
    if timed.is_some() && !service.credentials.admits(&mut head.headers) {
        return refuse_counted(timed, status::unauthenticated(), respond);
    }
    let Some(reservation) = account.reserve_call(&head.headers) else {
        return refuse_counted(timed, status::out_of_memory(), respond);
    };
    let encoding = match Encoding::of(&head.headers) {
        Ok(encoding) => encoding,
        Err(status) => return refuse_counted(timed, status, respond),
    };
    let max_message_size = route.max_message_size(service.max_message_size);
    let mut call = Call { service: Arc::clone(service), route, timed, respond, reservation, guard, arrived };
    if call.route.shape() == Shape::Bidirectional {
        copy(&mut head.headers);
        tokio::spawn(subscription::open_bidirectional(call, head, encoding, body));
        return;
    }
    let mut incoming = Incoming::new(body, max_message_size, encoding != Encoding::Plain);
    match incoming.poll_message(&mut Context::from_waker(Waker::noop()), &mut call.reservation) {
        Poll::Ready(message) => call.forward(&head, encoding, message),
        Poll::Pending => {
            // A single value would keep all of the buffer that it was read into.
            copy(&mut head.headers);
            incoming.copy();
            tokio::spawn(call.wait(head, encoding, incoming));
        }
    }
}

fn copy(headers: &mut HeaderMap) {
    // Beyond that, the reservation covers the buffer.
    if account::size(headers) > SMALL {
        return;
    }
    for value in headers.values_mut() {
        if let Ok(copied) = HeaderValue::from_bytes(value.as_bytes()) {
            *value = copied;
        }
    }
}

impl<B: Backend> Call<B> {
    /// Waits for the rest of the message.
    async fn wait(mut self, head: Parts, encoding: Encoding, mut incoming: Incoming) {
        let service = Arc::clone(&self.service);
        let _call = service.in_flight.begin();
        let timeout = parse_timeout(&head.headers).ok().flatten();
        let deadline = timeout.and_then(|timeout| self.arrived.checked_add(timeout));
        let end = Until::of(deadline, &self.reservation);
        let until = |now: Instant, length: usize| {
            let megabytes = u32::try_from(length >> 20).unwrap_or(u32::MAX);
            let until = (now + SILENCE).min(self.arrived + MESSAGE + PER_MEGABYTE * megabytes);
            end.map_or(until, |end| end.time.min(until))
        };
        let mut alarm = pin!(sleep_until(until(self.arrived, 0)));
        let (reservation, respond) = (&mut self.reservation, &mut self.respond);
        let message = poll_fn(|cx| {
            let before = incoming.received();
            if let Poll::Ready(message) = incoming.poll_message(cx, reservation) {
                return Poll::Ready(Some(message));
            }
            // A call that was cancelled has no more to come.
            if respond.poll_reset(cx).is_ready() {
                return Poll::Ready(Some(Err(Failure::Gone)));
            }
            if incoming.received() != before {
                alarm.as_mut().reset(until(Instant::now(), incoming.length()));
            }
            alarm.as_mut().poll(cx).map(|()| None)
        })
        .await;
        drop(incoming);
        // Many such calls may become complete at once.
        let is_long = matches!(message, Some(Ok(_))) && account::size(&head.headers) > SMALL;
        let _turn = if is_long { service.contexts.turn().await } else { None };
        match message {
            Some(Ok(_)) if is_long && deadline.is_some_and(|deadline| deadline <= Instant::now()) => {
                refuse_counted(self.timed, status::too_late(), self.respond);
            }
            Some(message) => self.forward(&head, encoding, message),
            None if end.is_some_and(|end| end.time <= Instant::now()) => {
                let status = end.map_or_else(status::too_late, Until::status);
                refuse_counted(self.timed, status, self.respond);
            }
            None => {
                debug!(target: "centrifuge", "message not received in time");
                let status = Status::deadline_exceeded("the message did not arrive in time");
                refuse_counted(self.timed, status, self.respond);
            }
        }
    }

    /// Passes the call on to the health service, or in a task of its own to the backend.
    fn forward(mut self, head: &Parts, encoding: Encoding, message: Result<Message, Failure>) {
        let mut message = match message {
            Ok(message) => message,
            Err(Failure::Gone) => return,
            Err(Failure::Refused(status)) => return refuse_counted(self.timed, *status, self.respond),
        };
        match &mut self.route {
            Route::Health(method) => {
                let method = std::mem::take(method);
                let request = Request::from_parts(head.clone(), message.body);
                let (respond, reservation) = (self.respond, self.reservation);
                tokio::spawn(answer::health(self.service, method, request, respond, reservation, self.guard));
                return;
            }
            Route::Proxied { shape: Shape::Unary, .. } => {}
            Route::Proxied { .. } => {
                message.body = Bytes::copy_from_slice(&message.body);
                if let Some(subscription) = Subscription::of(self, head, encoding, None) {
                    tokio::spawn(subscription.open(message));
                }
                return;
            }
        }
        let head = match self.head(head, encoding, None) {
            Ok(head) => head,
            Err(status) => return refuse_counted(self.timed, status, self.respond),
        };
        if message.body.len() < SMALL && self.service.in_flight.calls() > MANY {
            message.body = Bytes::copy_from_slice(&message.body);
        }
        if let Some(entry) = self.timed.as_mut().and_then(|timed| timed.access.as_mut()) {
            entry.received(&head.context, &message.body);
        }
        let Self { service, timed, respond, reservation, guard, .. } = self;
        // Before it runs and when it ends, a task moves its future, or the space for it: some two kilobytes, six times.
        tokio::spawn(Box::pin(answer::answer(service, head, message, timed, respond, reservation, guard)));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::atomic::AtomicBool;

    use tokio::io::duplex;
    use tokio::sync::watch;

    use super::super::CredentialCheck;
    use super::super::health::Health;
    use super::super::statistics::Statistics;
    use super::*;
    use crate::net::Registration;
    use crate::pools::{self, Answered, Error, Opened, Timings};
    use crate::streams::Streams;
    use crate::telemetry::trace::Tracer;

    /// Answers nothing.
    #[derive(Clone)]
    pub(in super::super) struct NoBackend;

    impl Backend for NoBackend {
        fn route(&self, _: &str, _: &[u8]) -> usize {
            0
        }

        async fn call(&self, _: &pools::Request<'_>, _: &mut Timings) -> Result<Answered, Error> {
            Err(Error::NoAnswer { pid: 1 })
        }

        async fn open(
            &self,
            request: &pools::Request<'_>,
            _: &AtomicBool,
            timings: &mut Timings,
        ) -> Result<Opened, Error> {
            self.call(request, timings).await.map(Opened::Answer)
        }
    }

    /// Never answers.
    #[derive(Clone)]
    pub(in super::super) struct Silent;

    impl Backend for Silent {
        fn route(&self, _: &str, _: &[u8]) -> usize {
            0
        }

        async fn call(&self, _: &pools::Request<'_>, _: &mut Timings) -> Result<Answered, Error> {
            std::future::pending().await
        }

        async fn open(
            &self,
            request: &pools::Request<'_>,
            _: &AtomicBool,
            timings: &mut Timings,
        ) -> Result<Opened, Error> {
            self.call(request, timings).await.map(Opened::Answer)
        }
    }

    /// A connection to a server without a backend.
    async fn connect() -> (h2::client::SendRequest<Bytes>, Arc<Service<NoBackend>>) {
        connect_to(NoBackend).await
    }

    pub(in super::super) fn service<B: Backend>(backend: B) -> Arc<Service<B>> {
        let health = Health { serving: watch::channel(true).1 };
        let (statistics, streams) =
            (Statistics::new(crate::pool_names::PoolNames::default()), Streams::unhandled());
        let credentials = Arc::new(CredentialCheck::new(None));
        Arc::new(Service::new(backend, health, statistics, credentials, 1 << 20, streams, Tracer::default()))
    }

    async fn connect_to<B: Backend>(backend: B) -> (h2::client::SendRequest<Bytes>, Arc<Service<B>>) {
        let (near, far) = duplex(64 * 1024);
        let (server, client) = tokio::join!(h2::server::handshake(near), h2::client::handshake(far));
        let (mut server, (sender, client)) = (server.unwrap(), client.unwrap());
        let service = service(backend);
        let account = Account::open(Arc::clone(&service.in_flight), Arc::clone(&service.memory), None);
        let shared = Arc::clone(&service);
        tokio::spawn(async move {
            let registration = Registration::alone();
            while let Some(Ok((request, respond))) = server.accept().await {
                begin(&shared, &account, registration.call(), request, respond);
            }
        });
        tokio::spawn(client);
        (sender, service)
    }

    fn rpc() -> Request<()> {
        let path = "http://x/centrifugal.centrifugo.proxy.CentrifugoProxy/RPC";
        Request::post(path).header("content-type", "application/grpc").body(()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_does_not_arrive_in_time_is_given_up_and_holds_nothing() {
        let (mut sender, service) = connect().await;
        // Nothing of it; a piece now and then, with and without its length.
        for (piece, every, least) in [
            (&b""[..], SILENCE, SILENCE),
            (b"\0\0\x0f", SILENCE / 2, SILENCE),
            (b"\0\0\x0f\0\0\0\0\0\0\0\0\0", SILENCE / 2, MESSAGE),
        ] {
            let begin = Instant::now();
            let (response, mut body) = sender.send_request(rpc(), false).unwrap();
            let mut pieces = Bytes::from_static(piece);
            let mut response = pin!(response);
            let response = loop {
                tokio::select! {
                    response = &mut response => break response.unwrap(),
                    () = tokio::time::sleep(every) => {
                        if !pieces.is_empty() {
                            body.send_data(pieces.split_to(1), false).unwrap();
                        }
                    }
                }
            };
            assert_eq!(response.headers()["grpc-status"], "4", "DEADLINE_EXCEEDED");
            let took = begin.elapsed();
            assert!(took >= least && took <= MESSAGE + 2 * SILENCE, "{took:?}");
            assert_eq!((service.in_flight.calls(), service.memory.held()), (0, 0));
        }
    }

    /// Fifteen headers of 3,900 bytes, each of which takes six in JSON.
    fn escaped() -> Request<()> {
        let mut request = rpc();
        let value = HeaderValue::from_bytes(&[0xff; 3900]).unwrap();
        for _ in 0..15 {
            request.headers_mut().append("x", value.clone());
        }
        request
    }

    #[tokio::test(start_paused = true)]
    async fn contexts_of_calls_that_become_complete_at_once_are_built_in_turns() {
        let (mut sender, service) = connect().await;
        let turn = service.contexts.turn().await;
        let (small, mut of_small) = sender.send_request(rpc(), false).unwrap();
        let (large, mut of_large) = sender.send_request(escaped(), false).unwrap();
        let mut late = escaped();
        late.headers_mut().insert("grpc-timeout", HeaderValue::from_static("1S"));
        let (late, mut of_late) = sender.send_request(late, false).unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
        for body in [&mut of_small, &mut of_large, &mut of_late] {
            body.send_data(Bytes::from_static(&[0; 5]), true).unwrap();
        }
        assert_eq!(small.await.unwrap().headers()["grpc-status"], "13");
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(service.in_flight.calls(), 2);
        drop(turn);
        assert_eq!(large.await.unwrap().headers()["grpc-status"], "13");
        assert_eq!(late.await.unwrap().headers()["grpc-status"], "4");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_holds_the_context_that_it_has() {
        let (mut sender, service) = connect_to(Silent).await;
        let (_response, mut body) = sender.send_request(escaped(), false).unwrap();
        body.send_data(Bytes::from_static(&[0; 5]), true).unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(service.memory.held() > 15 * 3900 * 6, "{} bytes", service.memory.held());
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_call_holds_nothing() {
        let (mut sender, service) = connect().await;
        let (_, mut body) = sender.send_request(rpc(), false).unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(service.in_flight.calls(), 1);
        assert!(service.memory.held() > 0);
        body.send_reset(h2::Reason::CANCEL);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!((service.in_flight.calls(), service.memory.held()), (0, 0));
    }
}
