//! What a request is about, for the slow log and the access log.

use bytes::Bytes;

use super::scan;
use super::types::{Subject, subject};
use crate::pool::{Describe, Description};
use crate::telemetry::trace::TraceContext;

/// The message of a request that is longer is not kept for that.
const MAX_BODY: usize = 64 << 10;

/// The types whose messages name the user, all in the same field.
///
/// Source: `proto/centrifugal/centrifugo/proxy.proto`.
const WITH_USER: [&str; 9] = [
    "refresh",
    "subscribe",
    "publish",
    "rpc",
    "subrefresh",
    "mappublish",
    "mapremove",
    "subscribeunidirectional",
    "subscribebidirectional",
];
const USER: u32 = 10;

/// A request as it is kept while it runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Described {
    kind: String,
    context: Bytes,
    body: Bytes,
}

impl Described {
    /// A request of this type. Of a long message nothing is kept.
    pub(crate) fn new(kind: &str, context: &[u8], body: &Bytes) -> Self {
        let body = if body.len() <= MAX_BODY { body.clone() } else { Bytes::new() };
        Self { kind: kind.to_owned(), context: Bytes::copy_from_slice(context), body }
    }
}

impl Describe for Described {
    fn describe(&self) -> Description {
        let field =
            |number| scan::text(&self.body, number).filter(|text| !text.is_empty()).map(str::to_owned);
        let (subject, number) = subject(&self.kind).unzip();
        let text = number.and_then(field);
        let (method, channel) = match subject {
            Some(Subject::Method) => (text, None),
            Some(Subject::Channel) => (None, text),
            None => (None, None),
        };
        let user = WITH_USER.contains(&&*self.kind).then(|| field(USER)).flatten();
        let trace = TraceContext::of_context(&self.context);
        let trace_id = trace.map(|trace| trace.trace_id.to_string());
        Description { kind: self.kind.clone(), method, channel, user, trace_id }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::super::types::TYPES;
    use super::*;
    use crate::proto;
    use crate::proto::proxy::{ConnectRequest, PublishRequest, RpcRequest};

    #[test]
    fn a_request_is_described_by_what_its_message_and_context_say() {
        let context =
            br#"{"traceparent":["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],"type":["rpc"]}"#;
        let rpc = RpcRequest { user: "42".into(), method: "sum".into(), ..RpcRequest::default() };
        let description = Described::new("rpc", context, &rpc.encode_to_vec().into()).describe();
        let expected = Description {
            kind: "rpc".into(),
            method: Some("sum".into()),
            channel: None,
            user: Some("42".into()),
            trace_id: Some("0af7651916cd43dd8448eb211c80319c".into()),
        };
        assert_eq!(description, expected);
        let publish = PublishRequest { channel: "news".into(), ..PublishRequest::default() };
        let described = Described::new("publish", b"{}", &publish.encode_to_vec().into()).describe();
        assert_eq!(
            (described.channel.as_deref(), described.user, described.trace_id),
            (Some("news"), None, None)
        );
        let connect = ConnectRequest { client: "c".into(), ..ConnectRequest::default() };
        let described = Described::new("connect", b"{}", &connect.encode_to_vec().into()).describe();
        assert_eq!(described, Description { kind: "connect".into(), ..Description::default() });
        let long = RpcRequest { method: "x".repeat(MAX_BODY), ..RpcRequest::default() };
        assert_eq!(Described::new("rpc", b"{}", &long.encode_to_vec().into()).describe().method, None);
    }

    #[test]
    fn the_messages_that_name_the_user_do_so_in_one_field() {
        let service =
            proto::descriptors().get_service_by_name("centrifugal.centrifugo.proxy.CentrifugoProxy").unwrap();
        for method in service.methods() {
            let kind = super::super::types::normalised(method.name());
            assert!(TYPES.iter().any(|(known, _)| *known == kind), "{kind}");
            let mut input = method.input();
            if method.is_client_streaming() {
                let first = input.get_field_by_name("subscribe_request").unwrap().kind();
                input = first.as_message().unwrap().clone();
            }
            let field = input.get_field_by_name("user").map(|field| field.number());
            let expected = WITH_USER.contains(&&*kind).then_some(USER);
            assert_eq!(field, expected, "{kind}");
        }
    }
}
