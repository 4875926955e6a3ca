//! `/health` and `/ready` of `status.address`: for orchestrators and load balancers.
//!
//! Live is a server that answers: workers come back by themselves. Ready is one that can serve, busy or not.
//!
//! A query may name plugins: `?plugin=centrifuge`, several times, or several in one with commas. There is one plugin; who names others, or
//! nothing that is known, gets a list without them, with the status of the server all the same. In RoadRunner that is 200 whatever the
//! server's state is.
//!
//! Source of paths, bodies and codes: RoadRunner 2025.1.15, where a busy pool is not ready.

use std::io;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use serde::Serialize;
use tokio::sync::watch;

use super::Status;
use super::http::{self as pages, Answer};
use crate::compat::PLUGIN;
use crate::net::Listener;
use crate::pools::{Pools, UpcomingPools};

/// How often the plugin is reported in one answer, however often the query names it.
const MAX_REPORTS: usize = 16;

const TEXT: &str = "text/plain; charset=utf-8";

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
    pub(crate) async fn run(self, pools: UpcomingPools, serving: watch::Receiver<bool>) {
        let unavailable = self.unavailable;
        pages::serve(self.listener, move |request| {
            let is_ready = pools.get().is_some_and(Pools::are_ready);
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
    let status = StatusCode::from_u16(report.status_code).unwrap_or(unavailable);
    let asked = count(request.uri().query().unwrap_or_default());
    // Whatever is asked for, the reason why nothing can serve is told.
    let reports = vec![&report; if status == StatusCode::OK { asked } else { asked.max(1) }];
    pages::text(status, TEXT, serde_json::to_vec(&reports).unwrap_or_default())
}

/// How often the plugin is asked for: once, unless the query names plugins. Others are passed over, as in RoadRunner.
fn count(query: &str) -> usize {
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let mut values =
        pairs.filter(|(key, _)| decoded(key) == "plugin").map(|(_, value)| decoded(value)).peekable();
    if values.peek().is_none() {
        return 1;
    }
    let is_asked = |value: String| value.split(',').filter(|name| name.trim() == PLUGIN).count();
    values.map(is_asked).sum::<usize>().min(MAX_REPORTS)
}

/// A part of a query without its percent-encoding; a plus sign is a blank.
fn decoded(part: &str) -> String {
    percent_encoding::percent_decode_str(&part.replace('+', " ")).decode_utf8_lossy().into_owned()
}

fn plain(status: StatusCode, text: &'static str) -> Answer {
    let mut answer = pages::text(status, TEXT, Bytes::from_static(text.as_bytes()));
    answer.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(path: &str, is_ready: bool) -> (u16, String) {
        let request = Request::builder().uri(path).body(()).unwrap();
        let answer = answer(&request, true, is_ready, StatusCode::SERVICE_UNAVAILABLE);
        (answer.status().as_u16(), format!("{:?}", answer.body()))
    }

    #[test]
    fn queries_name_plugins_in_many_ways() {
        for (query, reports) in [
            ("", 1),
            ("plugin=centrifuge", 1),
            ("plugin=centri%66uge", 1),
            ("%70lugin=centrifuge", 1),
            ("plugin=centrifuge,http", 1),
            ("plugin=http,centrifuge", 1),
            ("plugin=http%2Ccentrifuge", 1),
            ("plugin=http,+centrifuge", 1),
            ("plugin=http&plugin=centrifuge", 1),
            ("plugin=centrifuge&plugin=centrifuge", 2),
            ("plugin=centrifuge,centrifuge", 2),
            ("plugin=http", 0),
            ("plugin=nope,neither", 0),
            ("plugin=", 0),
            ("plugin", 0),
            ("plugin=%ff%", 0),
            ("foo=1", 1),
            ("plugins=nope", 1),
            ("&&=&", 1),
        ] {
            assert_eq!(count(query), reports, "{query}");
        }
        assert_eq!(count(&"plugin=centrifuge,centrifuge&".repeat(1_000)), MAX_REPORTS);
    }

    #[test]
    fn no_query_makes_a_server_ready_that_is_not() {
        let queries = [
            "",
            "?plugin=centrifuge",
            "?plugin=nope",
            "?plugin=",
            "?plugin",
            "?foo=1",
            "?plugin=http,jobs",
            "?",
        ];
        for query in queries {
            let (status, _) = ask(&format!("/ready{query}"), false);
            assert_eq!(status, 503, "{query}");
            assert_eq!(ask(&format!("/ready{query}"), true).0, 200, "{query}");
            assert_eq!(ask(&format!("/health{query}"), false).0, 200, "{query}");
        }
    }
}
