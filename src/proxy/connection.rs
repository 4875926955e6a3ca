//! One HTTP/2 connection of a caller: a task that reads and writes for all its calls, and a task for each call.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Ping, PingPong, RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use hyper::body::{Body as _, Frame};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::debug;

use super::calls::Calls;
use super::incoming::Incoming;
use super::service::{Reply, Service};
use super::{Backend, unary};
use crate::net::{Accepted, Coalesce};

/// How long a caller may take until it has said that it speaks HTTP/2; what grpc-go allows (`ConnectionTimeout`).
const HANDSHAKE: Duration = Duration::from_mins(2);

/// How long a connection that is closed for another may take to say so. Its caller's kernel takes the few bytes at once, mostly.
const GOODBYE: Duration = Duration::from_millis(5);

/// HTTP/2 PING at this interval; a peer that does not answer within the next constant is gone.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Calls at the same time on one connection. Centrifugo has one connection for all its calls.
const MAX_CONCURRENT_STREAMS: u32 = 100_000;

/// How much of a message may be under way, per call and per connection, before the receiver has to acknowledge it. HTTP/2's own 64 KiB
/// cost a round trip for each 64 KiB of a large message.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

/// Metadata of one call. HTTP/2 has no limit of its own; this is ample for cookies.
const MAX_HEADERS: u32 = 1 << 20;

/// Calls that a peer may cancel, or that may fail, at once before HTTP/2's protection against floods ends the connection, with all the
/// other calls on it. The peer is Centrifugo, whose deadlines end many calls at once when workers are slow.
const MAX_RESETS: usize = 100_000;

/// Serves a connection to its end. Once `closing` is cancelled its caller is asked to make no more calls, and it ends after the last one.
pub(super) async fn serve<B: Backend>(
    accepted: Accepted,
    service: Arc<Service<B>>,
    closing: CancellationToken,
) {
    if let Err(error) = try_serve(accepted, service, closing).await {
        debug!(target: "centrifuge", %error, "a connection has ended with an error");
    }
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Http2(#[from] h2::Error),
    #[error("the caller did not begin with HTTP/2 within {HANDSHAKE:?}")]
    NoHandshake,
    #[error("the caller did not answer a ping within {KEEPALIVE_TIMEOUT:?}")]
    Silent,
}

async fn try_serve<B: Backend>(
    accepted: Accepted,
    service: Arc<Service<B>>,
    closing: CancellationToken,
) -> Result<(), Error> {
    let Accepted { stream, registration, .. } = accepted;
    let calls = Arc::clone(&service.calls);
    let stream = Coalesce::new(stream, move || calls.in_flight());
    let handshake = registration.until_evicted(timeout(HANDSHAKE, http2().handshake(stream)));
    // Nothing was asked before the handshake, so nothing has to be finished.
    let Some(Some(opened)) = closing.run_until_cancelled(handshake).await else { return Ok(()) };
    registration.spoke();
    let mut connection = opened.map_err(|_| Error::NoHandshake)??;
    let mut silent = pin!(silence(connection.ping_pong()));
    let mut closing = pin!(closing.cancelled_owned());
    let mut evicted = pin!(registration.evicted());
    let mut leaving = false;
    loop {
        tokio::select! {
            biased;
            accepted = connection.accept() => match accepted {
                Some(accepted) => {
                    let (request, respond) = accepted?;
                    // The clock starts when the call arrives.
                    let answered = call(Arc::clone(&service), request, respond, Instant::now());
                    let in_flight = registration.call();
                    tokio::spawn(async move {
                        answered.await;
                        drop(in_flight);
                    });
                }
                None => return Ok(()),
            },
            () = &mut closing, if !leaving => {
                leaving = true;
                connection.graceful_shutdown();
            }
            () = &mut silent => return Err(Error::Silent),
            () = &mut evicted => {
                // What the caller asks for from now on, it asks for on another connection.
                connection.abrupt_shutdown(h2::Reason::NO_ERROR);
                let _ = timeout(GOODBYE, poll_fn(|cx| connection.poll_closed(cx))).await;
                return Ok(());
            }
        }
    }
}

/// HTTP/2 as it is spoken with Centrifugo.
fn http2() -> Builder {
    let mut http2 = Builder::new();
    http2
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEADERS)
        .max_pending_accept_reset_streams(MAX_RESETS)
        .max_local_error_reset_streams(Some(MAX_RESETS));
    http2
}

/// Resolves when the peer has not answered a ping.
async fn silence(ping: Option<PingPong>) {
    // There is none after somebody else took it, and nobody does.
    let Some(mut ping) = ping else { return std::future::pending().await };
    loop {
        sleep(KEEPALIVE).await;
        if !matches!(timeout(KEEPALIVE_TIMEOUT, ping.ping(Ping::opaque())).await, Ok(Ok(_))) {
            return;
        }
    }
}

/// One call, until HTTP/2 has its answer or its caller has gone.
async fn call<B: Backend>(
    service: Arc<Service<B>>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    arrived: Instant,
) {
    let reply = tokio::select! {
        biased;
        reply = service.answer(request.map(Incoming::new), arrived) => reply,
        _ = poll_fn(|cx| respond.poll_reset(cx)) => return,
    };
    let sent = match reply {
        Reply::Message(answer) => send_message(&answer.body, respond, &service.calls),
        Reply::Other(response) => Box::pin(send(response, respond, &service.calls)).await,
    };
    if let Err(error) = sent {
        debug!(target: "centrifuge", %error, "an answer could not be sent");
    }
}

/// Sends a message, and that all went well. What the caller does not take yet is kept by h2.
fn send_message(
    message: &Bytes,
    mut respond: SendResponse<Bytes>,
    calls: &Arc<Calls>,
) -> Result<(), h2::Error> {
    let mut head = Response::new(());
    head.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    let mut stream = respond.send_response(head, false)?;
    let (first, second) = unary::frame(message);
    stream.send_data(calls.unsent(first), false)?;
    if !second.is_empty() {
        stream.send_data(calls.unsent(second), false)?;
    }
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(Status::GRPC_STATUS, HeaderValue::from_static("0"));
    stream.send_trailers(trailers)
}

/// Sends what tonic has made: a status alone, a compressed message, or a stream of them.
async fn send(
    response: Response<tonic::body::Body>,
    mut respond: SendResponse<Bytes>,
    calls: &Arc<Calls>,
) -> Result<(), h2::Error> {
    let (head, body) = response.into_parts();
    let head = Response::from_parts(head, ());
    let mut body = pin!(body);
    if body.is_end_stream() {
        return respond.send_response(head, true).map(drop);
    }
    let mut stream = respond.send_response(head, false)?;
    loop {
        let frame = tokio::select! {
            biased;
            frame = poll_fn(|cx| body.as_mut().poll_frame(cx)) => frame,
            _ = poll_fn(|cx| stream.poll_reset(cx)) => return Ok(()),
        };
        let Some(frame) = frame else { return stream.send_data(Bytes::new(), true) };
        if send_frame(frame, &mut stream, calls)? {
            return Ok(());
        }
    }
}

/// Sends a part of a body; says whether it was the last.
fn send_frame(
    frame: Result<Frame<Bytes>, Status>,
    stream: &mut SendStream<Bytes>,
    calls: &Arc<Calls>,
) -> Result<bool, h2::Error> {
    let frame = match frame {
        Ok(frame) => frame,
        Err(error) => {
            debug!(target: "centrifuge", %error, "the body of an answer has failed");
            stream.send_reset(h2::Reason::INTERNAL_ERROR);
            return Ok(true);
        }
    };
    match frame.into_data().map_err(Frame::into_trailers) {
        Ok(data) => stream.send_data(calls.unsent(data), false).map(|()| false),
        Err(Ok(trailers)) => stream.send_trailers(trailers).map(|()| true),
        Err(Err(_)) => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    /// How long a peer that answers pings, or not, is believed to be there.
    async fn believed(answers: bool) -> Duration {
        let (near, far) = duplex(64 * 1024);
        let (server, client) = tokio::join!(http2().handshake::<_, Bytes>(near), h2::client::handshake(far));
        let (mut server, (_sender, client)) = (server.unwrap(), client.unwrap());
        let ping = server.ping_pong();
        tokio::spawn(async move { while server.accept().await.is_some() {} });
        let _client = if answers { Ok(tokio::spawn(client)) } else { Err(client) };
        let begin = Instant::now();
        let _ = timeout(10 * KEEPALIVE, silence(ping)).await;
        begin.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_answers_no_ping_is_gone() {
        assert_eq!(believed(false).await, KEEPALIVE + KEEPALIVE_TIMEOUT);
        assert_eq!(believed(true).await, 10 * KEEPALIVE);
    }
}
