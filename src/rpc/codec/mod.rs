//! How arguments and results travel: one file per codec, and the [`Shape`]s that they all work from.
//!
//! ```text
//!  bytes ──decode(shape)──▶ Value ──▶ method ──▶ Value ──encode(shape)──▶ bytes
//! ```
//!
//! A method knows nothing of codecs: it takes and gives JSON values, and declares their shapes. From a shape a codec knows what Go's
//! counterpart would accept and write, so that every method speaks every codec that makes sense for it.
//!
//! Invariants:
//! - Decoding never panics and never allocates what a peer merely claims; nesting is bounded by the shape, and the number of values by
//!   the caller of [`Codec::decode`]: a value of one byte takes a hundred in memory.
//! - No bytes at all are the zero value, as in RoadRunner.
//!
//! Source: exchanges recorded from RoadRunner 2025.1.15, `tests/vectors/rpc-transcripts.json`.

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

pub(super) use items::{Items, MAX_ITEMS};
pub(super) use select::Codec;
pub(super) use shape::{Field, Shape};
