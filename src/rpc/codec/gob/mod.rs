//! GOB, the encoding between Go programs (`encoding/gob`), RoadRunner's own command line among them.
//!
//! ```text
//!  message = length ++ ( -id ++ definition of type id  |  id ++ value )
//!  argument = definition message* ++ value message
//! ```
//!
//! Every argument and every result is a stream of its own: type definitions precede the value, fields are identified by their names in Go,
//! and zero fields are left out. Structures may differ: fields that only one side knows are skipped, or zero. Scalars may not: signed,
//! unsigned and floating-point numbers are never converted, as in Go.
//!
//! Invariants:
//! - The number of type definitions and the nesting depth are bounded; counts are trusted only as far as there are bytes.
//! - Interfaces are refused: their values name types of the sender's program.
//!
//! Source: <https://pkg.go.dev/encoding/gob>, and streams written by Go 1.27, `tests/vectors/gob.json`.

mod error;
mod read;
#[cfg(test)]
mod tests;
mod wire;
mod write;

pub(in crate::rpc) use error::Error;
pub(super) use read::decode;
pub(super) use write::encode;
