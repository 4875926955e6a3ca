//! Encodings of arguments and results: one file per codec, and the [`Shape`]s that all of them work from.
//!
//! ```text
//!  bytes ──decode(shape)──▶ Value ──▶ method ──▶ Value ──encode(shape)──▶ bytes
//! ```
//!
//! A method knows nothing of codecs: it takes and returns JSON values, and declares their shapes. The shape tells a codec what its Go
//! counterpart would accept and write, so every method supports every codec that makes sense for it.
//!
//! Invariants:
//! - Decoding never panics and never allocates what a peer merely claims. Nesting is bounded by the shape, and the number of values by
//!   the caller of [`Codec::decode`]: a value of one byte takes a hundred in memory.
//! - No bytes at all are the zero value, as in RoadRunner.
//! - Each codec has its own [`Error`], whose text is the one that RoadRunner's clients know.
//!
//! Source: exchanges recorded from RoadRunner 2025.1.15, `tests/vectors/rpc-transcripts.json`.

mod error;
mod gob;
mod items;
mod json;
mod layout;
mod msgpack;
mod proto;
mod raw;
mod scalar;
mod select;
mod shape;
#[cfg(test)]
mod tests;

pub(super) use error::Error;
pub(super) use items::{Items, MAX_ITEMS, TooMany};
pub(super) use select::Codec;
pub(super) use shape::{Field, Shape};
