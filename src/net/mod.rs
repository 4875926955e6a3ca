//! The network door: every listening socket and every outgoing connection of the bridge.
//!
//! ```text
//!  Address ─▶ Listener::bind ─▶ accept ─▶ allow list ─▶ Connections (limit) ─▶ Stream + Peer + Registration ─▶ proxy, rpc, relay, telemetry
//!  Address ─▶ dial ───────────────────────────────────────────────────────────▶ Stream ─▶ the command line, api
//! ```
//!
//! Invariants:
//! - A unix socket has its owner and its mode before anybody can connect to it, whatever the umask is, and its file is removed by the
//!   server that made it and by no other.
//! - An error of `accept` ends nothing: it is retried after a pause, and logged when it begins, every ten seconds, and when it is over.
//! - Every listener has a limit of connections, taken from the limit of descriptors, so that strangers on one listener starve neither
//!   the others nor the workers. At the limit a new connection replaces an older one: first those that have never said anything, then the
//!   one that has been idle the longest. So nobody is locked out, and nobody who is being served is hung up on.
//! - TCP connections have `TCP_NODELAY`, and keepalive where we accept them.
//!
//! TLS and inherited descriptors belong here: the first as one more kind of `Stream`, made behind the limit and before it is handed
//! out, the second as one more way to get a `Listener`'s socket. Protocols do not: a stream carries bytes.

mod address;
mod allow;
mod coalesce;
mod connections;
pub(crate) mod dial;
mod incident;
mod listener;
mod preview;
mod stream;
mod unix_socket;

pub use address::{Address, EXPECTED};
pub(crate) use address::{FORM, host_and_port};
pub use allow::Network;
pub(crate) use coalesce::Coalesce;
pub(crate) use connections::{Connections, EvictionGuard, Limit, Registration};
pub(crate) use incident::Incident;
pub(crate) use listener::{Accepted, Listener, Options};
pub(crate) use preview::{can_listen, is_exposed};
pub(crate) use stream::{Peer, Stream};
pub(crate) use unix_socket::{Attributes, socket_mode};
