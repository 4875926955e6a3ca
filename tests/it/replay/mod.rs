//! 389 exchanges that were recorded from RoadRunner's RPC port, once more with this server.
//!
//! Each reply has to be the same, field by field, but for what `exceptions.json` beside this file lists with its reason and with what is
//! answered instead. What no two servers share (pids, memory, times, the name of an epoch, the command of a worker) is
//! compared by its kind.

mod expected;
mod world;

use std::collections::BTreeMap;

use causeway::goridge::{Decoder, Item};
use serde::Deserialize;
use serde_json::Value;

use crate::support::repository;
use crate::support::rpc::Reply;
use expected::Expected;
use world::World;

/// One exchange.
#[derive(Debug, Deserialize)]
struct Exchange {
    name: String,
    request_hex: String,
    reply_hex: String,
    reply_decoded: Value,
}

impl Exchange {
    /// The bytes of the request. The end of a long one is not recorded: it goes on as it ends, for as long as its header says.
    fn request(&self) -> Vec<u8> {
        let mut request = bytes(self.request_hex.trim_end_matches('.'));
        if self.request_hex.ends_with("...") {
            let payload = u32::from_le_bytes(request[2..6].try_into().unwrap());
            let length = 12 + 2 * 4 + usize::try_from(payload).unwrap();
            request.resize(length, *request.last().unwrap());
        }
        request
    }

    /// What RoadRunner answered. Of a long reply there is only the result.
    fn expected(&self) -> Expected {
        if !self.reply_hex.contains("...cut") {
            return Expected::Replies(replies(&bytes(&self.reply_hex)));
        }
        if self.name.ends_with("[PROTO]") {
            Expected::Passed
        } else {
            Expected::Result(self.reply_decoded["result"].clone())
        }
    }
}

/// What is answered otherwise, and why.
#[derive(Debug, Deserialize)]
struct Exception {
    names: Vec<String>,
    reason: String,
    instead: Expected,
}

fn read<T: serde::de::DeserializeOwned>(path: &str) -> T {
    let text = std::fs::read_to_string(repository().join(path)).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// The frames in recorded bytes.
fn replies(bytes: &[u8]) -> Vec<Reply> {
    let (mut decoder, mut buffer, mut replies) = (Decoder::strict(usize::MAX), bytes.into(), Vec::new());
    while let Some(Item::Frame(frame)) = decoder.decode(&mut buffer).unwrap() {
        replies.push(Reply::from(frame));
    }
    assert!(buffer.is_empty(), "half a frame is recorded");
    replies
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_exchange_has_the_same_reply_or_a_listed_one() {
    let exchanges: Vec<Exchange> = read("tests/vectors/rpc-transcripts.json");
    assert_eq!(exchanges.len(), 389);
    let exceptions: Vec<Exception> = read("tests/it/replay/exceptions.json");
    let mut otherwise: BTreeMap<&str, &Exception> = BTreeMap::new();
    for exception in &exceptions {
        assert!(exception.reason.len() > 20, "{:?}", exception.names);
        for name in &exception.names {
            assert!(otherwise.insert(name, exception).is_none(), "{name} is listed twice");
        }
    }
    let mut world = World::start().await;
    let mut wrong = Vec::new();
    for exchange in &exchanges {
        let exception = otherwise.remove(exchange.name.as_str());
        let recorded = if exception.is_none() { Some(exchange.expected()) } else { None };
        let expected = exception.map(|exception| &exception.instead).or(recorded.as_ref()).unwrap();
        if matches!(expected, Expected::NotReplayed) {
            continue;
        }
        if let Err(difference) = world.replay(exchange, expected).await {
            wrong.push(format!("{}: {difference}", exchange.name));
        }
    }
    assert!(otherwise.is_empty(), "never recorded: {:?}", otherwise.keys());
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}
