//! The load on the page of metrics: five hundred workers in four pools, all labels in use, and scrapes while some callers call.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::{BufMut as _, Bytes};
use causeway::grpc::RawCodec;
use tonic::transport::Channel;
use tonic::{Code, Request};

use crate::callers::{Callers, Tally};
use crate::check;
use crate::configure::CHANNELS;
use crate::figures::{Figure, Measured, QUANTILES, quantile};
use crate::http;
use crate::running::Running;
use crate::streams::Streams;

/// Methods that are answered once: Centrifugo's, and one that it does not have.
const METHODS: [&str; 12] = [
    "Connect",
    "Refresh",
    "Subscribe",
    "Publish",
    "RPC",
    "SubRefresh",
    "NotifyCacheEmpty",
    "NotifyChannelState",
    "MapPublish",
    "MapRemove",
    "SharedPollRefresh",
    "Unknown",
];

/// Callers with one call at a time.
const CALLERS: u32 = 8;

/// Calls per second of all of them: some, so that they notice a delay, but not as many as the machine can do.
const RATE: f64 = 4000.0;

/// The pause between two scrapes.
const PAUSE: Duration = Duration::from_millis(50);

/// Scrapes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scrapes {
    pub(crate) number: usize,
    /// Whether the page is scraped. Otherwise it is only waited, as a comparison.
    pub(crate) is_scraped: bool,
}

impl Scrapes {
    /// Fills the labels, then scrapes while callers call.
    ///
    /// # Errors
    /// If a call fails, or the page is not served.
    pub(crate) async fn measure(self, running: &Running) -> anyhow::Result<Measured> {
        fill(running).await?;
        let callers = Callers::start(&running.address, CALLERS, Some(RATE)).await?;
        tokio::time::sleep(PAUSE).await;
        let (begin, _) = (Instant::now(), callers.take());
        let mut took = Vec::with_capacity(self.number);
        for _ in 0..self.number {
            tokio::time::sleep(PAUSE).await;
            if self.is_scraped {
                let begin = Instant::now();
                // As Prometheus does.
                http::get(&running.admin, "/metrics", "gzip").await?;
                took.push(u32::try_from(begin.elapsed().as_micros())?);
            }
        }
        let time = begin.elapsed().as_secs_f64();
        let Tally { mut latencies, died, failed, reasons } = callers.take();
        if died + failed > 0 || latencies.is_empty() {
            bail!("{} calls failed, {} were answered: {reasons:?}", died + failed, latencies.len());
        }
        latencies.sort_unstable();
        took.sort_unstable();
        let page = http::get(&running.admin, "/metrics", "identity").await?;
        let series = String::from_utf8(page.clone())?.lines().filter(|line| !line.starts_with('#')).count();
        let latency = |part| quantile(&latencies, part);
        let mut figures = vec![
            (Figure::Rate, latencies.len() as f64 / time),
            (Figure::P50Us, latency(0.5)),
            (Figure::P99Us, latency(0.99)),
            (Figure::SlowestMs, latency(1.0) / 1e3),
            (Figure::PageKb, page.len() as f64 / 1e3),
            (Figure::PageSeries, series as f64),
        ];
        if self.is_scraped {
            figures.push((Figure::ScrapeMs, quantile(&took, 0.5) / 1e3));
            figures.push((Figure::SlowestScrapeMs, quantile(&took, 1.0) / 1e3));
        }
        let latencies_us = QUANTILES.into_iter().map(latency).collect();
        Ok(Measured { figures: figures.into_iter().collect(), latencies_us })
    }
}

/// Makes calls of all types to all pools that may answer them, some of which miss their deadline.
async fn fill(running: &Running) -> anyhow::Result<()> {
    let channel = check::connect(&running.address).await?;
    for method in METHODS {
        for subject in CHANNELS.into_iter().chain(["echo", "other"]) {
            let answered = call(channel.clone(), method, subject, None).await;
            if answered != Code::Ok {
                bail!("{method} of {subject} failed: {answered:?}");
            }
            call(channel.clone(), method, subject, Some(Duration::from_micros(1))).await;
        }
    }
    let mut streams = Streams::open(&running.address, running.rpc(), 4).await?;
    streams.publish(4).await.context("streams")?;
    Ok(())
}

/// Makes a call with an answer. Returns its code.
async fn call(channel: Channel, method: &str, subject: &str, deadline: Option<Duration>) -> Code {
    let mut message = Vec::new();
    // The fields of methods and channels.
    for key in [0x0a, 0x5a] {
        message.put_u8(key);
        message.put_u8(u8::try_from(subject.len()).unwrap_or(u8::MAX));
        message.put_slice(subject.as_bytes());
    }
    let mut grpc = tonic::client::Grpc::new(channel);
    let mut request = Request::new(Bytes::from(message));
    if let Some(deadline) = deadline {
        request.set_timeout(deadline);
    }
    let Ok(path) = format!("/{}/{method}", causeway::proxy::SERVICE).parse() else { return Code::Unknown };
    if grpc.ready().await.is_err() {
        return Code::Unavailable;
    }
    grpc.unary(request, path, RawCodec).await.map_or_else(|status| status.code(), |_| Code::Ok)
}
