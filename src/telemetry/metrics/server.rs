//! The page of `metrics.address`.

use std::io::{self, Write as _};
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};

use super::text::Page;
use super::{Registry, bridge};
use crate::net::Listener;
use crate::proxy::Statistics;
use crate::telemetry::Metrics;
use crate::telemetry::health::FindPool;
use crate::telemetry::http::{self as pages, Answer};

/// What the page has to be read as; the last word says how names are written.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

/// A bound listener.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
}

/// What the page tells of.
#[derive(Clone)]
pub(crate) struct Sources {
    /// The application's metrics.
    pub(crate) registry: Arc<Registry>,
    pub(crate) pool: FindPool,
    pub(crate) proxy: Arc<Statistics>,
}

impl Server {
    /// Binds `metrics.address`.
    ///
    /// # Errors
    /// When it cannot be bound; the message names it.
    pub async fn bind(config: &Metrics) -> io::Result<Self> {
        Ok(Self { listener: pages::bind("metrics.address", &config.address).await? })
    }

    /// Where it listens.
    pub fn local_address(&self) -> String {
        self.listener.local_address()
    }

    /// Answers until the future is dropped; any path and method, as RoadRunner does.
    pub(crate) async fn run(self, sources: Sources) {
        pages::serve(self.listener, move |request| answer(sources.clone(), request)).await;
    }
}

async fn answer(sources: Sources, request: Request<()>) -> Answer {
    let pool = (sources.pool)();
    let workers = match &pool {
        Some(pool) => pool.usage().await,
        None => Vec::new(),
    };
    let is_packed = accepts_gzip(request.headers());
    // A large page takes a while.
    let written = tokio::task::spawn_blocking(move || {
        let mut page = Page::default();
        sources.registry.write_to(&mut page);
        bridge::workers(&mut page, workers.iter().map(|(status, usage)| (&**status, *usage)));
        bridge::process(&mut page);
        bridge::logs(&mut page);
        bridge::proxy(&mut page, &sources.proxy);
        if let Some(pool) = pool {
            bridge::pool(&mut page, &pool.stats());
        }
        let text = page.finish().into_bytes();
        if is_packed { pack(&text) } else { Ok(text) }
    });
    let Ok(Ok(body)) = written.await else {
        return pages::text(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "the page cannot be written\n");
    };
    let mut answer = pages::text(StatusCode::OK, TEXT, body);
    if is_packed {
        answer.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    answer
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let accepted =
        headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut encodings = accepted.split(',').map(|encoding| encoding.split(';').map(str::trim));
    encodings.any(|mut parts| parts.next() == Some("gzip") && parts.next() != Some("q=0"))
}

fn pack(text: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text)?;
    encoder.finish()
}
