//! `/health` and `/ready` of `status.address`: for orchestrators and load balancers.
//!
//! Live is a server that answers: workers come back by themselves. Ready is one that can serve, busy or not.
//!
//! Source of paths, bodies and codes: RoadRunner 2025.1.15, where a busy pool is not ready.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use serde::Serialize;
use tokio::sync::watch;

use super::Status;
use super::http::{self as pages, Answer};
use crate::net::Listener;
use crate::pool::Pool;

/// The one plugin that there is, by the name under which RoadRunner knows it.
const PLUGIN: &str = "centrifuge";

const TEXT: &str = "text/plain; charset=utf-8";

/// Where the pool is to be had, once it is up.
pub(crate) type FindPool = Arc<dyn Fn() -> Option<Pool> + Send + Sync>;

/// A bound listener.
#[derive(Debug)]
pub struct Health {
    listener: Listener,
    unavailable: StatusCode,
}

/// What is asked about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Question {
    Health,
    Ready,
}

/// The state of a plugin.
#[derive(Serialize)]
struct Report {
    plugin_name: &'static str,
    error_message: &'static str,
    status_code: u16,
}

impl Health {
    /// Binds `status.address`.
    ///
    /// # Errors
    /// When it cannot be bound; the message names it.
    pub async fn bind(config: &Status) -> io::Result<Self> {
        let listener = pages::bind("status.address", &config.address).await?;
        let unavailable = StatusCode::from_u16(config.unavailable_status_code);
        Ok(Self { listener, unavailable: unavailable.unwrap_or(StatusCode::SERVICE_UNAVAILABLE) })
    }

    /// Where it listens.
    pub fn local_address(&self) -> String {
        self.listener.local_address()
    }

    /// Answers until the future is dropped. `serving` is false when the server ends.
    pub(crate) async fn run(self, pool: FindPool, serving: watch::Receiver<bool>) {
        let unavailable = self.unavailable;
        pages::serve(self.listener, move |request| {
            let is_ready = pool().is_some_and(|pool| pool.is_ready());
            let answer = answer(&request, *serving.borrow(), is_ready, unavailable);
            async move { answer }
        })
        .await;
    }
}

fn answer(request: &Request<()>, is_serving: bool, is_ready: bool, unavailable: StatusCode) -> Answer {
    let question = match request.uri().path() {
        "/health" => Question::Health,
        "/ready" => Question::Ready,
        _ => return plain(StatusCode::NOT_FOUND, "404 page not found\n"),
    };
    if !is_serving {
        let status = if question == Question::Health { StatusCode::OK } else { unavailable };
        return plain(status, "service is shutting down\n");
    }
    let report = if question == Question::Health || is_ready {
        Report { plugin_name: PLUGIN, error_message: "", status_code: 200 }
    } else {
        Report {
            plugin_name: PLUGIN,
            error_message: "no worker can serve",
            status_code: unavailable.as_u16(),
        }
    };
    let reports = vec![&report; count(request.uri().query().unwrap_or_default())];
    let status = if reports.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::from_u16(report.status_code).unwrap_or(unavailable)
    };
    pages::text(status, TEXT, serde_json::to_vec(&reports).unwrap_or_default())
}

/// How often the plugin is asked for: once, unless the query names plugins. Others are passed over, as in RoadRunner.
fn count(query: &str) -> usize {
    let names: Vec<&str> = query.split('&').filter_map(|pair| pair.strip_prefix("plugin=")).collect();
    if names.is_empty() { 1 } else { names.iter().filter(|name| **name == PLUGIN).count() }
}

fn plain(status: StatusCode, text: &'static str) -> Answer {
    let mut answer = pages::text(status, TEXT, Bytes::from_static(text.as_bytes()));
    answer.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}
