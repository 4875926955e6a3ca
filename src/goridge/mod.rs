//! goridge: the frames between the server, its workers and its RPC clients. Pure bytes, no I/O.
//!
//! ```text
//!  0        1       2        6     10      11   12                  4·HL
//!  ┌────────┬───────┬────────┬─────┬───────┬────┬─── ─ ─ ─ ─ ─ ─ ───┬─── ─ ─ ─
//!  │ver  HL │ flags │ length │ crc │stream │ 0  │ options, u32 each │ payload
//!  └────────┴───────┴────────┴─────┴───────┴────┴─── ─ ─ ─ ─ ─ ─ ───┴─── ─ ─ ─
//! ```
//!
//! All integers are little-endian. HL counts 32-bit words, including options: 3 to 13. The checksum is the CRC-32 (IEEE) of the first six
//! bytes; it covers neither options nor payload, so each reader checks their lengths.
//!
//! Invariants:
//! - Encoding yields a complete frame, including the checksum.
//! - Decoding yields "need more", a frame, noise, or a named violation. It never panics, and never allocates what a peer merely claims.
//! - Payloads are slices of the read buffer: nothing is copied.
//!
//! Deliberately absent: sequence numbers and codecs of RPC calls, which are in `rpc`.
//!
//! Source: the public implementations in Go and PHP, and frames that they have produced (`tests/vectors/goridge-frames.json`).

mod codec;
mod control;
mod decoder;
mod error;
mod frame;
mod header;
mod numbered;
mod reply;

pub use codec::Codec;
pub use control::{Greeting, greeting, pid_request, stop};
pub use decoder::{Begun, Decoder, Item};
pub use error::{TooLarge, Violation};
pub use frame::{Frame, encode};
pub use header::{Flags, Head, MAX_OPTIONS, Options, StreamBits};
pub use numbered::{
    Cancel, Message, Part, cancel, drain, message_head, numbered_head, parse_numbered, ping, pong,
    stop_stream, window,
};
pub use reply::{Payload, Reply, classify, request, request_head};
