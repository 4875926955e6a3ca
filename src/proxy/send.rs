//! The answer of a call on its way to the caller, as fast as the caller's flow control allows.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Response, header};
use hyper::body::{Body as _, Frame};
use tokio::time::timeout;
use tonic::Status;
use tracing::debug;

use super::POOL_HEADER;
use super::account::Reservation;
use super::retry::Retry;
use crate::grpc;

/// How long a caller's flow control may block an answer.
const BLOCKED: Duration = Duration::from_secs(30);

/// An answer that waits for the caller's flow control.
#[must_use = "it is not sent"]
pub(super) struct Blocked {
    stream: SendStream<Bytes>,
    parts: [Bytes; 2],
}

/// Bytes that are counted until HTTP/2 drops them, and the memory that they take: they have been sent then, or their caller has gone.
#[derive(Debug)]
struct Unsent {
    part: Bytes,
    reservation: Reservation,
}

/// Sends a message and the status OK, with the name of the pool if it was asked for, if the caller's flow control allows all of it.
pub(super) fn message(
    message: &Bytes,
    is_compressed: bool,
    pool: Option<HeaderValue>,
    mut respond: SendResponse<Bytes>,
    reservation: Reservation,
) -> Result<Option<Blocked>, h2::Error> {
    let (first, second) = match grpc::frame(message, is_compressed) {
        Ok(parts) => parts,
        Err(error) => {
            let status = Retry::Never.advised(Status::resource_exhausted(error.to_string()));
            return head_alone(status.into_http(), respond).map(|()| None);
        }
    };
    let mut head = Response::new(());
    head.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(grpc::CONTENT_TYPE));
    if is_compressed {
        head.headers_mut().insert(&grpc::ENCODING, HeaderValue::from_static("gzip"));
    }
    if let Some(pool) = pool {
        head.headers_mut().insert(POOL_HEADER, pool);
    }
    let mut stream = respond.send_response(head, false)?;
    let length = first.len() + second.len();
    stream.reserve_capacity(length);
    let has_room = stream.capacity() >= length;
    // The part that is sent last is counted.
    let parts = if second.is_empty() {
        [unsent(first, reservation), second]
    } else {
        [first, unsent(second, reservation)]
    };
    if !has_room {
        return Ok(Some(Blocked { stream, parts }));
    }
    for part in parts {
        if !part.is_empty() {
            stream.send_data(part, false)?;
        }
    }
    stream.send_trailers(ok()).map(|()| None)
}

fn unsent(part: Bytes, reservation: Reservation) -> Bytes {
    reservation.account().in_flight.send();
    Bytes::from_owner(Unsent { part, reservation })
}

impl AsRef<[u8]> for Unsent {
    fn as_ref(&self) -> &[u8] {
        &self.part
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        self.reservation.account().in_flight.sent();
    }
}

fn ok() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(Status::GRPC_STATUS, HeaderValue::from_static("0"));
    trailers
}

impl Blocked {
    /// Sends the answer as the caller's flow control allows; gives up when it allows nothing for too long.
    pub(super) async fn send(mut self) -> Result<(), h2::Error> {
        for mut part in self.parts {
            while !part.is_empty() {
                self.stream.reserve_capacity(part.len());
                let Ok(room) = timeout(BLOCKED, room(&mut self.stream)).await else {
                    debug!(target: "centrifuge", "answer dropped: caller is not reading it");
                    self.stream.send_reset(h2::Reason::CANCEL);
                    return Ok(());
                };
                // `None`: the caller has gone.
                let Some(room) = room? else { return Ok(()) };
                self.stream.send_data(part.split_to(room.min(part.len())), false)?;
            }
        }
        self.stream.send_trailers(ok())
    }
}

/// The number of bytes that may be sent, once it is not zero.
async fn room(stream: &mut SendStream<Bytes>) -> Result<Option<usize>, h2::Error> {
    poll_fn(|cx| {
        loop {
            let room = stream.capacity();
            if room > 0 {
                return Poll::Ready(Ok(Some(room)));
            }
            match ready!(stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(error)),
                None => return Poll::Ready(Ok(None)),
            }
        }
    })
    .await
}

/// Sends a small message, which is framed already, as the last one of a stream.
pub(super) fn last(mut stream: SendStream<Bytes>, message: Bytes) -> Result<(), h2::Error> {
    stream.send_data(message, false)?;
    stream.send_trailers(ok())
}

/// Sends a status without a message.
pub(super) fn head_alone(
    response: Response<tonic::body::Body>,
    mut respond: SendResponse<Bytes>,
) -> Result<(), h2::Error> {
    let (head, _) = response.into_parts();
    respond.send_response(Response::from_parts(head, ()), true).map(drop)
}

/// Sends a response made by tonic: a status alone, a message, or a stream of them.
pub(super) async fn response(
    response: Response<tonic::body::Body>,
    mut respond: SendResponse<Bytes>,
    reservation: &Reservation,
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
        if send_frame(frame, &mut stream, reservation)? {
            return Ok(());
        }
    }
}

/// Sends a part of a body; true if it was the last.
fn send_frame(
    frame: Result<Frame<Bytes>, Status>,
    stream: &mut SendStream<Bytes>,
    reservation: &Reservation,
) -> Result<bool, h2::Error> {
    let frame = match frame {
        Ok(frame) => frame,
        Err(error) => {
            debug!(target: "centrifuge", %error, "cannot read the body of an answer");
            stream.send_reset(h2::Reason::INTERNAL_ERROR);
            return Ok(true);
        }
    };
    match frame.into_data().map_err(Frame::into_trailers) {
        Ok(data) => {
            let Some(reservation) = reservation.account().reserve(data.len()) else {
                stream.send_reset(h2::Reason::ENHANCE_YOUR_CALM);
                return Ok(true);
            };
            stream.send_data(unsent(data, reservation), false).map(|()| false)
        }
        Err(Ok(trailers)) => stream.send_trailers(trailers).map(|()| true),
        Err(Err(_)) => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::duplex;

    use super::super::account::Account;
    use super::super::in_flight::InFlight;
    use super::super::memory::Memory;
    use super::*;

    fn account() -> (Arc<Account>, Arc<Memory>) {
        let memory = Arc::new(Memory::new(0));
        (Account::open(Arc::new(InFlight::new()), Arc::clone(&memory), None), memory)
    }

    /// The answer `0123456789`, and the caller's side of it, whose window has so many bytes.
    async fn answer(room: u32) -> (Option<Blocked>, h2::client::ResponseFuture, Arc<Memory>) {
        let (near, far) = duplex(64 * 1024);
        let mut builder = h2::client::Builder::new();
        let client = builder.initial_window_size(room).handshake::<_, Bytes>(far);
        let (server, client) = tokio::join!(h2::server::handshake(near), client);
        let (mut server, (mut sender, client)) = (server.unwrap(), client.unwrap());
        tokio::spawn(client);
        let (response, _) = sender.send_request(http::Request::new(()), true).unwrap();
        let (_, respond) = server.accept().await.unwrap().unwrap();
        let (account, memory) = account();
        let reservation = account.reserve(10).unwrap();
        let blocked = message(&Bytes::from_static(b"0123456789"), false, None, respond, reservation).unwrap();
        tokio::spawn(async move {
            let _sender = sender;
            while server.accept().await.is_some() {}
        });
        (blocked, response, memory)
    }

    #[test]
    fn an_answer_is_in_flight_until_its_last_part_is_dropped() {
        let (account, memory) = account();
        let answer = unsent(Bytes::from_static(b"answer"), account.reserve(6).unwrap());
        let part = answer.slice(3..);
        drop(answer);
        assert_eq!((account.in_flight.unsent(), memory.held()), (1, 6));
        drop(part);
        assert_eq!((account.in_flight.unsent(), memory.held()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_its_caller_does_not_read_is_dropped_after_a_while() {
        for room in [0, 14] {
            let (blocked, response, memory) = answer(room).await;
            let mut body = response.await.unwrap().into_body();
            let begin = tokio::time::Instant::now();
            blocked.unwrap().send().await.unwrap();
            assert_eq!(begin.elapsed(), BLOCKED);
            let mut taken = 0;
            let error = loop {
                match body.data().await.unwrap() {
                    Ok(piece) => taken += piece.len(),
                    Err(error) => break error,
                }
            };
            assert_eq!(error.reason(), Some(h2::Reason::CANCEL));
            assert_eq!((taken, memory.held()), (room as usize, 0));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_read_bit_by_bit_arrives_whole() {
        let (blocked, response, memory) = answer(1).await;
        let sent = tokio::spawn(blocked.unwrap().send());
        let (mut body, mut taken) = (response.await.unwrap().into_body(), Vec::new());
        while let Some(piece) = body.data().await {
            let piece = piece.unwrap();
            taken.extend_from_slice(&piece);
            tokio::time::sleep(BLOCKED / 2).await;
            body.flow_control().release_capacity(piece.len()).unwrap();
        }
        assert_eq!(taken, b"\0\0\0\0\x0a0123456789");
        assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "0");
        sent.await.unwrap().unwrap();
        assert_eq!(memory.held(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_fits_the_window_is_sent_at_once() {
        let (blocked, response, _) = answer(15).await;
        assert!(blocked.is_none());
        let mut body = response.await.unwrap().into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), &b"\0\0\0\0\x0a0123456789"[..]);
    }
}
