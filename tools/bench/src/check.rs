//! Whether answers are right.

use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use causeway::grpc::RawCodec;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

use crate::message::Message;

/// Calls that are made at once.
const SAMPLE: usize = 32;

/// How long a call may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Makes one call, which has to be answered correctly.
pub(crate) async fn ask(address: &str, message: Message) -> anyhow::Result<()> {
    let channel = connect(address).await?;
    call(channel, message, 0).await.map(drop)
}

/// Makes some calls at once, each with another message. Returns the size of an answer, which all have.
pub(crate) async fn sample(address: &str, message: Message) -> anyhow::Result<usize> {
    let channel = connect(address).await?;
    let mut calls = JoinSet::new();
    for number in 1..=SAMPLE {
        calls.spawn(call(channel.clone(), message, number));
    }
    let mut size = None;
    while let Some(answer) = calls.join_next().await {
        let answer = answer.context("a call did not finish")??;
        if size.replace(answer.len()).is_some_and(|other| other != answer.len()) {
            bail!("answers to messages of one size differ in size");
        }
    }
    size.context("no call was made")
}

pub(crate) async fn connect(address: &str) -> anyhow::Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
    endpoint.connect().await.with_context(|| format!("cannot connect to {address}"))
}

/// Makes the call with this number, which has to be answered correctly.
///
/// # Errors
/// A [`tonic::Status`] if it fails, other errors if it has no answer or a wrong one.
pub(crate) async fn call(channel: Channel, message: Message, number: usize) -> anyhow::Result<Bytes> {
    let mut grpc = tonic::client::Grpc::new(channel).max_decoding_message_size(usize::MAX);
    grpc.ready().await?;
    let answering =
        grpc.unary(tonic::Request::new(message.request(number)), message.path().parse()?, RawCodec);
    let answer = tokio::time::timeout(PATIENCE, answering)
        .await
        .with_context(|| format!("call {number} had no answer after {} s", PATIENCE.as_secs()))?
        .with_context(|| format!("call {number} failed"))?
        .into_inner();
    if !message.is_answer(number, &answer) {
        bail!("call {number} had a wrong answer: {}", answer[..answer.len().min(200)].escape_ascii());
    }
    Ok(answer)
}
