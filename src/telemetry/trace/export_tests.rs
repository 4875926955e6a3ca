//! The exporter in front of a collector that takes spans, refuses them, or is away.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};

use super::client::Client;
use super::config::Otel;
use super::export::{Exporter, Exporting, Target};
use super::health::Health;
use super::messages::{ExportTraceServiceRequest, ExportTraceServiceResponse, PartialSuccess};
use super::queue::{Dropped, Queue, Taken};
use super::settings::{Destination, Pace, Settings};
use super::tests::span;
use crate::findings::Findings;

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a collector answers, in turn; the last one again and again.
#[derive(Clone)]
enum Answer {
    Status(u16),
    Body(Vec<u8>),
    /// None.
    Silence,
}

/// A collector. Its address, and how many spans each request had.
struct Collector {
    address: String,
    seen: Arc<Mutex<Vec<usize>>>,
}

impl Collector {
    async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen: Arc<Mutex<Vec<usize>>> = Arc::default();
        let answers: Arc<[Answer]> = answers.into_iter().collect();
        let shared = Arc::clone(&seen);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (seen, answers) = (Arc::clone(&shared), Arc::clone(&answers));
                let service =
                    service_fn(move |request| answer(request, Arc::clone(&seen), Arc::clone(&answers)));
                let serving = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(async { drop(serving.await) });
            }
        });
        Self { address, seen }
    }

    fn seen(&self) -> Vec<usize> {
        self.seen.lock().unwrap().clone()
    }
}

async fn answer(
    request: Request<Incoming>,
    seen: Arc<Mutex<Vec<usize>>>,
    answers: Arc<[Answer]>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!((request.uri().path(), request.method().as_str()), ("/v1/traces", "POST"));
    assert_eq!(request.headers()["content-type"], "application/x-protobuf");
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let message = ExportTraceServiceRequest::decode(body).unwrap();
    let number = {
        let mut seen = seen.lock().unwrap();
        seen.push(message.resource_spans[0].scope_spans[0].spans.len());
        seen.len() - 1
    };
    let mut response = Response::new(Full::default());
    match answers[number.min(answers.len() - 1)].clone() {
        Answer::Status(status) => *response.status_mut() = StatusCode::from_u16(status).unwrap(),
        Answer::Body(body) => *response.body_mut() = body.into(),
        Answer::Silence => std::future::pending().await,
    }
    Ok(response)
}

/// A pace without waiting.
const FAST: Pace = Pace {
    delay: Duration::from_millis(1),
    capacity: 64,
    batch: 8,
    timeout: PATIENCE,
    patience: PATIENCE,
    pause: Duration::from_millis(1),
};

fn export(address: &str, pace: Pace) -> (Arc<Queue>, Exporting) {
    let otel: Otel =
        serde_json::from_value(serde_json::json!({"endpoint": address, "insecure": true})).unwrap();
    let settings = Settings::of(&otel, &[], &mut Findings::default()).unwrap();
    let Destination::Collector(endpoint) = settings.destination else { panic!("no collector") };
    let target =
        Target::Collector { client: Box::new(Client::new(*endpoint).unwrap()), is_compressed: false };
    let queue = Arc::new(Queue::new(pace.capacity, pace.batch));
    let (shared, resource) = (Arc::clone(&queue), settings.resource.into());
    (queue, Exporting::start(Exporter { queue: shared, target, resource, pace, health: Health::default() }))
}

/// Waits until this is so.
async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(timeout(PATIENCE, waiting).await.is_ok(), "{what}");
}

async fn finish(exporting: Exporting) -> Duration {
    let begin = Instant::now();
    exporting.finish(begin + PATIENCE).await;
    begin.elapsed()
}

#[tokio::test]
async fn spans_are_exported_in_batches() {
    let collector = Collector::start([Answer::Status(200)]).await;
    let (queue, exporting) = export(&collector.address, Pace { delay: PATIENCE, ..FAST });
    for _ in 0..20 {
        queue.push([span()]);
    }
    finish(exporting).await;
    assert_eq!(collector.seen(), [8, 8, 4]);
    assert_eq!(queue.exported(), 20);
}

#[tokio::test]
async fn spans_that_came_during_an_export_wait_for_others() {
    let collector = Collector::start([Answer::Status(200)]).await;
    let (queue, exporting) = export(&collector.address, Pace { delay: Duration::from_hours(1), ..FAST });
    for round in 1..=3 {
        // The first round leaves six, to which two are missing.
        queue.push((0..if round == 1 { 14 } else { 8 }).map(|_| span()).collect::<Vec<_>>());
        eventually("a batch is exported", || queue.exported() == 8 * round).await;
    }
    finish(exporting).await;
    assert_eq!(collector.seen(), [8, 8, 8, 6]);
}

#[tokio::test]
async fn a_batch_that_the_collector_cannot_take_yet_is_sent_again() {
    let collector = Collector::start([Answer::Status(503), Answer::Status(429), Answer::Status(200)]).await;
    let (queue, exporting) = export(&collector.address, FAST);
    queue.push([span()]);
    eventually("the span is exported", || queue.exported() == 1).await;
    assert_eq!(collector.seen(), [1, 1, 1]);
    finish(exporting).await;
    assert_eq!(queue.dropped_in_all(), 0);
}

#[tokio::test]
async fn what_the_collector_rejects_is_counted() {
    let partial = PartialSuccess { rejected_spans: 3, error_message: "too old".into() };
    let partial = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
    let collector = Collector::start([Answer::Body(partial), Answer::Status(400)]).await;
    let (queue, exporting) = export(&collector.address, FAST);
    queue.push((0..8).map(|_| span()).collect::<Vec<_>>());
    eventually("most are exported", || queue.exported() == 5).await;
    queue.push([span(), span()]);
    finish(exporting).await;
    assert_eq!((queue.exported(), queue.dropped(Dropped::Rejected)), (5, 5));
}

#[tokio::test]
async fn a_collector_that_is_away_costs_a_counter() {
    let away = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let (queue, exporting) = export(&away, Pace { patience: Duration::ZERO, ..FAST });
    queue.push([span()]);
    eventually("the span is given up", || queue.dropped(Dropped::Unreachable) == 1).await;
    for _ in 0..1000 {
        queue.push([span()]);
    }
    assert!(queue.dropped(Dropped::QueueFull) > 0);
    finish(exporting).await;
    assert_eq!(queue.dropped_in_all(), 1001);
    assert!(queue.dropped(Dropped::Shutdown) > 0);
}

#[tokio::test]
async fn the_shutdown_does_not_wait_for_a_silent_collector() {
    let collector = Collector::start([Answer::Silence]).await;
    let (queue, exporting) = export(&collector.address, FAST);
    for _ in 0..20 {
        queue.push([span()]);
    }
    eventually("the collector is asked", || !collector.seen().is_empty()).await;
    let begin = Instant::now();
    exporting.finish(begin + Duration::from_millis(50)).await;
    assert!(begin.elapsed() < PATIENCE / 2);
    assert_eq!(queue.dropped(Dropped::Shutdown), 20);
}

#[tokio::test(start_paused = true)]
async fn spans_of_an_exporter_that_cannot_be_run_are_counted() {
    let collector = Collector::start([Answer::Silence]).await;
    let (queue, mut exporting) = export(&collector.address, FAST);
    // Another task, which does not notice the shutdown, in place of the exporter's.
    let taken = Taken::new(&queue, 8);
    let stuck = tokio::spawn(async move {
        let _taken = taken;
        std::future::pending::<()>().await;
    });
    std::mem::replace(&mut exporting.task, stuck).abort();
    queue.push([span(), span()]);
    exporting.finish(Instant::now()).await;
    assert_eq!(queue.dropped(Dropped::Shutdown), 10);
}

#[tokio::test]
async fn a_silent_collector_is_given_up_after_the_timeout() {
    let collector = Collector::start([Answer::Silence, Answer::Status(200)]).await;
    let (queue, exporting) = export(&collector.address, Pace { timeout: Duration::from_millis(50), ..FAST });
    queue.push([span()]);
    eventually("the span is exported", || queue.exported() == 1).await;
    // On a busy machine, the second answer may be late as well.
    assert!(collector.seen().starts_with(&[1, 1]));
    finish(exporting).await;
}
