//! `stream`: messages to subscription streams, their end, and which are open.
//!
//! `stream.Publish` is called for every message, so it has a way of its own: with protobuf and JSON, what is to be sent is found in the
//! argument and passes through. In JSON, `data` is JSON as it is, and `b64data` is for everything else.

use std::borrow::Cow;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use prost::Message as _;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::offload;
use crate::proto::rpc::StreamPublication;
use crate::protobuf;
use crate::rpc::codec::{Codec, MAX_ITEMS, Shape};
use crate::rpc::error::CallError;
use crate::rpc::method::Method;
use crate::rpc::services::Services;
use crate::streams::{Filter, PublishError, StreamInfo, Streams, wire};

/// The method that has a way of its own.
pub(crate) const PUBLISH: &str = "stream.Publish";

/// Streams that are listed unless the caller says how many.
const LISTED: u32 = 1000;

/// The fields of a `StreamPublishRequest`.
const ID: u32 = 1;
const DATA: u32 = 2;
const B64DATA: u32 = 3;
const PUBLICATION: u32 = 4;

pub(super) fn methods() -> Vec<(&'static str, Method)> {
    let message = |name: &str| Shape::message(&format!("causeway.rpc.Stream{name}"));
    vec![
        ("stream.Close", Method::new(message("CloseRequest"), message("CloseResponse"), close)),
        ("stream.List", Method::new(message("ListRequest"), message("ListResponse"), list)),
    ]
}

/// Sends a message to a stream; the result is in `write`.
///
/// # Errors
/// When the argument cannot be read, or there is no such stream.
pub(crate) async fn publish(
    streams: &Streams,
    read: Codec,
    write: Codec,
    argument: Bytes,
) -> Result<Bytes, CallError> {
    let (id, message) = offload::try_run(argument.len(), move || match read {
        Codec::Proto => of_proto(&argument),
        Codec::Json => of_json(&argument),
        other => of_shape(other, &argument),
    })
    .await?;
    let result = match write {
        Codec::Proto => Bytes::new(),
        Codec::Json => Bytes::from_static(b"{}"),
        other => {
            let shape = Shape::message("causeway.rpc.StreamPublishResponse");
            other.check(&shape)?;
            other.encode(&shape, &shape.zero())?
        }
    };
    streams.publish(&id, message).map_err(CallError::method)?;
    Ok(result)
}

/// The id and the message, as HTTP/2 sends it.
type Addressed = (String, Bytes);

fn of_proto(argument: &[u8]) -> Result<Addressed, CallError> {
    let field = |number| protobuf::last(argument, number).map_err(CallError::method);
    let id = field(ID)?.and_then(|id| str::from_utf8(id).ok()).unwrap_or_default();
    let message = match (field(PUBLICATION)?, field(B64DATA)?.filter(|data| !data.is_empty())) {
        (Some(publication), _) => wire::publication(publication),
        (None, Some(data)) => wire::publication_of(&STANDARD.decode(data).map_err(CallError::method)?),
        (None, None) => wire::publication_of(field(DATA)?.unwrap_or_default()),
    };
    Ok((id.to_owned(), message))
}

/// A `StreamPublishRequest` in JSON.
#[derive(Deserialize)]
struct Publish<'a> {
    #[serde(borrow, default)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    b64data: Option<Cow<'a, str>>,
    #[serde(borrow)]
    publication: Option<Publication<'a>>,
}

#[derive(Deserialize)]
struct Publication<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    b64data: Option<Cow<'a, str>>,
    #[serde(borrow)]
    tags: Option<&'a RawValue>,
}

fn of_json(argument: &[u8]) -> Result<Addressed, CallError> {
    let Publish { id, data, b64data, publication } = serde_json::from_slice(argument)?;
    let publication = publication.unwrap_or(Publication { data, b64data, tags: None });
    let Publication { data, b64data, tags } = publication;
    let data = match (b64data.filter(|data| !data.is_empty()), data) {
        (Some(text), _) => Cow::Owned(STANDARD.decode(&*text).map_err(CallError::method)?),
        (None, Some(json)) => Cow::Borrowed(json.get().as_bytes()),
        (None, None) => Cow::Borrowed(&b""[..]),
    };
    // PHP writes an empty object as an empty array.
    let tags = tags.map(RawValue::get).filter(|tags| !matches!(*tags, "[]" | "null"));
    let Some(tags) = tags else { return Ok((id.into_owned(), wire::publication_of(&data))) };
    let tags: HashMap<String, String> = serde_json::from_str(tags)?;
    let publication = StreamPublication { data: data.into_owned().into(), tags };
    Ok((id.into_owned(), wire::publication(&publication.encode_to_vec())))
}

fn of_shape(codec: Codec, argument: &[u8]) -> Result<Addressed, CallError> {
    let shape = Shape::message("causeway.rpc.StreamPublishRequest");
    let value = codec.decode(&shape, argument, MAX_ITEMS)?;
    of_proto(&Codec::Proto.encode(&shape, &value)?)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CloseRequest {
    id: String,
    resubscribe: bool,
}

#[derive(Debug, Serialize)]
struct Closed {}

async fn close(services: Arc<Services>, request: CloseRequest) -> Result<Closed, PublishError> {
    if services.streams.close(&request.id, request.resubscribe) {
        Ok(Closed {})
    } else {
        Err(PublishError::NoStream)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ListRequest {
    channel: String,
    user: String,
    client: String,
    limit: u32,
}

#[derive(Debug, Serialize)]
struct List {
    streams: Vec<Item>,
    total: usize,
}

#[derive(Debug, Serialize)]
struct Item {
    id: String,
    channel: String,
    client: String,
    user: String,
    pool: String,
    bidirectional: bool,
    held: bool,
    opened: u64,
    sent: u64,
    buffered: usize,
}

async fn list(services: Arc<Services>, request: ListRequest) -> Result<List, Infallible> {
    let ListRequest { channel, user, client, limit } = &request;
    let limit = if *limit == 0 { LISTED } else { *limit };
    let (streams, total) = services.streams.list(Filter { channel, client, user }, limit as usize).await;
    Ok(List { streams: streams.into_iter().map(item).collect(), total })
}

fn item(info: StreamInfo) -> Item {
    let opened = info.opened.duration_since(UNIX_EPOCH).unwrap_or_default();
    Item {
        id: info.id,
        channel: info.channel,
        client: info.client,
        user: info.user,
        pool: info.pool,
        bidirectional: info.is_bidirectional,
        held: info.is_held,
        opened: u64::try_from(opened.as_millis()).unwrap_or(u64::MAX),
        sent: info.sent,
        buffered: info.buffered,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::proto::rpc::StreamPublishRequest;

    fn sent((id, message): Addressed) -> (String, Bytes, HashMap<String, String>) {
        // Behind gRPC's prefix, the second field of a `StreamSubscribeResponse`.
        let publication = protobuf::last(&message[5..], 2).unwrap().unwrap();
        let StreamPublication { data, tags } = StreamPublication::decode(publication).unwrap();
        (id, data, tags)
    }

    fn with_tag(tag: &str) -> HashMap<String, String> {
        HashMap::from([("tag".to_owned(), tag.to_owned())])
    }

    #[test]
    fn a_message_is_found_in_every_codec() {
        let request = StreamPublishRequest { id: "x".into(), data: "{}".into(), ..Default::default() };
        assert_eq!(
            sent(of_proto(&request.encode_to_vec()).unwrap()),
            ("x".into(), "{}".into(), HashMap::new())
        );
        let binary = StreamPublishRequest { data: Bytes::new(), b64data: "/w==".into(), ..request.clone() };
        assert_eq!(sent(of_proto(&binary.encode_to_vec()).unwrap()).1, [0xff][..]);
        let publication = Some(StreamPublication { data: "1".into(), tags: with_tag("a") });
        let tagged = StreamPublishRequest { publication, ..request };
        let expected = ("x".into(), "1".into(), with_tag("a"));
        assert_eq!(sent(of_proto(&tagged.encode_to_vec()).unwrap()), expected);
        let shape = Shape::message("causeway.rpc.StreamPublishRequest");
        let value = json!({"id": "x", "publication": {"data": STANDARD.encode("1"), "tags": {"tag": "a"}}});
        for codec in [Codec::Msgpack, Codec::Gob] {
            let bytes = codec.encode(&shape, &value).unwrap();
            assert_eq!(sent(of_shape(codec, &bytes).unwrap()), expected, "{codec:?}");
        }
    }

    #[test]
    fn data_are_json_as_it_is() {
        for (text, data, tags) in [
            (r#"{"id": "x", "data": {"a": [1, "\u00e9"]}}"#, r#"{"a": [1, "\u00e9"]}"#, HashMap::new()),
            (r#"{"data": "aGVsbG8=", "id": "x"}"#, r#""aGVsbG8=""#, HashMap::new()),
            (r#"{"id": "x", "b64data": "aGVsbG8="}"#, "hello", HashMap::new()),
            (r#"{"id": "x", "publication": {"data": 7, "tags": {"tag": "b"}}}"#, "7", with_tag("b")),
            (r#"{"id": "x", "publication": {"b64data": "aGVsbG8=", "tags": []}}"#, "hello", HashMap::new()),
            (r#"{"id": "x", "data": null}"#, "", HashMap::new()),
            (r#"{"id": "x"}"#, "", HashMap::new()),
        ] {
            let found = sent(of_json(text.as_bytes()).unwrap());
            assert_eq!(found, ("x".into(), Bytes::from_static(data.as_bytes()), tags), "{text}");
        }
        for text in ["", "[]", r#"{"id": 1}"#, r#"{"id": "x", "b64data": "?"}"#] {
            assert!(of_json(text.as_bytes()).is_err(), "{text}");
        }
    }
}
