//! The expected replies, and the comparison with them.

use causeway::goridge::Flags;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::support::gob;
use crate::support::rpc::Reply;

/// The expected replies of one exchange.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Expected {
    /// These frames, in any order; none at all is the end of the connection.
    #[serde(skip)]
    Replies(Vec<Reply>),
    /// A failure with this text.
    Error(String),
    /// A success with this result.
    Result(Value),
    /// The bytes of Centrifugo's answer.
    #[serde(skip)]
    Passed,
    /// Two successes, both with this result.
    Twice(Value),
    /// The end of the connection.
    Closed,
    /// Nothing, for as long as the rest of the frame does not come.
    Silence,
    /// It is not asked here.
    NotReplayed,
}

impl Expected {
    /// The number of expected frames; `None` for a closed connection.
    pub(super) fn count(&self) -> Option<usize> {
        match self {
            Self::Replies(replies) if replies.is_empty() => None,
            Self::Replies(replies) => Some(replies.len()),
            Self::Error(_) | Self::Result(_) | Self::Passed => Some(1),
            Self::Twice(_) => Some(2),
            Self::Closed | Self::Silence | Self::NotReplayed => None,
        }
    }

    /// Says what differs. `answer` is Centrifugo's.
    pub(super) fn compare(&self, mut found: Vec<Reply>, answer: &[u8]) -> Result<(), String> {
        match self {
            Self::Replies(recorded) => {
                let mut recorded = recorded.clone();
                recorded.sort_by_key(order);
                found.sort_by_key(order);
                recorded.iter().zip(&found).try_for_each(|(recorded, found)| same(recorded, found))
            }
            Self::Error(text) => match &found[..] {
                [reply] if reply.is_error() && reply.text() == *text => Ok(()),
                _ => Err(format!("expected the error {text:?}, found {found:?}")),
            },
            Self::Result(value) | Self::Twice(value) => found.iter().try_for_each(|reply| {
                let is_right = !reply.is_error() && alike(value, &value_of(reply));
                if is_right { Ok(()) } else { Err(format!("expected the result {value}, found {reply:?}")) }
            }),
            Self::Passed if found[0].payload == answer => Ok(()),
            Self::Passed => Err(format!("expected {answer:?}, found {found:?}")),
            Self::Closed | Self::Silence | Self::NotReplayed => Ok(()),
        }
    }
}

fn order(reply: &Reply) -> (u32, u8) {
    (reply.sequence, reply.flags)
}

fn same(recorded: &Reply, found: &Reply) -> Result<(), String> {
    let head = |reply: &Reply| (reply.flags, reply.sequence, reply.method.clone());
    if head(recorded) != head(found) {
        return Err(format!("expected {recorded:?}, found {found:?}"));
    }
    if recorded.is_error() {
        // Go's protobuf writes a no-break space now and then, so that no program relies on its texts.
        let plain = |reply: &Reply| reply.text().replace('\u{a0}', " ");
        return if plain(recorded) == plain(found) {
            Ok(())
        } else {
            Err(format!("expected the error {:?}, found {:?}", plain(recorded), plain(found)))
        };
    }
    let (recorded, found) = (value_of(recorded), value_of(found));
    if alike(&recorded, &found) { Ok(()) } else { Err(format!("expected {recorded}, found {found}")) }
}

/// A result as JSON. Messages stay bytes.
fn value_of(reply: &Reply) -> Value {
    let flags = Flags::from_bits_retain(reply.flags);
    if flags.contains(Flags::JSON) || flags.contains(Flags::RAW) {
        serde_json::from_slice(&reply.payload).unwrap_or_else(|error| panic!("{error}: {reply:?}"))
    } else if flags.contains(Flags::GOB) {
        gob::decode(&reply.payload)
    } else if flags.contains(Flags::MSGPACK) {
        msgpack(&mut &reply.payload[..])
    } else {
        reply.payload.iter().copied().map(Value::from).collect()
    }
}

/// Whether two results are the same but for the numbers that no two servers share.
fn alike(recorded: &Value, found: &Value) -> bool {
    const CHANCE: [&str; 7] = ["pid", "created", "memoryusage", "cpupercent", "numexecs", "offset", "epoch"];
    // RoadRunner leaves it empty, and gob leaves out what is empty.
    let without_command = |object: &Map<String, Value>| -> Map<String, Value> {
        let stays = |name: &str| !name.eq_ignore_ascii_case("command");
        object
            .iter()
            .filter(|(name, _)| stays(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    };
    match (recorded, found) {
        (Value::Object(a), Value::Object(b)) => {
            let (a, b) = (without_command(a), without_command(b));
            a.len() == b.len()
                && a.iter().all(|(name, value)| match b.get(name) {
                    Some(other) if CHANCE.contains(&&*name.to_lowercase()) => {
                        std::mem::discriminant(value) == std::mem::discriminant(other)
                    }
                    Some(other) => alike(value, other),
                    None => false,
                })
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b)),
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        _ => recorded == found,
    }
}

/// One value of MessagePack, of the kinds that replies have.
fn msgpack(bytes: &mut &[u8]) -> Value {
    let first = take(bytes, 1)[0];
    match first {
        0x00..=0x7f => first.into(),
        0x80..=0x8f => msgpack_map(bytes, usize::from(first & 15)),
        0x90..=0x9f => (0..first & 15).map(|_| msgpack(bytes)).collect(),
        0xa0..=0xbf => String::from_utf8(take(bytes, usize::from(first & 31)).to_vec()).unwrap().into(),
        0xc0 => Value::Null,
        0xc2 | 0xc3 => (first == 0xc3).into(),
        0xc4 | 0xd9 => {
            let length = usize::from(take(bytes, 1)[0]);
            String::from_utf8_lossy(take(bytes, length)).into()
        }
        0xc5 | 0xda => {
            let length = usize::from(u16::from_be_bytes(take(bytes, 2).try_into().unwrap()));
            String::from_utf8_lossy(take(bytes, length)).into()
        }
        0xcb => f64::from_be_bytes(take(bytes, 8).try_into().unwrap()).into(),
        0xcc => take(bytes, 1)[0].into(),
        0xcd => u16::from_be_bytes(take(bytes, 2).try_into().unwrap()).into(),
        0xce => u32::from_be_bytes(take(bytes, 4).try_into().unwrap()).into(),
        0xcf => u64::from_be_bytes(take(bytes, 8).try_into().unwrap()).into(),
        0xd3 => i64::from_be_bytes(take(bytes, 8).try_into().unwrap()).into(),
        other => panic!("a MessagePack value of the kind {other:#x}"),
    }
}

fn msgpack_map(bytes: &mut &[u8], length: usize) -> Value {
    let entries = (0..length).map(|_| (msgpack(bytes).as_str().unwrap().to_owned(), msgpack(bytes)));
    Value::Object(entries.collect::<Map<_, _>>())
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(length);
    *bytes = rest;
    taken
}
