//! Messages for workers without protobuf: Centrifugo's requests as JSON, and the JSON of answers as protobuf.
//!
//! ```text
//!   protobuf ──▶ protobuf::Fields ──▶ to_json ──────▶ JSON      requests
//!                                       │  shape, tables (generated): names, numbers, kinds
//!   protobuf ◀── protobuf::put ◀── to_protobuf ◀── text::Reader ◀── JSON      answers
//! ```
//!
//! The JSON is that of Centrifugo's HTTP proxy, so that a handler written for it can be moved as it is. Its rules, which are those of
//! Go's `encoding/json` with Centrifugo's struct tags (`internal/proxyproto` of v6.9.1):
//! - Names are those of the `.proto` file. What is empty, zero or false is left out, but for `user` where Centrifugo always sends it.
//! - Integers are numbers, 64-bit ones too. In answers, 64-bit integers may be strings, for languages whose numbers are too small.
//! - `bytes` are JSON values, embedded as they are; `null` is the JSON value `null`. What is binary is base64 in a field with the prefix
//!   `b64`: Centrifugo's own (`b64data`), which pass through, or, where its message has none, one that exists in JSON only.
//! - In answers, names match regardless of case, unknown ones are ignored, and `null` stands for a field that is not set.
//!
//! It is stricter than Centrifugo with what is surely a mistake: an answer has to be UTF-8, a field may occur once, and nesting is limited
//! to 500 levels ([`text::MAX_DEPTH`]). It is more tolerant with what clients send: `bytes` of a request that are not JSON, or nested deeper,
//! are sent as base64 instead of failing the call or the worker's parser.
//!
//! Invariants:
//! - Both directions go from bytes to bytes with a table, without a tree in between. Protobuf allows fields in any order and more than once,
//!   so `to_json` notes where each field is before it writes them; the last value counts.
//! - Output is valid whatever the input is. Neither direction panics, recurses without limit, or writes out of proportion to its input.
//! - Errors name the field and the place, never the value, which may be a secret.
//!
//! Unknown fields of a request cannot be named and are left out.
//!
//! Deliberately absent: I/O and threads, and which worker wants JSON, which `pools::translation` learns from the pool.

mod error;
mod event;
mod shape;
#[rustfmt::skip]
mod tables;
#[cfg(test)]
mod tests;
mod text;
mod to_json;
mod to_protobuf;

pub(crate) use error::InvalidRequest;
pub(crate) use event::event;
pub(crate) use shape::Message;
