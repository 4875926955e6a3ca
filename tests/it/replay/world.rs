//! The server that exchanges are replayed with, and the Centrifugo behind it.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use causeway::proto::descriptors;
use prost::Message as _;
use prost_reflect::DynamicMessage;
use serde_json::Value;
use tonic::Status;

use super::Exchange;
use super::expected::Expected;
use crate::support::centrifugo::FakeApi;
use crate::support::rpc::{Caller, Reply};
use crate::support::{Server, worker};

/// Everything that exchanges need, as it was when they were recorded: two workers, metrics, and a Centrifugo.
pub(super) struct World {
    server: Server,
    caller: Caller,
    /// What Centrifugo says to the next call.
    answer: Arc<Mutex<Result<Bytes, Status>>>,
    _centrifugo: FakeApi,
}

impl World {
    pub(super) async fn start() -> Self {
        let answer = Arc::new(Mutex::new(Ok(Bytes::new())));
        let next = Arc::clone(&answer);
        let centrifugo = FakeApi::builder().answer(move |_| next.lock().unwrap().clone()).start().await;
        let server = worker()
            .pool("num_workers: 2")
            .rpc()
            .centrifuge(&format!("grpc_api_address: {}", centrifugo.address))
            .more("metrics: {address: '127.0.0.1:0', collect: {facts_cfg: {type: counter, help: from the file}}}\n")
            .start();
        let caller = server.caller().await;
        Self { server, caller, answer, _centrifugo: centrifugo }
    }

    /// Sends a request and says how its reply differs from what is expected.
    pub(super) async fn replay(&mut self, exchange: &Exchange, expected: &Expected) -> Result<(), String> {
        if exchange.name.starts_with("fault: ") {
            self.caller = self.server.caller().await;
        }
        *self.answer.lock().unwrap() = centrifugo_s_answer(exchange);
        self.caller.send(&exchange.request()).await;
        if exchange.name.contains("half-close") || exchange.name.contains("no option bytes follow") {
            self.caller.hang_up_sending().await;
        }
        let Some(count) = expected.count() else { return self.expect_no_reply(expected).await };
        let mut found: Vec<Reply> = Vec::new();
        while found.len() < count {
            let Some(reply) = self.caller.next().await else {
                self.caller = self.server.caller().await;
                return Err(format!("the connection ended after {found:?}"));
            };
            found.push(reply);
        }
        let answer = self.answer.lock().unwrap().clone().unwrap_or_default();
        expected.compare(found, &answer)
    }

    async fn expect_no_reply(&mut self, expected: &Expected) -> Result<(), String> {
        let found = if matches!(expected, Expected::Silence) {
            self.caller.say_nothing_more().await
        } else {
            self.caller.next().await
        };
        self.caller = self.server.caller().await;
        found.map_or(Ok(()), |reply| Err(format!("expected no reply, found {reply:?}")))
    }
}

/// What Centrifugo must have said for the recorded reply to come about: the bytes of a message, its JSON, or a status.
fn centrifugo_s_answer(exchange: &Exchange) -> Result<Bytes, Status> {
    let decoded = &exchange.reply_decoded;
    let failed = [&decoded["error"], &decoded["text"]].into_iter().find_map(Value::as_str);
    if let Some(text) = failed.filter(|text| decoded["error"].is_string() || text.contains("rpc error: ")) {
        return Err(status(text));
    }
    let Some(method) = decoded["method"].as_str().and_then(|name| name.strip_prefix("centrifuge.")) else {
        return Ok(Bytes::new());
    };
    let service = descriptors().get_service_by_name("centrifugal.centrifugo.api.CentrifugoApi").unwrap();
    let method = service.methods().find(|known| known.name() == method).unwrap();
    let json = lower_case(&decoded["result"]);
    Ok(DynamicMessage::deserialize(method.output(), json).unwrap().encode_to_vec().into())
}

/// gob and MessagePack show messages by Go's names.
fn lower_case(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let known = fields.iter().filter(|(_, value)| !value.is_null());
            let is_go =
                |name: &str| ["Error", "Result", "Code", "Message", "Offset", "Epoch"].contains(&name);
            known
                .map(|(name, value)| {
                    let name = if is_go(name) { name.to_lowercase() } else { name.clone() };
                    (name, lower_case(value))
                })
                .collect()
        }
        Value::Array(items) => items.iter().map(lower_case).collect(),
        other => other.clone(),
    }
}

/// `rpc error: code = Unauthenticated desc = ...`
fn status(text: &str) -> Status {
    let code = text.split("code = ").nth(1).unwrap_or_default().split(' ').next().unwrap_or_default();
    let message = text.split_once(" desc = ").map_or(text, |(_, message)| message);
    match code {
        "Unimplemented" => Status::unimplemented(message),
        "Unauthenticated" => Status::unauthenticated(message),
        "InvalidArgument" => Status::invalid_argument(message),
        "Unavailable" => Status::unavailable(message),
        _ => Status::unknown(text),
    }
}
