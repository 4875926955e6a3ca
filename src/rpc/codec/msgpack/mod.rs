//! MessagePack, as RoadRunner's library reads and writes it (`vmihailenco/msgpack` v5).
//!
//! Structures are maps whose keys are the names of Go (`{"Workers": ...}`). What is read may also have the names of JSON and of the `.proto`
//! files, in any case, and fields of a structure embedded in another beside those of the outer one, as Go flattens them.
//!
//! Counts and lengths are believed only as far as there are bytes.

mod read;
#[cfg(test)]
mod tests;
mod write;

pub(super) use read::decode;
pub(super) use write::encode;
