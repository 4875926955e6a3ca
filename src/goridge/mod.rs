//! goridge, version 1: the frames that travel between the supervisor, its workers and its RPC clients. Pure bytes; no I/O.
//!
//! ```text
//!  0        1       2        6     10      11   12                  4·HL
//!  ┌────────┬───────┬────────┬─────┬───────┬────┬─── ─ ─ ─ ─ ─ ─ ───┬─── ─ ─ ─
//!  │ver  HL │ flags │ length │ crc │stream │ 0  │ options, u32 each │ payload
//!  └────────┴───────┴────────┴─────┴───────┴────┴─── ─ ─ ─ ─ ─ ─ ───┴─── ─ ─ ─
//! ```
//!
//! All integers are little-endian. HL counts 32-bit words, options included: 3 to 13. The checksum is the CRC-32 (IEEE) of the six bytes
//! in front of it; it covers neither options nor payload, so their lengths are checked by whoever reads them.
//!
//! Invariants:
//! - What is encoded is a complete frame, checksum included.
//! - Decoding yields "need more", a frame, noise, or a named violation. It never panics, and never allocates what a peer merely claims.
//! - Payloads are slices of the buffer that was read into: nothing is copied.
//!
//! Deliberately absent: sequences and codecs of RPC calls, which are a matter of the `rpc` room.
//!
//! Source: the public implementations in Go and PHP, and frames that they produced (`tests/vectors/goridge-frames.json`).

mod control;
mod decoder;
mod error;
mod frame;
mod header;
mod reply;

pub use control::{Greeting, greeting, pid_request, stop};
pub use decoder::{Begun, Decoder, Item};
pub use error::{TooLarge, Violation};
pub use frame::{Frame, encode};
pub use header::{Flags, Head, MAX_OPTIONS, Options, StreamBits};
pub use reply::{Payload, Reply, classify, request, request_head};
