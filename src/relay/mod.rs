//! Relays: a byte channel to one worker, over its standard streams, TCP or a unix socket.
//!
//! ```text
//!            pipes:  spawn ─────────────────────────────▶ Relay
//!  tcp, unix:  listener ─▶ one task per connection ─▶ pid ─▶ whoever expects this process ─▶ Relay
//! ```
//!
//! Whatever carries the bytes, the rest of the house sees one [`Relay`]: poll to read, poll to write. Over pipes the process is known
//! from birth. Over sockets workers connect by themselves, so every connection must first say which process it belongs to; that
//! [`Listener`] is where strangers, garbage and silence end, each in a task of its own with a deadline of its own.
//!
//! Deliberately absent: frames (the worker's room knows what travels) and reconnecting (a worker that loses its relay is replaced).

mod address;
mod listener;
mod stream;
mod trust;

pub use address::RelayAddress;
pub(crate) use listener::Listener;
pub(crate) use stream::Relay;
pub(crate) use trust::SECRET;
