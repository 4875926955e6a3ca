//! Centrifugo's requests and the right answers.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut as _, Bytes, BytesMut};
use causeway::proto::api::{PublishRequest, PublishResponse};
use causeway::proto::proxy::{ConnectRequest, ConnectResponse, RpcRequest, RpcResponse};
use prost::Message as _;

/// A kind of call.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Message {
    /// An RPC with this many bytes of data.
    Rpc(usize),
    /// An RPC for which the worker in C sleeps for 20 ms.
    Slow,
    /// An RPC for which the worker in C exits.
    Die,
    /// An RPC whose handler waits for 50 ms, with 100 bytes of data.
    Wait,
    /// A connect with a few bytes of data, answered by the worker in C.
    Connect,
    /// A publication to Centrifugo.
    Publish,
}

impl Message {
    /// The path of its method.
    pub(crate) fn path(self) -> String {
        let proxy = causeway::proxy::SERVICE;
        match self {
            Self::Rpc(_) | Self::Slow | Self::Die | Self::Wait => format!("/{proxy}/RPC"),
            Self::Connect => format!("/{proxy}/Connect"),
            Self::Publish => "/centrifugal.centrifugo.api.CentrifugoApi/Publish".into(),
        }
    }

    /// The method of an RPC.
    pub(crate) fn method(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Die => "die",
            Self::Wait => "wait",
            Self::Rpc(_) | Self::Connect | Self::Publish => "echo",
        }
    }

    /// How long its handler waits.
    pub(crate) fn waits(self) -> Option<Duration> {
        matches!(self, Self::Wait).then_some(Duration::from_millis(50))
    }

    /// A request that differs for each number.
    pub(crate) fn request(self, number: usize) -> Bytes {
        let (client, data) = (format!("4f3a1c9e-8b7d-4c21-9f60-{number:012}"), self.data(number));
        let (transport, protocol, encoding) = ("websocket".into(), "json".into(), "json".into());
        match self {
            Self::Rpc(_) | Self::Slow | Self::Die | Self::Wait => RpcRequest {
                client,
                transport,
                protocol,
                encoding,
                user: "42".into(),
                method: self.method().into(),
                data,
                ..RpcRequest::default()
            }
            .encode_to_vec(),
            Self::Connect => ConnectRequest {
                client,
                transport,
                protocol,
                encoding,
                data,
                name: "js".into(),
                ..ConnectRequest::default()
            }
            .encode_to_vec(),
            Self::Publish => publication(0).encode_to_vec(),
        }
        .into()
    }

    /// Whether this is the answer to the request with this number.
    pub(crate) fn is_answer(self, number: usize, answer: &Bytes) -> bool {
        let data = match self {
            Self::Rpc(_) | Self::Slow | Self::Die | Self::Wait => RpcResponse::decode(answer.clone())
                .ok()
                .filter(|response| response.error.is_none() && response.disconnect.is_none())
                .and_then(|response| response.result)
                .and_then(|result| plain(result.data, &result.b64data)),
            Self::Connect => ConnectResponse::decode(answer.clone())
                .ok()
                .and_then(|response| response.result)
                .filter(|result| result.user == "bench")
                .and_then(|result| plain(result.data, &result.b64data)),
            Self::Publish => {
                return PublishResponse::decode(answer.clone())
                    .is_ok_and(|response| response.error.is_none() && response.result.is_some());
            }
        };
        data.is_some_and(|data| data == self.data(number))
    }

    /// JSON whose length does not depend on the number.
    pub(crate) fn data(self, number: usize) -> Bytes {
        let mut text = format!("{{\"number\":\"{number:012}\",\"text\":\"");
        let size = match self {
            Self::Rpc(size) => size,
            Self::Wait => 100,
            Self::Slow | Self::Die | Self::Connect | Self::Publish => 0,
        };
        text.extend(std::iter::repeat_n('x', size.saturating_sub(text.len() + 2)));
        text.push_str("\"}");
        text.into()
    }
}

/// Data, which a worker may send in base64.
fn plain(data: Bytes, base64: &str) -> Option<Bytes> {
    if base64.is_empty() { Some(data) } else { STANDARD.decode(base64).ok().map(Bytes::from) }
}

/// The publication of the connection with this number.
pub(crate) fn publication(number: usize) -> PublishRequest {
    PublishRequest {
        channel: format!("bench-{number}"),
        data: r#"{"text":"hello"}"#.into(),
        ..PublishRequest::default()
    }
}

/// A message with gRPC's prefix: uncompressed, and its length.
pub(crate) fn framed(message: &Bytes) -> Bytes {
    let mut out = BytesMut::with_capacity(message.len() + 5);
    out.put_u8(0);
    // Messages of this benchmark have at most a megabyte.
    out.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    out.put_slice(message);
    out.freeze()
}
