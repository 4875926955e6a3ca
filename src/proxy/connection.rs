//! One HTTP/2 connection: a task that reads and writes for all its calls, and a task for each call ([`super::call`]).

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use h2::server::{Builder, Connection};
use h2::{Ping, PingPong, Reason};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::account::Account;
use super::concurrency::CALLS;
use super::lifetime::{MaxAge, Stage, stages};
use super::service::Service;
use super::slice::by_slice;
use super::throttle::Throttle;
use super::{Backend, call};
use crate::net::{Accepted, Coalesce, Peer, Stream, Unsecured};

/// How long the last GOAWAY of a connection may take that is closed at once. Mostly the kernel takes the few bytes at once.
const GOODBYE: Duration = Duration::from_millis(5);

/// The interval of HTTP/2 PINGs; a peer that does not answer one within the timeout is gone.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Flow-control windows in bytes. HTTP/2's default of 64 KiB costs a round trip for each 64 KiB of a large message.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

/// Bytes of one answer that HTTP/2 takes at once if the window allows. They are not copied, and counted until they are sent.
const MAX_SEND_BUFFER: usize = 1 << 30;

/// The headers of one call, in bytes as HTTP/2 counts them. Browsers and the usual servers allow 8 to 32 KB.
const MAX_HEADERS: u32 = 64 << 10;

/// The budget for small DATA frames that are not read yet. `h2` counts the bytes that each is short of 256.
const SMALL_PIECES: usize = 4 << 20;

/// Calls that a peer may cancel before they were accepted, and protocol errors in its lifetime, before `h2`'s flood protection ends the
/// connection and all its calls. The peer is Centrifugo, whose deadlines cancel many calls at once when workers are slow. What a flood
/// costs others is bounded by [`super::slice`], and how long it lasts by [`super::resets`].
const MAX_RESETS: usize = 100_000;

/// Calls that ended on this side and are remembered for a second: frames that still arrive for them are no protocol error.
const REMEMBERED: usize = 1024;

/// How long the handshake may still take once the server is shutting down. A client may have sent calls together with it.
pub(super) const LATE_HANDSHAKE: Duration = Duration::from_millis(500);

/// How long a connection may last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lifetime {
    pub(super) max_age: MaxAge,
    /// How long it may be without a call; 0: as long as it likes.
    pub(super) idle_timeout: Duration,
}

/// A peer that was disconnected since it had cancelled too many calls.
#[derive(Debug)]
pub(super) struct Flooder(pub(super) Peer);

/// Serves a connection until it is closed. Once `closing` is cancelled, or at its age, it is drained (see [`super::lifetime`]). If it is idle, it
/// is asked to close.
pub(super) async fn serve<B: Backend>(
    accepted: Accepted,
    service: Arc<Service<B>>,
    closing: CancellationToken,
    lifetime: Lifetime,
) -> Option<Flooder> {
    let peer = accepted.peer;
    let (max_age, opened) = (lifetime.max_age.jittered(), Instant::now());
    let over = max_age.over(opened);
    let account = Account::open(Arc::clone(&service.in_flight), Arc::clone(&service.memory), over);
    let stages = stages(closing.clone(), max_age, opened);
    let lane = service.lane.clone();
    // Boxed, since it would be moved.
    let served = Box::pin(try_serve(accepted, service, Arc::clone(&account), closing, lifetime, stages));
    let error = by_slice(account.slice(), &lane, served).await.err()?;
    debug!(target: "centrifuge", %peer, %error, "connection closed with an error");
    matches!(error, Error::Resets).then_some(Flooder(peer))
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Unsecured(#[from] Unsecured),
    #[error(transparent)]
    Http2(#[from] h2::Error),
    #[error("no HTTP/2 handshake in time")]
    NoHandshake,
    #[error("too many cancelled calls")]
    Resets,
    #[error("no answer to a ping within {KEEPALIVE_TIMEOUT:?}")]
    Silent,
}

async fn try_serve<B: Backend>(
    accepted: Accepted,
    service: Arc<Service<B>>,
    account: Arc<Account>,
    closing: CancellationToken,
    lifetime: Lifetime,
    stages: impl futures_util::Stream<Item = Stage>,
) -> Result<(), Error> {
    let mut stages = pin!(stages);
    let shutdown = async {
        closing.cancelled().await;
        sleep(LATE_HANDSHAKE).await;
    };
    let mut shutdown = pin!(shutdown);
    let secured = tokio::select! {
        biased;
        secured = accepted.secured() => secured?,
        () = &mut shutdown => return Ok(()),
    };
    let Accepted { stream, registration, handshake_until, .. } = secured;
    let in_flight = Arc::clone(&service.in_flight);
    let is_unix = matches!(stream, Stream::Unix(_));
    let stream = Throttle::new(stream, Arc::clone(&account), is_unix);
    let stream = Coalesce::new(stream, move || in_flight.calls() > 0);
    let handshake = http2(service.streams.max()).handshake(stream);
    let handshake = registration.until_evicted(timeout_at(handshake_until, handshake));
    let opened = tokio::select! {
        biased;
        opened = handshake => opened,
        () = &mut shutdown => None,
    };
    let Some(opened) = opened else { return Ok(()) };
    registration.spoke();
    let mut connection = opened.map_err(|_| Error::NoHandshake)??;
    let mut silent = pin!(silence(connection.ping_pong()));
    let mut evicted = pin!(registration.evicted());
    let mut idle = pin!(registration.idle(lifetime.idle_timeout));
    let (mut refuses, mut is_idle) = (false, false);
    loop {
        tokio::select! {
            biased;
            accepted = account.until_flooded(account.slice().accepting(connection.accept())) => match accepted {
                Some(Some(accepted)) => {
                    let (request, mut respond) = accepted?;
                    if refuses || account.is_full() {
                        respond.send_reset(Reason::REFUSED_STREAM);
                    } else {
                        call::begin(&service, &account, registration.call(), request, respond);
                    }
                }
                Some(None) => return Ok(()),
                None => {
                    leave(connection, Reason::ENHANCE_YOUR_CALM).await?;
                    return Err(Error::Resets);
                }
            },
            Some(stage) = stages.next() => match stage {
                Stage::Draining => connection.graceful_shutdown(),
                Stage::Refusing => refuses = true,
                // Calls end by themselves now.
                Stage::Over => {
                    let (streams, port) = (service.streams.clone(), Arc::clone(account.port()));
                    tokio::spawn(async move { streams.end_of(&port).await });
                }
                Stage::Cut => return leave(connection, Reason::NO_ERROR).await,
            },
            () = &mut idle, if !is_idle => {
                is_idle = true;
                connection.graceful_shutdown();
            }
            () = &mut silent => return Err(Error::Silent),
            () = &mut evicted => return leave(connection, Reason::NO_ERROR).await,
        }
    }
}

/// Closes a connection. The client makes its next calls on another one.
async fn leave<S>(mut connection: Connection<S, Bytes>, reason: Reason) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    connection.abrupt_shutdown(reason);
    let _ = timeout(GOODBYE, poll_fn(|cx| connection.poll_closed(cx))).await;
    Ok(())
}

/// The settings for Centrifugo's connections, each of which may have this many subscription streams.
fn http2(streams: u32) -> Builder {
    let mut http2 = Builder::new();
    http2
        .max_concurrent_streams(CALLS.saturating_add(streams))
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

/// Resolves when the peer does not answer a ping.
async fn silence(ping: Option<PingPong>) {
    // `h2` hands it out once, to this caller.
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
    use tokio::io::duplex;

    use super::*;

    /// How long a connection is kept whose peer answers pings, or does not.
    async fn kept(answers: bool) -> Duration {
        let (near, far) = duplex(64 * 1024);
        let (server, client) = tokio::join!(http2(0).handshake::<_, Bytes>(near), h2::client::handshake(far));
        let (mut server, (_sender, client)) = (server.unwrap(), client.unwrap());
        let ping = server.ping_pong();
        tokio::spawn(async move { while server.accept().await.is_some() {} });
        let _client = if answers { Ok(tokio::spawn(client)) } else { Err(client) };
        let begin = Instant::now();
        let _ = timeout(10 * KEEPALIVE, silence(ping)).await;
        begin.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_answers_no_ping_is_disconnected() {
        assert_eq!(kept(false).await, KEEPALIVE + KEEPALIVE_TIMEOUT);
        assert_eq!(kept(true).await, 10 * KEEPALIVE);
    }
}
