//! Handing over to a new server, such as a new version of the program, without a call that is lost or a connection that is refused.
//!
//! ```text
//!  old server                                   new server
//!  Hello: the listening sockets ──────────────▶ reads its configuration, adopts the sockets
//!  accepts no RPC any more ◀────────── Booting
//!  Proceed ───────────────────────────────────▶ serves RPC, starts its workers
//!  still accepts everything else ◀────── Ready  all workers are ready
//!  TakeOver ──────────────────────────────────▶ serves everything
//!  sockets' files are no longer its own ◀ Serving
//!  notifies systemd of the new pid
//!  Notified ──────────────────────────────────▶ notifies systemd that it is ready
//!  drains as at a stop
//! ```
//!
//! Invariants:
//! - At every moment at least one of the two accepts connections on each socket, and both hold it open: so none is refused.
//! - Until `Serving`, the old server goes on whatever happens to the new one, and kills it if it gives up on it. From then on the new one
//!   does not need the old one.
//! - The workers of the new server reach the new server's RPC from their start on, and connections that are open stay where they are.
//! - Each message is JSON with a `kind`; fields that are unknown are ignored, so that versions may differ.

mod invocation;
mod messages;
mod predecessor;
mod successor;

pub(crate) use invocation::Invocation;
pub(crate) use predecessor::{Line, NoPredecessor, Predecessor};
pub(crate) use successor::{NoSuccessor, Successor};

/// The variable that tells a new server that its standard input is a channel to the old one.
pub(super) const VARIABLE: &str = "CAUSEWAY_UPGRADE";
