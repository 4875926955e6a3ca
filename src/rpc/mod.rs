//! `rpc.listen`: goridge calls from workers and the command line.
//!
//! ```text
//!  server: accepts ─▶ connection: frames ⇄ calls in flight ─▶ router: "informer.Workers" ─▶ methods ─▶ pool, api
//!                       │ envelope: sequence, method, argument       │ codec: bytes ⇄ values of a shape
//! ```
//!
//! Workers publish to Centrifugo here, and operators inspect the pool. Methods, their shapes and their texts are RoadRunner's, so that its
//! PHP packages and its own command line work unchanged.
//!
//! Invariants:
//! - Nothing that arrives on a connection affects more than that connection; a frame with a sequence number is always answered.
//! - The memory that a peer can take is bounded, whether it sends, waits, or does not read.
//! - A call that was started is finished, even if its caller has gone or is disconnected; only waiting for a lock ends with the caller.
//!   (Of evicted connections, which only a flood of busy ones causes, 256 are finished at a time.)
//!
//! [`Client`] is the command line's side.
//!
//! Deliberately absent: streams, and any knowledge of frames in `methods`.

mod client;
mod codec;
mod config;
mod connection;
mod envelope;
mod error;
mod locks;
mod memory;
mod method;
mod methods;
mod outbox;
mod router;
mod server;
mod services;
mod statistics;

pub use client::{Client, ClientError};
pub use config::{Config, Methods, Operators};
pub use locks::{Config as LockConfig, Driver as LockDriver, Locks, OpenError, Password, RedisConfig};
pub use server::Server;
pub use services::{
    Services, Stop, StopRequests, UpgradeReply, UpgradeRequests, stop_requests, upgrade_requests,
};
