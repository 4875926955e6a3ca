//! Pages for whoever looks at the bridge with a browser, curl or a scraper: HTTP/1, one answer per connection.
//!
//! A connection ends with its answer, or after [`PATIENCE`], and there are at most [`MAX_CONNECTIONS`]: a peer that is silent, slow or in
//! great number holds nothing for long.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::warn;

use crate::address::Address;

/// Connections at the same time; more wait to be accepted.
const MAX_CONNECTIONS: usize = 128;

/// How long a connection may last.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long a request may take to come.
const HEADERS: Duration = Duration::from_secs(5);

/// An answer.
pub(super) type Answer = Response<Full<Bytes>>;

/// Binds the address that stands under `key` in the configuration.
pub(super) async fn bind(key: &str, address: &str) -> io::Result<TcpListener> {
    let address = address.strip_prefix("tcp://").unwrap_or(address);
    TcpListener::bind(Address::bindable(address))
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("{key}: cannot listen on {address}: {error}")))
}

/// Answers requests until the future is dropped. Bodies of requests are not read.
pub(super) async fn serve<F, Answering>(listener: TcpListener, channel: &'static str, answer: F)
where
    F: Fn(Request<()>) -> Answering + Clone + Send + Sync + 'static,
    Answering: Future<Output = Answer> + Send,
{
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    while let Ok(place) = Arc::clone(&room).acquire_owned().await {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let answer = answer.clone();
                connections.spawn(async move {
                    let _place = place;
                    // A peer that goes away, sends what is not HTTP or takes too long is not worth a line.
                    let _ = tokio::time::timeout(PATIENCE, connection(stream, answer)).await;
                });
            }
            Err(error) => {
                warn!(target: "endure", channel, %error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection<F, Answering>(stream: TcpStream, answer: F) -> hyper::Result<()>
where
    F: Fn(Request<()>) -> Answering,
    Answering: Future<Output = Answer>,
{
    let service = service_fn(|request: Request<hyper::body::Incoming>| {
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
