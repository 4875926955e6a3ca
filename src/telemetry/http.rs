//! Pages for whoever looks at the bridge with a browser, curl or a scraper: HTTP/1, one answer per connection.
//!
//! A connection ends with its answer, or after [`PATIENCE`], and there are at most [`CONNECTIONS`]: a peer that is silent, slow or in
//! great number holds nothing for long, and nobody up.

use std::convert::Infallible;
use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::JoinSet;

use crate::net::{Accepted, Address, Attributes, Limit, Listener, Options, Registration, Stream};

/// Connections at the same time.
const CONNECTIONS: Limit = Limit { at_most: 128, one_of: 32 };

/// How long a connection may last.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long a request may take to come.
const HEADERS: Duration = Duration::from_secs(5);

/// An answer.
pub(super) type Answer = Response<Full<Bytes>>;

/// Binds the address that stands under `key` in the configuration.
pub(super) async fn bind(key: &'static str, address: &str) -> io::Result<Listener> {
    let address: Address = address.parse().map_err(|expected| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("{key}: {expected}, found \"{address}\""))
    })?;
    Listener::bind(Options {
        key,
        address: &address,
        attributes: Attributes::mode(0o660),
        allow: &[],
        limit: CONNECTIONS,
    })
    .await
}

/// Answers requests until the future is dropped. Bodies of requests are not read.
pub(super) async fn serve<F, Answering>(mut listener: Listener, answer: F)
where
    F: Fn(Request<()>) -> Answering + Clone + Send + Sync + 'static,
    Answering: Future<Output = Answer> + Send,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Accepted { stream, registration, .. } = listener.accept() => {
                let answer = answer.clone();
                connections.spawn(async move {
                    let connection = connection(stream, &registration, answer);
                    // A peer that goes away, sends what is not HTTP or takes too long is not worth a line.
                    let _ = registration.until_evicted(tokio::time::timeout(PATIENCE, connection)).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection<F, Answering>(stream: Stream, registration: &Registration, answer: F) -> hyper::Result<()>
where
    F: Fn(Request<()>) -> Answering,
    Answering: Future<Output = Answer>,
{
    // Once there is a request, until its answer has been sent.
    let in_flight = OnceLock::new();
    let service = service_fn(|request: Request<hyper::body::Incoming>| {
        in_flight.get_or_init(|| registration.call());
        let answer = answer(request.map(drop));
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let mut http = http1::Builder::new();
    http.keep_alive(false).timer(TokioTimer::new()).header_read_timeout(HEADERS);
    http.serve_connection(TokioIo::new(stream), service).await
}

/// A page of text.
pub(super) fn text(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
