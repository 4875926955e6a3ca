//! Relays: a byte channel to one worker, over its standard streams, TCP or a unix socket.
//!
//! ```text
//!      pipes:  spawn ─────────────────────────────────────────────────────────────────▶ Relay
//!  tcp, unix:  listener ─▶ one task per connection ─▶ pid ─▶ trust ─▶ the boot that expects it ─▶ Relay
//! ```
//!
//! Whatever carries the bytes, all other modules see one [`Relay`]: poll to read, poll to write. Over pipes the process is known when it is
//! started. Over sockets workers connect by themselves, so each connection must first send the pid of its process, in the one frame
//! that this module reads. Strangers, garbage and silence get no further than the [`Listener`], each in a task of its own with a deadline
//! of its own.
//!
//! Deliberately absent: every frame after the handshake (`worker` reads those) and reconnecting (a worker that loses its relay is
//! replaced).

mod address;
mod listener;
mod rejection;
mod stream;
mod trust;

pub(crate) use crate::net::SocketSettings;
pub use address::RelayAddress;
pub(crate) use address::SECRET;
pub(crate) use listener::Listener;
pub use listener::Relays;
pub(crate) use stream::Relay;
