//! The metrics page.

use std::io::{self, Write as _};
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};

use super::answer::{Answer, answer, plain};
use super::large::{LargePages, Permit};
use super::site::{Answering, Page};
use crate::offload;
use crate::single_flight::SingleFlight;
use crate::telemetry::metrics::{self, Registry};

/// The content type; `escaping` says how names are written.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

/// A page of more bytes than this is large.
const LARGE: usize = 1 << 20;

/// All metrics in Prometheus' text format, plain or compressed. Requests at the same time share one page.
pub(super) struct MetricsPage {
    registry: Arc<Registry>,
    large: Arc<LargePages>,
    plain: SingleFlight<Result<Bytes, Failure>>,
    packed: SingleFlight<Result<Bytes, Failure>>,
}

/// Why there is no page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// Slow scrapers still hold the large pages.
    Busy,
    Write,
}

impl MetricsPage {
    pub(super) fn new(registry: Arc<Registry>) -> Self {
        let (plain, packed) = (SingleFlight::default(), SingleFlight::default());
        Self { registry, large: LargePages::new(), plain, packed }
    }

    async fn page(&self, is_packed: bool) -> Result<Bytes, Failure> {
        let flight = if is_packed { &self.packed } else { &self.plain };
        let page = flight.get(write(Arc::clone(&self.registry), Arc::clone(&self.large), is_packed)).await;
        page.map_or(Err(Failure::Write), |page| (*page).clone())
    }
}

impl Page for MetricsPage {
    fn answer<'a>(&'a self, request: &'a Request<Bytes>) -> Answering<'a> {
        Box::pin(async {
            let is_packed = accepts_gzip(request.headers());
            match self.page(is_packed).await {
                Ok(body) => page(body, is_packed, &self.large),
                Err(Failure::Busy) => {
                    plain(StatusCode::SERVICE_UNAVAILABLE, "other scrapers read the page too slowly\n")
                }
                Err(Failure::Write) => {
                    plain(StatusCode::INTERNAL_SERVER_ERROR, "the page cannot be written\n")
                }
            }
        })
    }
}

fn page(body: Bytes, is_packed: bool, large: &Arc<LargePages>) -> Answer {
    let mut page = answer(StatusCode::OK, EXPOSITION, body);
    page.extensions_mut().insert(Arc::clone(large));
    if is_packed {
        page.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    page
}

async fn write(registry: Arc<Registry>, large: Arc<LargePages>, is_packed: bool) -> Result<Bytes, Failure> {
    let permit =
        if registry.size() > LARGE { Some(large.acquire().await.ok_or(Failure::Busy)?) } else { None };
    let figures = registry.collect().await;
    // A large page takes a while.
    let written = offload::background(move || {
        let mut page = metrics::Page::default();
        figures(&mut page);
        let bytes = if is_packed { pack(page)? } else { page.finish().into_bytes() };
        Ok::<_, io::Error>(Bytes::from_owner(Written { bytes, _permit: permit }))
    });
    written.await.ok().and_then(Result::ok).ok_or(Failure::Write)
}

/// A page, which counts as large until the last scraper has read it.
struct Written {
    bytes: Vec<u8>,
    _permit: Option<Permit>,
}

impl AsRef<[u8]> for Written {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let accepted =
        headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut encodings = accepted.split(',').map(|encoding| encoding.split(';').map(str::trim));
    encodings.any(|mut parts| parts.next() == Some("gzip") && parts.next() != Some("q=0"))
}

fn pack(page: metrics::Page) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for piece in page.into_pieces() {
        encoder.write_all(piece.as_bytes())?;
    }
    encoder.finish()
}
