//! The messages of streams, without decoding them: what is looked at or changed is found by its field number, and everything else passes
//! through, fields of a later Centrifugo included.
//!
//! Source: `proto/centrifugal/centrifugo/proxy.proto`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::grpc;
pub use crate::protobuf::Malformed;
use crate::protobuf::{self, Field, Fields, MAX_VARINT, Value, last, put_bytes};

/// `StreamSubscribeResponse`, and with the same numbers `StreamSubscribeRequest` and its `subscribe_request`.
const SUBSCRIBE: u32 = 1;
const PUBLICATION: u32 = 2;

/// `SubscribeResponse` and `PublishResponse`.
const ERROR: u32 = 2;
const DISCONNECT: u32 = 3;

/// `Publication`.
const PUBLICATION_DATA: u32 = 4;

/// `SubscribeRequest`.
const ENCODING: u32 = 4;
pub(super) const CLIENT: u32 = 1;
pub(super) const USER: u32 = 10;
pub(super) const CHANNEL: u32 = 11;
const META: u32 = 13;
const LABELS: u32 = 16;

/// `PublishRequest`; its first fields are those of `SubscribeRequest`.
const PUBLISH_DATA: u32 = 12;
const PUBLISH_B64DATA: u32 = 13;
const PUBLISH_META: u32 = 14;
const PUBLISH_LABELS: u32 = 15;

/// Whether a `SubscribeResponse` or `PublishResponse` is neither an error nor a disconnect.
///
/// # Errors
/// When it is no message.
pub fn is_success(response: &[u8]) -> Result<bool, Malformed> {
    let mut success = true;
    for field in Fields::of(response) {
        success &= !matches!(field?, Field { number: ERROR | DISCONNECT, value: Value::Bytes(_), .. });
    }
    Ok(success)
}

/// The code and the text of the `error` or `disconnect` in a response, for people to read.
pub(super) fn rejection(response: &[u8]) -> Option<String> {
    let rejected = Fields::of(response)
        .map_while(Result::ok)
        .find(|field| matches!(field.number, ERROR | DISCONNECT))?;
    let (mut code, mut text) = (0, "");
    for field in Fields::of(rejected.bytes()?).map_while(Result::ok) {
        match (field.number, field.value) {
            (1, Value::Varint(value)) => code = value,
            (2, Value::Bytes(content)) => text = str::from_utf8(content).ok()?,
            _ => {}
        }
    }
    Some(format!("{code} {text}"))
}

/// The text of a field of a `SubscribeRequest`; empty if it does not have it.
pub(super) fn text(request: &[u8], number: u32) -> &str {
    let found = last(request, number).ok().flatten();
    found.and_then(|text| str::from_utf8(text).ok()).unwrap_or_default()
}

/// The `subscribe_request` of a `StreamSubscribeRequest`; `None` if it has none.
///
/// # Errors
/// When it is no message.
pub fn subscribe_request(message: &Bytes) -> Result<Option<Bytes>, Malformed> {
    Ok(last(message, SUBSCRIBE)?.map(|request| message.slice_ref(request)))
}

/// The data of the `publication` of a `StreamSubscribeRequest`; `None` if it has none.
///
/// # Errors
/// When it is no message.
pub(super) fn publication_data(message: &[u8]) -> Result<Option<&[u8]>, Malformed> {
    let Some(publication) = last(message, PUBLICATION)? else { return Ok(None) };
    Ok(Some(last(publication, PUBLICATION_DATA)?.unwrap_or_default()))
}

/// Whether a `StreamSubscribeResponse` has a `subscribe_response`, and if so, whether it accepts.
///
/// # Errors
/// When it is no message.
pub fn opens(message: &[u8]) -> Result<Option<bool>, Malformed> {
    last(message, SUBSCRIBE)?.map(is_success).transpose()
}

/// A `SubscribeResponse` as the first message of a stream, behind gRPC's prefix.
pub fn first_message(response: &[u8]) -> Bytes {
    framed(SUBSCRIBE, response)
}

/// A `Publication` as a message of a stream, behind gRPC's prefix.
pub fn publication(publication: &[u8]) -> Bytes {
    framed(PUBLICATION, publication)
}

/// The same with these data alone.
pub fn publication_of(data: &[u8]) -> Bytes {
    let length = if data.is_empty() { 0 } else { protobuf::len_with(data.len()) };
    let mut out = prefixed(PUBLICATION, length);
    if !data.is_empty() {
        put_bytes(&mut out, PUBLICATION_DATA, data);
    }
    out.into()
}

/// The first message of a client on a bidirectional stream, without gRPC's prefix.
pub fn subscribe_message(request: &[u8]) -> Bytes {
    framed(SUBSCRIBE, request).slice(grpc::PREFIX..)
}

/// The same for a message that publishes these data.
pub fn client_publication(data: &[u8]) -> Bytes {
    publication_of(data).slice(grpc::PREFIX..)
}

/// A whole message, behind gRPC's prefix.
pub fn message(message: &[u8]) -> Bytes {
    let mut out = after_prefix(message.len());
    out.extend_from_slice(message);
    out.into()
}

fn framed(number: u32, content: &[u8]) -> Bytes {
    let mut out = prefixed(number, content.len());
    out.extend_from_slice(content);
    out.into()
}

/// The prefix, and the beginning of a message that has one field, of this length.
fn prefixed(number: u32, length: usize) -> Vec<u8> {
    let mut out = after_prefix(protobuf::len_with(length));
    protobuf::put_length(&mut out, number, length);
    out
}

/// gRPC's prefix of a message that is not compressed, with room for it. Messages are shorter than its 4 GB: frames of workers and of RPC are.
fn after_prefix(length: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(grpc::PREFIX + length);
    out.push(0);
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    out
}

/// The `PublishRequest` that Centrifugo would send for these data of the client that sent this `SubscribeRequest`.
///
/// # Errors
/// When that is no message.
pub(super) fn publish_request(subscribe: &[u8], data: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut out = Vec::with_capacity(subscribe.len() + data.len() + 2 * MAX_VARINT);
    let mut is_binary = false;
    for field in Fields::of(subscribe) {
        let field = field?;
        match (field.number, field.bytes()) {
            (1..=4 | USER | CHANNEL, content) => {
                is_binary |= field.number == ENCODING && content == Some(b"binary");
                out.extend_from_slice(field.whole);
            }
            (META, Some(meta)) => put_bytes(&mut out, PUBLISH_META, meta),
            (LABELS, Some(label)) => put_bytes(&mut out, PUBLISH_LABELS, label),
            // The token, and the data of the subscription.
            _ => {}
        }
    }
    if is_binary {
        put_bytes(&mut out, PUBLISH_B64DATA, STANDARD.encode(data).as_bytes());
    } else {
        put_bytes(&mut out, PUBLISH_DATA, data);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::proto::proxy::{
        Disconnect, Error, Publication, PublishRequest, PublishResponse, StreamSubscribeRequest,
        StreamSubscribeResponse, SubscribeRequest, SubscribeResponse, SubscribeResult,
    };

    fn request() -> SubscribeRequest {
        SubscribeRequest {
            client: "c".into(),
            transport: "websocket".into(),
            protocol: "json".into(),
            encoding: "json".into(),
            user: "42".into(),
            channel: "news".into(),
            token: "secret".into(),
            meta: "{\"m\":1}".into(),
            data: "{\"s\":1}".into(),
            labels: HashMap::from([("tier".into(), "gold".into())]),
            ..SubscribeRequest::default()
        }
    }

    /// What is behind the prefix.
    fn unframed(frame: &Bytes) -> StreamSubscribeResponse {
        let prefix = grpc::Prefix::parse(frame).unwrap();
        assert_eq!((prefix.is_compressed, prefix.length), (false, frame.len() - grpc::PREFIX));
        StreamSubscribeResponse::decode(&frame[grpc::PREFIX..]).unwrap()
    }

    #[test]
    fn an_answer_is_wrapped_into_the_first_message() {
        let result = SubscribeResult { data: vec![7; 300].into(), ..SubscribeResult::default() };
        let response = SubscribeResponse { result: Some(result), ..SubscribeResponse::default() };
        let bytes = response.encode_to_vec();
        assert_eq!(is_success(&bytes), Ok(true));
        let message = unframed(&first_message(&bytes));
        assert_eq!((message.subscribe_response, message.publication), (Some(response), None));
        assert_eq!(opens(&first_message(&bytes)[grpc::PREFIX..]), Ok(Some(true)));
        assert_eq!(unframed(&first_message(b"")).subscribe_response, Some(SubscribeResponse::default()));
    }

    #[test]
    fn errors_and_disconnects_reject() {
        let error = Error { code: 403, message: "no".into(), temporary: false };
        let response = SubscribeResponse { error: Some(error), ..SubscribeResponse::default() };
        let bytes = response.encode_to_vec();
        assert_eq!(is_success(&bytes), Ok(false));
        assert_eq!(rejection(&bytes).as_deref(), Some("403 no"));
        let disconnect = Disconnect { code: 4000, reason: "bye".into() };
        let response = PublishResponse { disconnect: Some(disconnect), ..PublishResponse::default() };
        assert_eq!(rejection(&response.encode_to_vec()).as_deref(), Some("4000 bye"));
        // Present, though empty.
        assert_eq!(is_success(&[2 << 3 | 2, 0]), Ok(false));
        assert_eq!(opens(&first_message(&bytes)[grpc::PREFIX..]), Ok(Some(false)));
        assert_eq!(is_success(b"nonsense"), Err(Malformed));
        assert_eq!(opens(&publication(b"")[grpc::PREFIX..]), Ok(None));
    }

    #[test]
    fn publications_are_messages_with_data_and_tags() {
        let full = Publication { data: "{}".into(), tags: HashMap::from([("a".into(), "b".into())]) };
        assert_eq!(unframed(&publication(&full.encode_to_vec())).publication, Some(full));
        for length in [0, 1, 127, 128, 20_000] {
            let data = vec![1; length];
            let expected = Publication { data: data.clone().into(), ..Publication::default() };
            let frame = publication_of(&data);
            assert_eq!(unframed(&frame).publication.as_ref(), Some(&expected));
            assert_eq!(frame, publication(&expected.encode_to_vec()));
            assert_eq!(frame, message(&frame[grpc::PREFIX..]));
        }
    }

    #[test]
    fn a_client_s_publication_becomes_the_request_of_a_publish_proxy() {
        let request = request();
        let publish = publish_request(&request.encode_to_vec(), b"[1]").unwrap();
        let expected = PublishRequest {
            client: request.client.clone(),
            transport: request.transport.clone(),
            protocol: request.protocol.clone(),
            encoding: request.encoding.clone(),
            user: request.user.clone(),
            channel: request.channel.clone(),
            data: "[1]".into(),
            meta: request.meta.clone(),
            labels: request.labels.clone(),
            ..PublishRequest::default()
        };
        assert_eq!(PublishRequest::decode(&publish[..]).unwrap(), expected);
        let binary = SubscribeRequest { encoding: "binary".into(), ..request };
        let publish = publish_request(&binary.encode_to_vec(), &[0xff]).unwrap();
        let publish = PublishRequest::decode(&publish[..]).unwrap();
        assert_eq!((publish.b64data.as_str(), publish.data.len()), ("/w==", 0));
    }

    #[test]
    fn requests_and_publications_are_found_in_the_messages_of_a_client() {
        let first = StreamSubscribeRequest { subscribe_request: Some(request()), publication: None };
        let first = Bytes::from(first.encode_to_vec());
        let found = subscribe_request(&first).unwrap().unwrap();
        assert_eq!(SubscribeRequest::decode(found.clone()).unwrap(), request());
        assert_eq!((text(&found, CLIENT), text(&found, USER), text(&found, CHANNEL)), ("c", "42", "news"));
        assert_eq!(publication_data(&first), Ok(None));
        let publication = Some(Publication { data: "x".into(), ..Publication::default() });
        let next = StreamSubscribeRequest { subscribe_request: None, publication };
        let next = Bytes::from(next.encode_to_vec());
        assert_eq!(subscribe_request(&next), Ok(None));
        assert_eq!(publication_data(&next), Ok(Some(&b"x"[..])));
        assert_eq!(publication_data(&[2 << 3 | 2, 0]), Ok(Some(&b""[..])));
        assert_eq!(publication_data(&[0xff]), Err(Malformed));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = (is_success(&bytes), rejection(&bytes), publication_data(&bytes), opens(&bytes));
            let _ = (publish_request(&bytes, b""), subscribe_request(&Bytes::from(bytes.clone())), text(&bytes, 11));
        }
    }
}
