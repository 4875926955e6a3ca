//! Streams that a worker feeds: one task each, since the worker, or a unit of it, is held as well.

use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::task::Poll;

use tonic::{Code, Status};

use crate::pools::{Error, StreamInput, Streamed};
use crate::streams::{Inlet, Reason, Stream, wire};

/// Passes on what the worker streams, as fast as the client reads, and what the client sends, as fast as the worker reads. Ends the stream with
/// the worker's, and the worker's with the stream.
pub(super) async fn feed(
    stream: Arc<Stream>,
    streamed: Streamed,
    input: Option<(Inlet, StreamInput)>,
    failed: impl Fn(&Error) -> Status,
) {
    let forwarding = async {
        if let Some((inlet, input)) = input {
            forward(&stream, inlet, input).await;
        }
        pending::<()>().await;
    };
    tokio::select! {
        () = deliver(&stream, streamed, failed) => {}
        () = forwarding => {}
    }
}

async fn deliver(stream: &Arc<Stream>, mut streamed: Streamed, failed: impl Fn(&Error) -> Status) {
    while poll_fn(|cx| stream.poll_room(cx)).await.is_ok() {
        let message = tokio::select! {
            biased;
            _ = poll_fn(|cx| stream.poll_over(cx)) => return,
            message = streamed.next() => message,
        };
        match message {
            Some(Ok(message)) => stream.feed(wire::message(&message)),
            Some(Err(error)) => {
                stream.finish(Reason::Error, failed(&error));
                return;
            }
            None => {
                stream.finish(Reason::Closed, Status::new(Code::Ok, ""));
                return;
            }
        }
    }
}

/// Until the client sends no more, or the worker reads no more.
async fn forward(stream: &Arc<Stream>, mut inlet: Inlet, mut input: StreamInput) {
    loop {
        let message = poll_fn(|cx| {
            let arrived = inlet.poll(cx);
            match inlet.take() {
                Some(message) => Poll::Ready(Ok(Some(message))),
                None => arrived.map_ok(|()| None),
            }
        });
        let data = match message.await {
            Ok(Some(message)) => stream.data_of(message).await,
            Ok(None) => return,
            Err(status) => Err(status),
        };
        match data {
            Ok(Some(data)) => {
                if !input.send(data).await {
                    return;
                }
            }
            Ok(None) => {}
            Err(status) => return stream.end(Reason::Error, status),
        }
        inlet.handled();
    }
}
