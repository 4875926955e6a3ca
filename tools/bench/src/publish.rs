//! The load on `rpc.listen`: publishes into Centrifugo as a worker's client does, one call at a time on each connection.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use causeway::goridge::Flags;
use causeway::proto::api::PublishResponse;
use prost::Message as _;
use tokio::task::JoinSet;

use crate::h2load::Outcome;
use crate::message::publication;
use crate::rpc::Caller;

const METHOD: &str = "centrifuge.Publish";

/// How long Centrifugo may take to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// The pause between two attempts meanwhile.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Publishes over some connections.
#[derive(Debug, Clone)]
pub(crate) struct Publisher {
    pub(crate) socket: PathBuf,
    pub(crate) connections: usize,
    /// Whether Centrifugo's API is simulated by the bare server, which answers with the name of the channel.
    pub(crate) is_simulated: bool,
}

impl Publisher {
    /// Waits until a message can be published.
    ///
    /// # Errors
    /// That of the last attempt.
    pub(crate) async fn wait(&self) -> anyhow::Result<()> {
        let begin = Instant::now();
        loop {
            match self.publish(0, 1).await {
                Ok(_) => return Ok(()),
                Err(error) if begin.elapsed() > PATIENCE => return Err(error),
                Err(_) => tokio::time::sleep(POLL_INTERVAL).await,
            }
        }
    }

    /// Publishes `calls` messages over all connections together.
    ///
    /// # Errors
    /// If a call fails or has a wrong answer.
    pub(crate) async fn run(&self, calls: usize) -> anyhow::Result<Outcome> {
        let begin = Instant::now();
        let mut tasks = JoinSet::new();
        for number in 0..self.connections {
            let publisher = self.clone();
            let calls = calls.div_ceil(self.connections);
            tasks.spawn(async move { publisher.publish(number, calls).await });
        }
        let mut latencies = Vec::new();
        while let Some(took) = tasks.join_next().await {
            latencies.extend(took.context("a connection did not finish")??);
        }
        let requests_per_second = latencies.len() as f64 / begin.elapsed().as_secs_f64();
        latencies.sort_unstable();
        Ok(Outcome { requests_per_second, latencies })
    }

    /// Makes calls one after the other; returns the microseconds of each.
    async fn publish(&self, number: usize, calls: usize) -> anyhow::Result<Vec<u32>> {
        let publication = publication(number);
        let message = publication.encode_to_vec();
        let mut caller = Caller::connect(&self.socket).await?;
        let mut latencies = Vec::with_capacity(calls);
        for _ in 0..calls {
            let begin = Instant::now();
            let reply = caller.call(METHOD, Flags::PROTO, &message).await?;
            latencies.push(u32::try_from(begin.elapsed().as_micros()).unwrap_or(u32::MAX));
            self.check(reply, &publication.channel)?;
        }
        Ok(latencies)
    }

    fn check(&self, reply: Bytes, channel: &str) -> anyhow::Result<()> {
        let response = PublishResponse::decode(reply)?;
        match response.result {
            Some(result) if response.error.is_none() && (!self.is_simulated || result.epoch == channel) => {
                Ok(())
            }
            result => bail!("the call of {channel} was answered with {:?}, {result:?}", response.error),
        }
    }
}
