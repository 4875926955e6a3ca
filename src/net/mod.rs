//! The network: every listening socket and every outgoing connection of the bridge.
//!
//! ```text
//!           address ─▶ Listener::bind ──┐
//!  inherited socket ─▶ Sockets::take ────┴▶ accept ─▶ allow list ─▶ Connections (limit) ─▶ Stream, Peer, Registration ─▶ proxy, rpc, relay, admin
//!           address ─▶ dial ─────────────────────────────────────────────────────────────▶ Stream ─▶ the command line, api
//! ```
//!
//! A listener with TLS passes on its [`tls::Acceptor`](crate::tls) with each connection, whose own task completes the handshake
//! (`Accepted::secured`): so it counts against the limit, has a deadline, and holds up no other connection.
//!
//! Invariants:
//! - A unix socket has its owner and its mode before any peer can connect to it, regardless of the umask. Its file is removed by the
//!   server that created it and by no other.
//! - An error of `accept` ends nothing: it is retried after a pause, and logged when it begins, every ten seconds, and when it is over.
//! - Every listener has a limit of connections, derived from the limit of descriptors, so that strangers on one listener starve neither
//!   the others nor the workers. At the limit a new connection replaces an older one: first those that have never sent anything, then the
//!   one that has been idle the longest. So no peer is locked out. If none is idle, a few spare connections take turns. A single address
//!   has half of it, in the same way, so that it costs others no connection. Nobody waits for its connections to close: it is refused more
//!   while too many do not. Programs of this machine have no address in this sense.
//! - A handshake has a deadline (`Accepted::handshake_until`): the task of the connection keeps it, through TLS and the first bytes of the
//!   protocol.
//! - A storm of connections is accepted slowly, a few at a time, so that it does not keep a thread from other tasks.
//! - TCP connections have `TCP_NODELAY`, and accepted ones keepalive.
//! - Over TCP, a listener with TLS passes on nothing that was sent without it.
//!
//! Protocols do not belong here: a stream carries bytes.

mod address;
mod allow;
mod coalesce;
mod connection_table;
mod connections;
pub(crate) mod dial;
mod incident;
mod limits;
mod listener;
mod origin;
mod pace;
mod preview;
mod secured;
mod socket;
mod socket_settings;
mod sockets;
mod stream;
mod unix_socket;

pub(crate) use address::host_and_port;
pub use address::{Address, InvalidAddress};
pub use allow::Network;
pub(crate) use coalesce::Coalesce;
pub(crate) use connections::{Connections, EvictionGuard, Registration};
pub(crate) use incident::Incident;
pub(crate) use limits::Limit;
pub use limits::LimitSettings;
pub(crate) use listener::{Accepted, Listener, Options};
pub(crate) use preview::{can_listen, is_exposed, risk_of_file};
pub(crate) use secured::Unsecured;
pub(crate) use socket_settings::SOCKET_SETTINGS;
pub use socket_settings::SocketSettings;
pub(crate) use sockets::Inherited;
pub use sockets::Sockets;
pub(crate) use stream::{Peer, Stream};
pub(crate) use unix_socket::{Attributes, socket_mode};
