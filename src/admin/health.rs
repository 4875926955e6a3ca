//! `/health` and `/ready`: probes of orchestrators and load balancers.
//!
//! A server that answers is live: workers are replaced without help. It is ready if it can serve requests, however busy it is.
//!
//! A query may name plugins: `?plugin=centrifuge`, several times, or several separated by commas. There is one plugin; names of others
//! are left out of the list that is answered, and the status is that of the server all the same. In RoadRunner it is 200 whatever the
//! server's state is.
//!
//! Source of paths, bodies and codes: RoadRunner 2025.1.15, where a busy pool is not ready.

use http::{Request, StatusCode};
use serde::Serialize;
use tokio::sync::watch;

use super::answer::{Answer, TEXT, answer, plain};
use super::config::Status;
use super::site::{Answering, Page};
use crate::compat::PLUGIN;
use crate::pools::{Pools, UpcomingPools};

/// How often the plugin is reported in one answer, however often the query names it.
const MAX_REPORTS: usize = 16;

/// One of the pages.
pub(super) struct Probe {
    question: Question,
    server: ServerState,
    unavailable: StatusCode,
}

/// What a probe asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    Health,
    Ready,
}

/// Where the state of the server is read.
#[derive(Clone)]
pub(super) struct ServerState {
    /// The pools, once they are started.
    pub(super) pools: UpcomingPools,
    /// False once the server shuts down.
    pub(super) serving: watch::Receiver<bool>,
}

/// The state of a plugin.
#[derive(Serialize)]
struct Report {
    plugin_name: &'static str,
    error_message: &'static str,
    status_code: u16,
}

impl Probe {
    pub(super) fn new(question: Question, config: &Status, server: ServerState) -> Self {
        let unavailable = StatusCode::from_u16(config.unavailable_status_code);
        Self { question, server, unavailable: unavailable.unwrap_or(StatusCode::SERVICE_UNAVAILABLE) }
    }
}

impl Page for Probe {
    fn answer<'a>(&'a self, request: &'a Request<()>) -> Answering<'a> {
        let query = request.uri().query().unwrap_or_default();
        let is_ready = self.server.pools.get().is_some_and(Pools::are_ready);
        let is_serving = *self.server.serving.borrow();
        let answer = match (is_serving, self.question) {
            (false, Question::Health) => shutting_down(StatusCode::OK),
            (false, Question::Ready) => shutting_down(self.unavailable),
            (true, Question::Ready) if !is_ready => unavailable(self.unavailable, query),
            (true, _) => well(query),
        };
        Box::pin(async { answer })
    }
}

fn shutting_down(status: StatusCode) -> Answer {
    plain(status, "service is shutting down\n")
}

fn well(query: &str) -> Answer {
    let report = Report { plugin_name: PLUGIN, error_message: "", status_code: 200 };
    reports(StatusCode::OK, &report, count(query))
}

/// Reports the reason, whichever plugins the query names.
fn unavailable(status: StatusCode, query: &str) -> Answer {
    let status_code = status.as_u16();
    let report = Report { plugin_name: PLUGIN, error_message: "no worker can serve", status_code };
    reports(status, &report, count(query).max(1))
}

fn reports(status: StatusCode, report: &Report, count: usize) -> Answer {
    answer(status, TEXT, serde_json::to_vec(&vec![report; count]).unwrap_or_default())
}

/// How often a query names the plugin; once if it names none at all.
fn count(query: &str) -> usize {
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let mut values =
        pairs.filter(|(key, _)| decoded(key) == "plugin").map(|(_, value)| decoded(value)).peekable();
    if values.peek().is_none() {
        return 1;
    }
    let named = |value: String| value.split(',').filter(|name| name.trim() == PLUGIN).count();
    values.map(named).sum::<usize>().min(MAX_REPORTS)
}

/// A part of a query without its percent-encoding; a plus sign is a space.
fn decoded(part: &str) -> String {
    percent_encoding::percent_decode_str(&part.replace('+', " ")).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn no_query_makes_an_unavailable_server_ready() {
        let queries =
            ["", "plugin=centrifuge", "plugin=nope", "plugin=", "plugin", "foo=1", "plugin=http,jobs"];
        for query in queries {
            let answer = unavailable(StatusCode::SERVICE_UNAVAILABLE, query);
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{query}");
            assert!(answer.body().starts_with(b"[{"), "{query}");
            assert_eq!(well(query).status(), StatusCode::OK, "{query}");
        }
    }
}
