//! What can be called over `rpc.listen`, one file per service.
//!
//! A method takes its argument as bytes in the codec of the call and gives its result in the same codec, or the text of an error.
//! Methods know nothing of frames and connections.

pub mod centrifuge;
