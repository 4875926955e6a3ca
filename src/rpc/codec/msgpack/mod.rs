//! MessagePack, as RoadRunner's library reads and writes it (`vmihailenco/msgpack` v5).
//!
//! Structures are maps whose keys are names in Go (`{"Workers": ...}`). When decoding, names in JSON and in the `.proto` files are accepted
//! too, in any case, and fields of an embedded structure beside those of the outer one, as Go flattens them.
//!
//! Counts and lengths are trusted only as far as there are bytes.

mod error;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub(in crate::rpc) use error::Error;
pub(super) use read::decode;
pub(super) use write::encode;
