//! The page of `metrics.address`.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::text::Page;
use super::{Registry, bridge};
use crate::net::Listener;
use crate::offload;
use crate::pools::{Snapshot, UpcomingPools};
use crate::proxy::Statistics;
use crate::single_flight::SingleFlight;
use crate::telemetry::Metrics;
use crate::telemetry::http::{self as pages, Answer};

/// What the page has to be read as; the last word says how names are written.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

/// A page of more bytes than this is large.
const LARGE: usize = 1 << 20;

/// How many large pages there are at one time, be they still written or read by slow scrapers.
static LARGE_PAGES: Semaphore = Semaphore::const_new(2);

/// How long a scraper waits for one of these.
const PATIENCE: Duration = Duration::from_secs(5);

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
    pub(crate) pools: UpcomingPools,
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
        let pages =
            Arc::new(Pages { sources, plain: SingleFlight::default(), packed: SingleFlight::default() });
        pages::serve(self.listener, move |request| answer(Arc::clone(&pages), request)).await;
    }
}

/// The page as it is and packed, each written once for all who ask meanwhile.
struct Pages {
    sources: Sources,
    plain: SingleFlight<Result<Bytes, Failure>>,
    packed: SingleFlight<Result<Bytes, Failure>>,
}

/// Why there is no page.
#[derive(Debug, Clone, Copy)]
enum Failure {
    /// Others read large pages too slowly.
    Busy,
    Write,
}

async fn answer(pages: Arc<Pages>, request: Request<()>) -> Answer {
    let is_packed = accepts_gzip(request.headers());
    let flight = if is_packed { &pages.packed } else { &pages.plain };
    let page = flight.get(write(pages.sources.clone(), is_packed)).await;
    let page = page.map_or(Err(Failure::Write), |page| (*page).clone());
    match page {
        Ok(body) => {
            let mut answer = pages::text(StatusCode::OK, TEXT, body);
            if is_packed {
                answer.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            answer
        }
        Err(Failure::Busy) => {
            let text = "other scrapers read the page too slowly\n";
            pages::text(StatusCode::SERVICE_UNAVAILABLE, "text/plain", text)
        }
        Err(Failure::Write) => {
            pages::text(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "the page cannot be written\n")
        }
    }
}

async fn write(sources: Sources, is_packed: bool) -> Result<Bytes, Failure> {
    let place = if sources.registry.size() > LARGE {
        let place = timeout(PATIENCE, LARGE_PAGES.acquire()).await.map_err(|_| Failure::Busy)?;
        Some(place.map_err(|_| Failure::Busy)?)
    } else {
        None
    };
    let pools = match sources.pools.get() {
        Some(pools) => Some(pools.measured_snapshot().await),
        None => None,
    };
    // A large page takes a while.
    let written = offload::background(move || {
        let mut page = Page::default();
        sources.registry.write_to(&mut page);
        bridge::workers(&mut page, pools.iter().flat_map(Snapshot::workers));
        bridge::process(&mut page);
        bridge::logs(&mut page);
        bridge::proxy(&mut page, &sources.proxy);
        for pool in pools.iter().flat_map(|snapshot| &snapshot.pools) {
            bridge::pool(&mut page, &pool.stats);
        }
        let bytes = if is_packed { pack(page)? } else { page.finish().into_bytes() };
        Ok::<_, io::Error>(Bytes::from_owner(Written { bytes, _place: place }))
    });
    written.await.ok().and_then(Result::ok).ok_or(Failure::Write)
}

/// A page, which gives up its place among the large ones when nobody reads it any more.
struct Written {
    bytes: Vec<u8>,
    _place: Option<SemaphorePermit<'static>>,
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

fn pack(page: Page) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for piece in page.into_pieces() {
        encoder.write_all(piece.as_bytes())?;
    }
    encoder.finish()
}
