//! `rpc.listen`: goridge calls from workers and from the command line.
//!
//! ```text
//!  server: accepts ─▶ connection: frames ⇄ calls in flight ─▶ router: "informer.Workers" ─▶ methods ─▶ pool, api
//!                       │ envelope: sequence, method, argument       │ codec: bytes ⇄ values by their shapes
//! ```
//!
//! Workers publish back into Centrifugo here, and operators look at the pool. The methods, their shapes and their texts are RoadRunner's,
//! so that the PHP packages and RoadRunner's own command line work as they are.
//!
//! Invariants:
//! - Whatever comes over a connection ends that connection at the most; a frame that says whom to answer is answered.
//! - What a peer can make us hold is bounded, whether it sends, waits, or does not read.
//! - A call that was begun is finished, though its caller may be gone; only waiting for a lock ends with the caller.
//!
//! The command line's side of it is [`Client`].
//!
//! Deliberately absent: streams, and any knowledge of frames below `methods`.

mod client;
mod codec;
mod config;
mod connection;
mod envelope;
mod locks;
mod memory;
mod method;
mod methods;
mod outbox;
mod router;
mod server;
mod services;

pub use client::{Client, ClientError};
pub use config::Config;
pub use locks::Locks;
pub use server::Server;
pub use services::{Services, Stop, Stops, stops};
