//! The page for people, its data for scripts, and its buttons.
//!
//! One document without outside resources: `page/` has its parts. Its policy allows no script and no style but its own (a nonce of each
//! answer), no connection to another origin, no frame around it, and no text that becomes markup.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_stream::wrappers::WatchStream;
use tracing::{info, warn};

use super::answer::{Answer, Content, Events, answer, plain};
use super::basic_auth::{Guard, behind};
use super::gate::{Gate, Refusal};
use super::site::{Answering, Methods, Page, Path, Site};
use crate::net::Peer;
use crate::os;
use crate::overview::{Action, Overview, event};

const HTML: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// The number of streams of events at one time.
const STREAMS: usize = 32;

/// Bytes of an order, at most.
const MAX_ORDER: usize = 1 << 10;

/// How long an answer waits for an action. It goes on, and the page shows how it ended.
const ACTION: Duration = Duration::from_secs(30);

/// What all paths share.
struct Shared {
    overview: Overview,
    gate: Gate,
    /// Without what differs from answer to answer.
    html: String,
    streams: Arc<Semaphore>,
}

/// What is at a path.
#[derive(Debug, Clone, Copy)]
enum Part {
    Document,
    Snapshot,
    History,
    About,
    Events,
    Control,
}

struct At {
    part: Part,
    shared: Arc<Shared>,
}

/// What a button asks for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    action: Action,
    pool: String,
}

/// Adds the page to a site, behind a guard if there is one.
pub(super) fn add(site: &mut Site, overview: Overview, gate: Gate, guard: Option<&Arc<Guard>>) {
    let html = HTML
        .replace("{{style}}", STYLE)
        .replace("{{script}}", SCRIPT)
        .replace("{{instance}}", overview.instance())
        .replace("{{token}}", gate.token().unwrap_or_default());
    let streams = Arc::new(Semaphore::new(STREAMS));
    overview.begin();
    let shared = Arc::new(Shared { overview, gate, html, streams });
    for (path, methods, part) in [
        ("/", Methods::Read, Part::Document),
        ("/api/snapshot", Methods::Read, Part::Snapshot),
        ("/api/history", Methods::Read, Part::History),
        ("/api/about", Methods::Read, Part::About),
        ("/api/events", Methods::Read, Part::Events),
        ("/api/control", Methods::Write { max_body: MAX_ORDER }, Part::Control),
    ] {
        let page = Arc::new(At { part, shared: Arc::clone(&shared) });
        site.add(Path::Exact(path), methods, behind(guard, page));
    }
}

impl Page for At {
    fn refuse(&self, headers: &HeaderMap) -> Option<Answer> {
        let refusal = self.part.admits(&self.shared.gate, headers).err()?;
        let mut answer = plain(StatusCode::FORBIDDEN, format!("403 {refusal}\n"));
        protect(answer.headers_mut());
        Some(answer)
    }

    fn answer<'a>(&'a self, request: &'a Request<Bytes>) -> Answering<'a> {
        let Self { part, shared } = self;
        Box::pin(async move {
            let mut answer = match part {
                Part::Document => shared.document(),
                Part::Snapshot => json(shared.overview.snapshot().await),
                Part::History => json(shared.overview.history().await),
                Part::About => json(shared.overview.about()),
                Part::Events => shared.events().await,
                Part::Control => shared.control(request).await,
            };
            protect(answer.headers_mut());
            answer
        })
    }
}

impl Part {
    fn admits(self, gate: &Gate, headers: &HeaderMap) -> Result<(), Refusal> {
        match self {
            Self::Document => gate.admits_page(headers),
            Self::Control => gate.admits_change(headers),
            _ => gate.admits_data(headers),
        }
    }
}

impl Shared {
    fn document(&self) -> Answer {
        let nonce = os::random::text();
        let html = self.html.replace("{{nonce}}", &nonce);
        let mut answer = answer(StatusCode::OK, "text/html; charset=utf-8", html);
        let policy = format!(
            "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src data:; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
        );
        if let Ok(policy) = policy.try_into() {
            answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        answer
    }

    async fn events(&self) -> Answer {
        let Ok(permit) = Arc::clone(&self.streams).try_acquire_owned() else {
            let mut answer = plain(StatusCode::SERVICE_UNAVAILABLE, "503 too many pages are open\n");
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("10"));
            return answer;
        };
        let later = WatchStream::from_changes(self.overview.follow());
        let first = Some(event(&self.overview.snapshot().await));
        let mut answer = Response::new(Content::Events(Events { first, later, _permit: permit }));
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        // Source: nginx's proxy_buffering, which keeps events back otherwise.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        answer
    }

    async fn control(&self, request: &Request<Bytes>) -> Answer {
        let Ok(order) = serde_json::from_slice::<Order>(request.body()) else {
            let expected = r#"expected {"action": "reset", "add" or "remove", "pool": "..."}"#;
            return plain(StatusCode::BAD_REQUEST, format!("400 {expected}\n"));
        };
        if !self.overview.is_serving() {
            return plain(StatusCode::SERVICE_UNAVAILABLE, "503 the server is shutting down\n");
        }
        let Some(pools) = self.overview.pools() else {
            return plain(StatusCode::SERVICE_UNAVAILABLE, "503 the pools have not started\n");
        };
        if pools.get(&order.pool).is_none() {
            return plain(StatusCode::NOT_FOUND, "404 there is no such pool\n");
        }
        let peer = request.extensions().get::<Peer>().copied();
        // In a task of its own: it ends even if its caller goes away.
        let action = tokio::spawn(run(self.overview.clone(), order, peer));
        match timeout(ACTION, action).await {
            Ok(Ok(Ok(()))) => json(r#"{"state":"done"}"#.into()),
            Ok(Ok(Err(reason))) => plain(StatusCode::CONFLICT, format!("409 {reason}\n")),
            Ok(Err(_)) => plain(StatusCode::INTERNAL_SERVER_ERROR, "500 the action failed\n"),
            Err(_) => {
                let mut answer = json(r#"{"state":"running"}"#.into());
                *answer.status_mut() = StatusCode::ACCEPTED;
                answer
            }
        }
    }
}

/// Does what a button asks for, and logs it with who asked.
async fn run(overview: Overview, order: Order, peer: Option<Peer>) -> Result<(), String> {
    let Order { action, pool: name } = order;
    let Some(pool) = overview.pools().and_then(|pools| pools.get(&name)) else { return Ok(()) };
    let peer = match peer {
        Some(Peer::Address(address)) => address.to_string(),
        _ => String::new(),
    };
    info!(target: "status", pool = %name, action = action.name(), peer, "requested on the page");
    let operation = overview.began(action, &name);
    let result = match action {
        Action::Reset => pool.reset().await.map_err(|error| error.to_string()),
        Action::Add | Action::Remove => match pool.resize(action == Action::Add).await {
            Ok(true) => Ok(()),
            Ok(false) if action == Action::Add => Err("the pool has as many workers as it may have".into()),
            Ok(false) => Err("the last worker stays".into()),
            Err(error) => Err(error.to_string()),
        },
    };
    if let Err(reason) = &result {
        warn!(target: "status", pool = %name, action = action.name(), reason, "request on the page failed");
    }
    overview.ended(operation, result.clone());
    result
}

fn json(body: Bytes) -> Answer {
    answer(StatusCode::OK, "application/json", body)
}

/// Headers that keep an answer from being embedded, stored, or taken for something else.
fn protect(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    let nothing = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(nothing);
}
