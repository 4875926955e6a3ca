//! One call: from its headers to the bytes of its answer.
//!
//! ```text
//!  accepted ──▶ begin ──▶ its message is there ──▶ forward ──▶ a task: backend, answer
//!                 └─▶ its message is not there yet ──▶ a small task waits for it ──▶ forward
//! ```
//!
//! Most calls are accepted together with their message: such a call is read, and its context is built, on the spot. A call that was taken
//! back meanwhile costs no task. One whose message is still to come keeps nothing but its headers, and not for ever.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Request};
use tokio::time::{Instant, sleep_until};
use tonic::Status;
use tracing::debug;

use super::account::{self, Account, Hold};
use super::gzip::Encoding;
use super::incoming::{Failure, Incoming};
use super::send;
use super::service::{Exchange, Reply, Route, Service};
use super::statistics::Timed;
use super::unary::Framed;
use super::{Backend, context, deadline, status};
use crate::net::EvictionGuard;

/// How long nothing of a message may arrive.
const SILENCE: Duration = Duration::from_secs(10);

/// How long a message may take, and how much longer for each megabyte.
const MESSAGE: Duration = Duration::from_secs(30);
const PER_MEGABYTE: Duration = Duration::from_secs(1);

/// With so many calls in flight, a small message is copied out of what was read together with it, which it would keep in memory.
const MANY: usize = 1024;
const SMALL: usize = 4096;

/// A call that has arrived.
struct Call<B> {
    service: Arc<Service<B>>,
    route: Route,
    /// None of the health service.
    timed: Option<Timed>,
    respond: SendResponse<Bytes>,
    hold: Hold,
    guard: EvictionGuard,
    arrived: Instant,
}

/// Takes a call; returns without waiting for anything.
pub(super) fn begin<B: Backend>(
    service: &Arc<Service<B>>,
    account: &Arc<Account>,
    guard: EvictionGuard,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
) {
    // The clock starts when the call arrives.
    let arrived = Instant::now();
    let (mut head, body) = request.into_parts();
    let route = match Route::of(&head) {
        Ok(route) => route,
        Err(response) => return refuse(*response, respond),
    };
    let timed = route.kind().map(|kind| service.statistics.begin(kind, arrived));
    let refused = if let Some(refused) = route.refused() {
        Err(refused)
    } else {
        account.hold_call(&head.headers).ok_or_else(status::too_much)
    };
    let hold = match refused {
        Ok(hold) => hold,
        Err(status) => return refuse_counted(timed, status, respond),
    };
    let encoding = match Encoding::of(&head.headers) {
        Ok(encoding) => encoding,
        Err(status) => return refuse_counted(timed, status, respond),
    };
    let mut call = Call { service: Arc::clone(service), route, timed, respond, hold, guard, arrived };
    let limit =
        if matches!(call.route, Route::Health(_)) { super::health::LIMIT } else { service.max_message_size };
    let mut incoming = Incoming::new(body, limit, encoding != Encoding::Plain);
    match incoming.poll_message(&mut Context::from_waker(Waker::noop()), &mut call.hold) {
        Poll::Ready(message) => call.forward(&head, encoding, message),
        Poll::Pending => {
            // Everything was read in pieces of several kilobytes, which a single value would keep in memory.
            copy(&mut head.headers);
            incoming.copy();
            tokio::spawn(call.wait(head, encoding, incoming));
        }
    }
}

fn copy(headers: &mut HeaderMap) {
    // The memory that is held for more covers it; and it may be shared with other calls.
    if account::size(headers) > SMALL {
        return;
    }
    for value in headers.values_mut() {
        if let Ok(copied) = HeaderValue::from_bytes(value.as_bytes()) {
            *value = copied;
        }
    }
}

fn refuse(response: http::Response<tonic::body::Body>, respond: SendResponse<Bytes>) {
    if let Err(error) = send::head_alone(response, respond) {
        debug!(target: "centrifuge", %error, "a call could not be refused");
    }
}

fn refuse_counted(timed: Option<Timed>, status: Status, respond: SendResponse<Bytes>) {
    if let Some(timed) = timed {
        timed.end(status.code());
    }
    refuse(status.into_http(), respond);
}

impl<B: Backend> Call<B> {
    /// Waits for the rest of the message.
    async fn wait(mut self, head: http::request::Parts, encoding: Encoding, mut incoming: Incoming) {
        let service = Arc::clone(&self.service);
        let Some(_call) = service.calls.begin() else {
            return refuse_counted(self.timed, status::of(&crate::pool::Error::ShuttingDown), self.respond);
        };
        let own = deadline::timeout(&head.headers).ok().flatten();
        let own = own.and_then(|timeout| self.arrived.checked_add(timeout));
        let until = |now: Instant, length: usize| {
            let megabytes = u32::try_from(length >> 20).unwrap_or(u32::MAX);
            let until = (now + SILENCE).min(self.arrived + MESSAGE + PER_MEGABYTE * megabytes);
            own.map_or(until, |own| own.min(until))
        };
        let mut alarm = pin!(sleep_until(until(self.arrived, 0)));
        let (hold, respond) = (&mut self.hold, &mut self.respond);
        let message = poll_fn(|cx| {
            let before = incoming.received();
            if let Poll::Ready(message) = incoming.poll_message(cx, hold) {
                return Poll::Ready(Some(message));
            }
            // Nothing is left to wait for when the caller has taken the call back.
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
        match message {
            Some(message) => self.forward(&head, encoding, message),
            None if own.is_some_and(|own| own <= Instant::now()) => {
                refuse_counted(self.timed, status::too_late(), self.respond);
            }
            None => {
                debug!(target: "centrifuge", "the message of a call did not arrive in time");
                let status = Status::deadline_exceeded("the message did not arrive in time");
                refuse_counted(self.timed, status, self.respond);
            }
        }
    }

    /// Hands the call to whoever answers it.
    fn forward(self, head: &http::request::Parts, encoding: Encoding, message: Result<Framed, Failure>) {
        let mut message = match message {
            Ok(message) => message,
            // Nobody is left to be answered.
            Err(Failure::Gone) => return,
            Err(Failure::Refused(status)) => return refuse_counted(self.timed, *status, self.respond),
        };
        let kind = match self.route {
            Route::Health(method) => {
                let request = http::Request::from_parts(head.clone(), message.body);
                tokio::spawn(health(self.service, method, request, self.respond, self.hold, self.guard));
                return;
            }
            Route::Proxied { kind, .. } => kind,
        };
        let authority = head.uri.authority().map(|read| self.hold.account().authority(read.as_str()));
        let (context, timeout) =
            match (context::build(&kind, authority, &head.headers), deadline::timeout(&head.headers)) {
                (Ok(context), Ok(timeout)) => (context, timeout),
                // What grpc-go answers.
                (Err(malformed), _) => {
                    return refuse_counted(self.timed, status::malformed(&malformed), self.respond);
                }
                (_, Err(malformed)) => {
                    return refuse_counted(self.timed, status::malformed(&malformed), self.respond);
                }
            };
        if message.body.len() < SMALL && self.service.calls.count() > MANY {
            message.body = Bytes::copy_from_slice(&message.body);
        }
        let deadline = timeout.and_then(|timeout| self.arrived.checked_add(timeout));
        let exchange = Exchange { kind, context, deadline, encoding };
        let (service, timed, respond, hold) = (self.service, self.timed, self.respond, self.hold);
        tokio::spawn(answer(service, exchange, message, timed, respond, hold, self.guard));
    }
}

/// The part of a call that takes time, until HTTP/2 has its answer or its caller has gone. It is in flight as long as this future is there:
/// another one around it would have room for it twice.
async fn answer<B: Backend>(
    service: Arc<Service<B>>,
    exchange: Exchange,
    message: Framed,
    timed: Option<Timed>,
    mut respond: SendResponse<Bytes>,
    mut hold: Hold,
    _guard: EvictionGuard,
) {
    let reply = tokio::select! {
        biased;
        reply = service.answer(exchange, message, &mut hold) => reply,
        _ = poll_fn(|cx| respond.poll_reset(cx)) => return,
    };
    let reply = reply.within(&mut hold);
    if let Some(timed) = timed {
        timed.end(reply.code());
    }
    let sent = match reply {
        Reply::Message(answer) => send::message(&answer.body, false, respond, hold),
        Reply::Packed(body) => send::message(&body, true, respond, hold),
        Reply::Status(status) => send::head_alone(status.into_http(), respond).map(|()| None),
    };
    let sent = match sent {
        Ok(Some(untaken)) => Box::pin(untaken.send()).await,
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = sent {
        debug!(target: "centrifuge", %error, "an answer could not be sent");
    }
}

async fn health<B: Backend>(
    service: Arc<Service<B>>,
    method: String,
    request: http::Request<Bytes>,
    respond: SendResponse<Bytes>,
    hold: Hold,
    _guard: EvictionGuard,
) {
    let response = service.health.answer(&method, request).await;
    if let Err(error) = send::response(response, respond, &hold).await {
        debug!(target: "centrifuge", %error, "an answer could not be sent");
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;
    use tokio::sync::watch;

    use super::super::calls::Calls;
    use super::super::gzip::Gzip;
    use super::super::health::Health;
    use super::*;
    use crate::net::Registration;
    use crate::pool::{Answered, Error};

    /// Answers nothing.
    #[derive(Clone)]
    struct Nobody;

    impl Backend for Nobody {
        async fn call(&self, _: super::super::Request<'_>) -> Result<Answered, Error> {
            Err(Error::NoAnswer)
        }
    }

    /// A connection to a server that has nobody to answer.
    async fn connect() -> (h2::client::SendRequest<Bytes>, Arc<Calls>) {
        let (near, far) = duplex(64 * 1024);
        let (server, client) = tokio::join!(h2::server::handshake(near), h2::client::handshake(far));
        let (mut server, (sender, client)) = (server.unwrap(), client.unwrap());
        let calls = Arc::new(Calls::new(1 << 20));
        let service = Arc::new(Service {
            backend: Nobody,
            health: Health { serving: watch::channel(true).1 },
            calls: Arc::clone(&calls),
            statistics: Arc::default(),
            gzip: Gzip::new(),
            max_message_size: 1 << 20,
        });
        let account = Account::open(Arc::clone(&calls));
        tokio::spawn(async move {
            let registration = Registration::alone();
            while let Some(Ok((request, respond))) = server.accept().await {
                begin(&service, &account, registration.call(), request, respond);
            }
        });
        tokio::spawn(client);
        (sender, calls)
    }

    fn rpc() -> Request<()> {
        let path = "http://x/centrifugal.centrifugo.proxy.CentrifugoProxy/RPC";
        Request::post(path).header("content-type", "application/grpc").body(()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_does_not_come_is_waited_for_so_long_and_then_holds_nothing() {
        let (mut sender, calls) = connect().await;
        // Nothing of it; a piece now and then, of a message that is announced or not.
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
            assert_eq!(calls.count(), 0);
            assert_eq!(calls.memory.held(), 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_taken_back_holds_nothing_any_more() {
        let (mut sender, calls) = connect().await;
        let (_, mut body) = sender.send_request(rpc(), false).unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(calls.count(), 1);
        assert!(calls.memory.held() > 0);
        body.send_reset(h2::Reason::CANCEL);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!((calls.count(), calls.memory.held()), (0, 0));
    }
}
