//! One HTTP/1 connection: requests one after the other, pipelined or not, each wait within a deadline. A stream of events has a deadline for
//! each event, and its connection counts as idle: it is closed when there are too many.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::io::InspectWriter;

use super::answer::{Answer, Content, Events};
use super::large::{LargePages, Reader, Reading};
use super::site::Site;
use crate::net::{EvictionGuard, Peer, Registration};

/// How long an answer may take, from its request until the peer has taken it.
const ANSWER: Duration = Duration::from_mins(1);

/// How long the reader of a stream of events may take for one.
const EVENT: Duration = Duration::from_secs(15);

/// How long a connection may be idle: longer than the usual interval of scrapers and probes.
const IDLE: Duration = Duration::from_mins(2);

/// The longest head of a request, in bytes.
const MAX_HEAD: usize = 16 << 10;

/// Serves a connection until the peer closes it, a deadline passes, or it is evicted. The first request has to arrive until `first_until`.
pub(super) async fn serve<S>(
    stream: S,
    peer: Peer,
    registration: &Registration,
    first_until: Instant,
    site: &Site,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (deadline, reader) = (Deadline::new(first_until), Reader::new());
    let stream = InspectWriter::new(stream, |bytes: &[u8]| reader.took(bytes.len()));
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let (exchange, reader) = (Exchange::begin(registration, &deadline), &reader);
        async move {
            let answer = site.answer(request).await;
            Ok::<_, Infallible>(exchange.send(answer, reader))
        }
    });
    let mut http = http1::Builder::new();
    http.header_read_timeout(None).max_header_size(MAX_HEAD);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    // How a connection ends is not worth a log line: the peer has gone, or sent what is not HTTP.
    tokio::select! {
        biased;
        () = registration.evicted() => {}
        () = deadline.passed() => {}
        () = reader.stalled() => {}
        _ = connection => {}
    }
}

/// When a connection is closed unless something happens before.
#[derive(Debug, Clone)]
struct Deadline(Arc<watch::Sender<Instant>>);

impl Deadline {
    fn new(at: Instant) -> Self {
        Self(Arc::new(watch::Sender::new(at)))
    }

    fn set(&self, within: Duration) {
        self.0.send_replace(Instant::now() + within);
    }

    async fn passed(&self) {
        let mut at = self.0.subscribe();
        loop {
            let deadline = *at.borrow_and_update();
            tokio::select! {
                () = sleep_until(deadline) => return,
                _ = at.changed() => {}
            }
        }
    }
}

/// The body of an answer, as it is sent.
type Sent = UnsyncBoxBody<Bytes, Infallible>;

/// A request until the last byte of its answer is written. Meanwhile the connection is in use.
struct Exchange {
    deadline: Deadline,
    guard: Option<EvictionGuard>,
    /// For a page that counts as read until then.
    reading: Option<Arc<Reading>>,
}

/// The body of an answer, which ends the exchange when it is dropped: hyper keeps it until it is written.
struct Body {
    bytes: Bytes,
    _exchange: Exchange,
}

impl Exchange {
    fn begin(registration: &Registration, deadline: &Deadline) -> Self {
        deadline.set(ANSWER);
        Self { deadline: deadline.clone(), guard: Some(registration.call()), reading: None }
    }

    fn send(mut self, answer: Answer, reader: &Arc<Reader>) -> Response<Sent> {
        let (mut head, content) = answer.into_parts();
        let body = match content {
            Content::Whole(bytes) => {
                let pages = head.extensions.remove::<Arc<LargePages>>();
                self.reading = pages.map(|pages| pages.add(reader, bytes.len()));
                let body = Full::new(Bytes::from_owner(Body { bytes, _exchange: self }));
                body.boxed_unsync()
            }
            Content::Events(events) => self.follow(events),
        };
        Response::from_parts(head, body)
    }

    /// Each event is asked for when the one before has been written.
    fn follow(mut self, events: Events) -> Sent {
        self.guard = None;
        let events = events.map(move |event| {
            self.deadline.set(EVENT);
            Ok(Frame::data(event))
        });
        BodyExt::boxed_unsync(StreamBody::new(events))
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.deadline.set(IDLE);
    }
}

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::sync::Semaphore;
    use tokio::task::JoinHandle;
    use tokio_stream::wrappers::WatchStream;

    use super::*;
    use crate::admin::answer::{TEXT, answer};
    use crate::admin::site::{Answering, Methods, Page, Path};

    /// How long the first request may take to arrive.
    const FIRST_REQUEST: Duration = Duration::from_secs(5);

    /// A page of this many bytes.
    struct Long(usize);

    impl Page for Long {
        fn answer<'a>(&'a self, _: &'a Request<Bytes>) -> Answering<'a> {
            Box::pin(async { answer(StatusCode::OK, TEXT, "x".repeat(self.0)) })
        }
    }

    /// A connection, which ends with how long it lasted.
    fn connect(page: usize) -> (DuplexStream, JoinHandle<Duration>) {
        let (client, server) = duplex(1024);
        let serving = tokio::spawn(async move {
            let begin = Instant::now();
            let mut site = Site::default();
            site.add(Path::Other, Methods::Read, Arc::new(Long(page)));
            let first_until = begin + FIRST_REQUEST;
            serve(server, Peer::Process(None), &Registration::alone(), first_until, &site).await;
            begin.elapsed()
        });
        (client, serving)
    }

    const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

    /// Reads an answer whose body ends with an x.
    async fn read_answer(client: &mut DuplexStream) {
        let mut read = Vec::new();
        while !read.ends_with(b"x") {
            client.read_buf(&mut read).await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_does_not_arrive_in_time_closes_the_connection() {
        for says in [&b""[..], b"GET / HTTP/1.1\r\nX-Slow: "] {
            let (mut client, serving) = connect(1);
            client.write_all(says).await.unwrap();
            assert_eq!(serving.await.unwrap(), FIRST_REQUEST);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_is_kept_between_scrapes_and_closed_later() {
        let (mut client, serving) = connect(1);
        for _ in 0..3 {
            client.write_all(GET).await.unwrap();
            read_answer(&mut client).await;
            tokio::time::sleep(IDLE / 2).await;
        }
        assert_eq!(serving.await.unwrap(), IDLE * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_not_read_closes_the_connection() {
        let (mut client, serving) = connect(1 << 20);
        client.write_all(GET).await.unwrap();
        assert_eq!(serving.await.unwrap(), ANSWER);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_is_too_long_is_refused() {
        let (client, serving) = connect(1);
        let (mut reading, mut writing) = tokio::io::split(client);
        let head = format!("GET / HTTP/1.1\r\nX-Long: {}\r\n\r\n", "x".repeat(MAX_HEAD));
        let mut answer = String::new();
        // Not all of it is read.
        let sent = writing.write_all(head.as_bytes());
        let (_, read) = tokio::join!(sent, reading.read_to_string(&mut answer));
        read.unwrap();
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
        serving.await.unwrap();
    }

    /// A stream of events with one more each time that its sender sends.
    struct Ticks(watch::Sender<Bytes>);

    impl Page for Ticks {
        fn answer<'a>(&'a self, _: &'a Request<Bytes>) -> Answering<'a> {
            let later = WatchStream::from_changes(self.0.subscribe());
            let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
            let events = Events { first: Some("first".into()), later, _permit: permit };
            Box::pin(async { Response::new(Content::Events(events)) })
        }
    }

    /// A connection to a stream of events, each of which is this long.
    async fn follow(events: usize) -> (DuplexStream, JoinHandle<Duration>) {
        let (mut client, server) = duplex(1024);
        let serving = tokio::spawn(async move {
            let (begin, sender) = (Instant::now(), watch::Sender::default());
            let registration = Registration::alone();
            let mut site = Site::default();
            site.add(Path::Other, Methods::Read, Arc::new(Ticks(sender.clone())));
            tokio::select! {
                () = serve(server, Peer::Process(None), &registration, begin + FIRST_REQUEST, &site) => {}
                () = async {
                    loop {
                        tokio::time::sleep(Duration::from_secs(1)).await;
                        sender.send_replace("x".repeat(events).into());
                    }
                } => {}
            }
            begin.elapsed()
        });
        client.write_all(GET).await.unwrap();
        (client, serving)
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_of_events_lasts_as_long_as_it_is_read() {
        let (client, serving) = follow(1).await;
        let (mut reading, _writing) = tokio::io::split(client);
        let reader = tokio::spawn(async move { tokio::io::copy(&mut reading, &mut tokio::io::sink()).await });
        tokio::time::sleep(ANSWER + IDLE + FIRST_REQUEST).await;
        assert!(!serving.is_finished());
        serving.abort();
        reader.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_of_events_that_is_not_read_closes_the_connection() {
        let (_client, serving) = follow(1 << 20).await;
        let lasted = serving.await.unwrap();
        assert!(lasted >= EVENT && lasted < EVENT * 2, "{lasted:?}");
    }
}
