//! `/health` and `/ready`, also called `/livez` and `/readyz`: probes of orchestrators and load balancers.
//!
//! A server that answers is live: workers are replaced without help. It is ready if it can serve requests, however busy it is.
//!
//! A query may name pools: `?plugin=centrifuge`, several times, or several separated by commas. Then these are reported, and `/ready` also
//! fails if one of them cannot serve. Without names, all are reported. Other names are left out; the status is that of the server all the
//! same, which needs every required pool. In RoadRunner it is 200 whatever the server's state is.
//!
//! `/jobs` says that there is no such plugin.
//!
//! Source of paths, bodies and codes: RoadRunner 2025.1.15 and 3, where a busy pool is not ready.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode};
use serde::Serialize;
use tokio::sync::watch;

use super::answer::{Answer, TEXT, answer, plain};
use super::config::Status;
use super::site::{Answering, Page};
use crate::pools::{NamedPool, UpcomingPools};

/// Reports in one answer, at most, however often the query names pools.
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
    /// The state of RoadRunner's queues, which are not supported.
    Jobs,
}

/// Where the state of the server is read.
#[derive(Clone)]
pub(super) struct ServerState {
    /// The pools, once they are started.
    pub(super) pools: UpcomingPools,
    /// False once the server shuts down.
    pub(super) serving: watch::Receiver<bool>,
}

/// The state of a pool.
#[derive(Serialize)]
struct Report<'a> {
    plugin_name: &'a str,
    error_message: &'static str,
    status_code: u16,
}

/// A pool, as probes see it.
#[derive(Debug, Clone, Copy)]
struct Seen<'a> {
    name: &'a str,
    is_ready: bool,
    is_required: bool,
}

impl Probe {
    pub(super) fn new(question: Question, config: &Status, server: ServerState) -> Self {
        let unavailable = StatusCode::from_u16(config.unavailable_status_code);
        Self { question, server, unavailable: unavailable.unwrap_or(StatusCode::SERVICE_UNAVAILABLE) }
    }
}

impl Page for Probe {
    fn answer<'a>(&'a self, request: &'a Request<Bytes>) -> Answering<'a> {
        let query = request.uri().query().unwrap_or_default();
        let is_serving = *self.server.serving.borrow();
        let answer = match (is_serving, self.question) {
            (false, Question::Health) => shutting_down(StatusCode::OK),
            (false, Question::Ready | Question::Jobs) => shutting_down(self.unavailable),
            (true, Question::Jobs) => plain(self.unavailable, "jobs plugin not found\n"),
            (true, question) => {
                let states = self.server.pools();
                let mut pools: Vec<Seen<'_>> = states.iter().map(Seen::of).collect();
                if question == Question::Health {
                    for pool in &mut pools {
                        pool.is_ready = true;
                    }
                }
                reports(&pools, query, self.unavailable)
            }
        };
        Box::pin(async { answer })
    }
}

impl ServerState {
    /// The names of all pools, whether each is ready, and whether it is required. Until all that are required have started, none is ready.
    fn pools(&self) -> Vec<(String, bool, bool)> {
        let state = |pool: &Arc<NamedPool>| (pool.name().to_owned(), pool.is_ready(), pool.is_required());
        match self.pools.get() {
            Some(pools) => pools.all().iter().map(state).collect(),
            None => self.pools.names().into_iter().map(|name| (name, false, true)).collect(),
        }
    }
}

impl<'a> Seen<'a> {
    fn of((name, is_ready, is_required): &'a (String, bool, bool)) -> Self {
        Self { name, is_ready: *is_ready, is_required: *is_required }
    }
}

fn shutting_down(status: StatusCode) -> Answer {
    plain(status, "service is shutting down\n")
}

/// Reports the pools that the query names, and all of a server that is not ready if none of these says so.
fn reports(pools: &[Seen<'_>], query: &str, unavailable: StatusCode) -> Answer {
    let named = named(pools, query);
    let asks_for_all = named.is_none();
    let mut shown = named.unwrap_or_else(|| pools.to_vec());
    let fails = |pool: &Seen<'_>| !pool.is_ready && (pool.is_required || !asks_for_all);
    if pools.iter().any(|pool| pool.is_required && !pool.is_ready) && !shown.iter().any(fails) {
        shown.extend(pools.iter().filter(|pool| pool.is_required && !pool.is_ready));
    }
    let status = if shown.iter().any(fails) { unavailable } else { StatusCode::OK };
    let reports: Vec<_> = shown
        .iter()
        .map(|pool| Report {
            plugin_name: pool.name,
            error_message: if pool.is_ready { "" } else { "no worker can serve" },
            status_code: if pool.is_ready { StatusCode::OK } else { unavailable }.as_u16(),
        })
        .collect();
    answer(status, TEXT, serde_json::to_vec(&reports).unwrap_or_default())
}

/// The pools that a query names, as often as it does; `None` if it names none at all.
fn named<'a>(pools: &[Seen<'a>], query: &str) -> Option<Vec<Seen<'a>>> {
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let mut values =
        pairs.filter(|(key, _)| decoded(key) == "plugin").map(|(_, value)| decoded(value)).peekable();
    values.peek()?;
    let find = |name: &str| pools.iter().find(|pool| pool.name == name.trim()).copied();
    let found = values.flat_map(|value| value.split(',').filter_map(find).collect::<Vec<_>>());
    Some(found.take(MAX_REPORTS).collect())
}

/// A part of a query without its percent-encoding; a plus sign is a space.
fn decoded(part: &str) -> String {
    percent_encoding::percent_decode_str(&part.replace('+', " ")).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(name: &'static str, is_ready: bool, is_required: bool) -> Seen<'static> {
        Seen { name, is_ready, is_required }
    }

    #[test]
    fn queries_name_pools_in_many_ways() {
        let pools = [pool("centrifuge", true, true)];
        let count = |query: &str| named(&pools, query).map_or(1, |named| named.len());
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
            let ask = |is_ready| {
                reports(&[pool("centrifuge", is_ready, true)], query, StatusCode::SERVICE_UNAVAILABLE)
            };
            assert_eq!(ask(false).status(), StatusCode::SERVICE_UNAVAILABLE, "{query}");
            assert!(ask(false).body().whole().starts_with(b"[{"), "{query}");
            assert_eq!(ask(true).status(), StatusCode::OK, "{query}");
        }
    }

    #[test]
    fn a_pool_that_is_not_required_counts_where_it_is_named() {
        let ask = |ready: [bool; 3], query: &str| {
            let names = [("centrifuge", true), ("centrifuge.a", true), ("centrifuge.b", false)];
            let pools: Vec<_> = names
                .into_iter()
                .zip(ready)
                .map(|((name, required), ready)| pool(name, ready, required))
                .collect();
            let answer = reports(&pools, query, StatusCode::SERVICE_UNAVAILABLE);
            let reports: serde_json::Value = serde_json::from_slice(answer.body().whole()).unwrap();
            let shown = reports.as_array().unwrap().iter().map(|report| {
                let name = report["plugin_name"].as_str().unwrap();
                format!("{}:{}", name.rsplit('.').next().unwrap(), report["status_code"])
            });
            format!("{} {}", answer.status().as_u16(), shown.collect::<Vec<_>>().join(" "))
        };
        assert_eq!(ask([true, true, true], ""), "200 centrifuge:200 a:200 b:200");
        assert_eq!(ask([true, true, false], ""), "200 centrifuge:200 a:200 b:503");
        assert_eq!(ask([true, true, false], "plugin=centrifuge.b"), "503 b:503");
        assert_eq!(ask([true, true, false], "plugin=centrifuge,centrifuge.a"), "200 centrifuge:200 a:200");
        assert_eq!(ask([true, false, true], ""), "503 centrifuge:200 a:503 b:200");
        assert_eq!(ask([true, false, true], "plugin=centrifuge"), "503 centrifuge:200 a:503");
        assert_eq!(ask([true, false, true], "plugin=centrifuge.a"), "503 a:503");
    }
}
