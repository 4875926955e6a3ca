//! Answers on their way to the caller.

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

use super::account::Hold;
use super::calls::unsent;
use super::unary;

/// How long a caller may take nothing of an answer.
const UNTAKEN: Duration = Duration::from_secs(30);

/// An answer for which the caller has not made room yet.
#[must_use = "it is not sent"]
pub(super) struct Untaken {
    stream: SendStream<Bytes>,
    parts: [Bytes; 2],
}

/// Sends a message, and that all went well, if the caller has room for it.
pub(super) fn message(
    message: &Bytes,
    is_packed: bool,
    mut respond: SendResponse<Bytes>,
    hold: Hold,
) -> Result<Option<Untaken>, h2::Error> {
    let mut head = Response::new(());
    head.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    if is_packed {
        head.headers_mut().insert("grpc-encoding", HeaderValue::from_static("gzip"));
    }
    let mut stream = respond.send_response(head, false)?;
    let (first, second) = unary::frame(message, is_packed);
    let length = first.len() + second.len();
    stream.reserve_capacity(length);
    let has_room = stream.capacity() >= length;
    // The part that is sent last is counted.
    let parts = if second.is_empty() { [unsent(first, hold), second] } else { [first, unsent(second, hold)] };
    if !has_room {
        return Ok(Some(Untaken { stream, parts }));
    }
    for part in parts {
        if !part.is_empty() {
            stream.send_data(part, false)?;
        }
    }
    stream.send_trailers(all_is_well()).map(|()| None)
}

fn all_is_well() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(Status::GRPC_STATUS, HeaderValue::from_static("0"));
    trailers
}

impl Untaken {
    /// Sends the answer as its caller makes room; gives up when it has made none for too long.
    pub(super) async fn send(mut self) -> Result<(), h2::Error> {
        for mut part in self.parts {
            while !part.is_empty() {
                self.stream.reserve_capacity(part.len());
                let Ok(room) = timeout(UNTAKEN, room(&mut self.stream)).await else {
                    debug!(target: "centrifuge", "a caller does not take its answer: it is dropped");
                    self.stream.send_reset(h2::Reason::CANCEL);
                    return Ok(());
                };
                // None: the caller has gone.
                let Some(room) = room? else { return Ok(()) };
                self.stream.send_data(part.split_to(room.min(part.len())), false)?;
            }
        }
        self.stream.send_trailers(all_is_well())
    }
}

/// How many bytes may be sent, once there are any.
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

/// Sends what is a head alone: a status without a message.
pub(super) fn head_alone(
    response: Response<tonic::body::Body>,
    mut respond: SendResponse<Bytes>,
) -> Result<(), h2::Error> {
    let (head, _) = response.into_parts();
    respond.send_response(Response::from_parts(head, ()), true).map(drop)
}

/// Sends what tonic has made: a status alone, a message, or a stream of them.
pub(super) async fn response(
    response: Response<tonic::body::Body>,
    mut respond: SendResponse<Bytes>,
    hold: &Hold,
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
        if send_frame(frame, &mut stream, hold)? {
            return Ok(());
        }
    }
}

/// Sends a part of a body; says whether it was the last.
fn send_frame(
    frame: Result<Frame<Bytes>, Status>,
    stream: &mut SendStream<Bytes>,
    hold: &Hold,
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
        Ok(data) => {
            let Some(hold) = hold.account().hold(data.len()) else {
                stream.send_reset(h2::Reason::ENHANCE_YOUR_CALM);
                return Ok(true);
            };
            stream.send_data(unsent(data, hold), false).map(|()| false)
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
    use super::super::calls::Calls;
    use super::*;

    /// The answer `0123456789`, and the caller's side of it; it has room for so many bytes.
    async fn answer(room: u32) -> (Option<Untaken>, h2::client::ResponseFuture, Arc<Calls>) {
        let (near, far) = duplex(64 * 1024);
        let mut builder = h2::client::Builder::new();
        let client = builder.initial_window_size(room).handshake::<_, Bytes>(far);
        let (server, client) = tokio::join!(h2::server::handshake(near), client);
        let (mut server, (mut sender, client)) = (server.unwrap(), client.unwrap());
        tokio::spawn(client);
        let (response, _) = sender.send_request(http::Request::new(()), true).unwrap();
        let (_, respond) = server.accept().await.unwrap().unwrap();
        let calls = Arc::new(Calls::new(0));
        let hold = Account::open(Arc::clone(&calls)).hold(10).unwrap();
        let untaken = message(&Bytes::from_static(b"0123456789"), false, respond, hold).unwrap();
        tokio::spawn(async move {
            let _sender = sender;
            while server.accept().await.is_some() {}
        });
        (untaken, response, calls)
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_not_taken_is_dropped_after_a_while() {
        for room in [0, 14] {
            let (untaken, response, calls) = answer(room).await;
            let mut body = response.await.unwrap().into_body();
            let begin = tokio::time::Instant::now();
            untaken.unwrap().send().await.unwrap();
            assert_eq!(begin.elapsed(), UNTAKEN);
            let mut taken = 0;
            let error = loop {
                match body.data().await.unwrap() {
                    Ok(piece) => taken += piece.len(),
                    Err(error) => break error,
                }
            };
            assert_eq!(error.reason(), Some(h2::Reason::CANCEL));
            assert_eq!((taken, calls.memory.held()), (room as usize, 0));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_taken_bit_by_bit_arrives_whole() {
        let (untaken, response, calls) = answer(1).await;
        let sent = tokio::spawn(untaken.unwrap().send());
        let (mut body, mut taken) = (response.await.unwrap().into_body(), Vec::new());
        while let Some(piece) = body.data().await {
            let piece = piece.unwrap();
            taken.extend_from_slice(&piece);
            tokio::time::sleep(UNTAKEN / 2).await;
            body.flow_control().release_capacity(piece.len()).unwrap();
        }
        assert_eq!(taken, b"\0\0\0\0\x0a0123456789");
        assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "0");
        sent.await.unwrap().unwrap();
        assert_eq!(calls.memory.held(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_its_caller_has_room_for_is_sent_at_once() {
        let (untaken, response, _) = answer(15).await;
        assert!(untaken.is_none());
        let mut body = response.await.unwrap().into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), &b"\0\0\0\0\x0a0123456789"[..]);
    }
}
