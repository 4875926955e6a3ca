//! One HTTP/2 connection of a caller: a task that reads and writes for all its calls, and a task for each call (`call`).

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use h2::server::Builder;
use h2::{Ping, PingPong};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::account::Account;
use super::intake::Intake;
use super::service::Service;
use super::slice::by_slice;
use super::{Backend, call};
use crate::net::{Accepted, Coalesce, Stream};

/// How long a caller may take until it has said that it speaks HTTP/2; what grpc-go allows (`ConnectionTimeout`).
const HANDSHAKE: Duration = Duration::from_mins(2);

/// How long a connection that is closed for another may take to say so. Its caller's kernel takes the few bytes at once, mostly.
const GOODBYE: Duration = Duration::from_millis(5);

/// HTTP/2 PING at this interval; a peer that does not answer within the next constant is gone.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Calls at the same time on one connection. Centrifugo has one connection for all its calls; those beyond wait at its side. `h2` looks at all
/// of them when a connection ends: that is some ten milliseconds.
const MAX_CONCURRENT_STREAMS: u32 = 10_000;

/// How much of a message may be under way, per call and per connection, before the receiver has to acknowledge it. HTTP/2's own 64 KiB
/// cost a round trip for each 64 KiB of a large message.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

/// How much of one answer is given to HTTP/2 at once, if its caller has room for it. It is not copied, and counted until it is sent.
const MAX_SEND_BUFFER: usize = 1 << 30;

/// The headers of one call, in bytes as HTTP/2 counts them. Browsers and the usual servers allow 8 to 32 KB.
const MAX_HEADERS: u32 = 64 << 10;

/// Small pieces of messages that may lie there unread. HTTP/2's protection counts the bytes that each is short of 256.
const SMALL_PIECES: usize = 4 << 20;

/// Calls that a peer may take back before they were looked at, and faults of the protocol in its lifetime, before HTTP/2's protection
/// against floods ends the connection, with all the other calls on it. The peer is Centrifugo, whose deadlines end many calls at once when
/// workers are slow. What a flood costs others is bounded by [`super::slice`].
const MAX_RESETS: usize = 100_000;

/// Calls that ended on this side and are remembered for a second: what their callers still send is no fault.
const REMEMBERED: usize = 1024;

/// Serves a connection to its end. Once `closing` is cancelled its caller is asked to make no more calls, and it ends after the last one.
pub(super) async fn serve<B: Backend>(
    accepted: Accepted,
    service: Arc<Service<B>>,
    closing: CancellationToken,
) {
    let account = Account::open(Arc::clone(&service.calls));
    let lane = &account.calls.memory.lane;
    let served = try_serve(accepted, service, Arc::clone(&account), closing);
    if let Err(error) = by_slice(account.slice(), lane, served).await {
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
    account: Arc<Account>,
    closing: CancellationToken,
) -> Result<(), Error> {
    let Accepted { stream, registration, .. } = accepted;
    let calls = Arc::clone(&service.calls);
    let is_unix = matches!(stream, Stream::Unix(_));
    let stream = Coalesce::new(Intake::new(stream, Arc::clone(&account), is_unix), move || calls.in_flight());
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
            accepted = account.slice().taking(connection.accept()) => match accepted {
                Some(accepted) => {
                    let (request, respond) = accepted?;
                    call::begin(&service, &account, registration.call(), request, respond);
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
        .data_frame_budget(SMALL_PIECES)
        .max_send_buffer_size(MAX_SEND_BUFFER)
        .max_concurrent_reset_streams(REMEMBERED)
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::io::duplex;
    use tokio::time::Instant;

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
