//! GOB, what Go programs speak among themselves (`encoding/gob`): RoadRunner's own command line among them.
//!
//! ```text
//!  message = length ++ ( -id ++ definition of type id  |  id ++ value )
//!  argument = definition message* ++ value message
//! ```
//!
//! Every argument and every result is a stream of its own: the definitions of the types in it go ahead of the value, fields are known
//! by their names in Go, and zero fields are left out. Structures may differ: fields that only one side knows are skipped, or zero. Scalars
//! may not: signed, unsigned and floating numbers do not turn into each other, as in Go.
//!
//! Invariants:
//! - Type definitions are bounded in number, and what is nested in depth; counts are believed only as far as there are bytes.
//! - Interfaces are refused: their values name types of the sender's program.
//!
//! Source: <https://pkg.go.dev/encoding/gob>, and streams written by Go 1.27, `tests/vectors/gob.json`.

mod read;
#[cfg(test)]
mod tests;
mod wire;
mod write;

pub(super) use read::decode;
pub(super) use write::encode;
