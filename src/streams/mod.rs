//! Subscription streams: Centrifugo's calls `SubscribeUnidirectional` and `SubscribeBidirectional` once they are open.
//!
//! ```text
//!  proxy ── place, turn, begin, accept ──▶ Streams ◀── publish, close, list ── rpc
//!                                             │ shared: registry, budget, counts
//!                       HTTP/2 ◀── outlet ◀── Stream ◀── inlet ◀── HTTP/2         port: the streams of a connection that have work
//!                                   outbox    │ opening
//!                                             └──▶ events ──▶ Handler (the pools): streampublish, streamend
//! ```
//!
//! Opening a stream is one request to a worker, whose answer accepts or rejects. From then on the stream is the bridge's: no worker is held,
//! and no task. Any caller of RPC publishes to it by its id; what its client sends, and that it has left, reaches the application as
//! requests to the pool that has opened it. A stream that a worker feeds is here as well, with the worker's task in `proxy`.
//!
//! Invariants:
//! - An idle stream is what is kept of its opening, an entry in the registry, and HTTP/2's own state: no task, no timer, no buffer.
//! - What waits is bounded: per stream by `streams.buffer` messages and a megabyte, and with all openings by 256 MB, beyond which each
//!   connection still has a share (`budget`). A client that does not read or floods has its own stream closed and nothing else.
//! - Events of one stream are in order, one at a time, and each accepted stream has exactly one `streamend`.
//! - A stream that is over holds nothing of HTTP/2, so that its last reference may be dropped within HTTP/2's lock.
//!
//! Deliberately absent: any knowledge of pools and workers, which are behind [`Handler`].

mod budget;
mod config;
mod event;
mod events;
mod figures;
mod id;
mod inlet;
mod opening;
mod outbox;
mod outlet;
mod port;
mod queues;
mod rate;
mod registry;
mod shared;
mod spread;
mod stream;
pub mod wire;

pub use config::{Config, Overflow};
pub use event::{Event, Failure, Handled, Handler};
pub use figures::{OpenStreams, Reason};
pub use id::StreamId;
pub use inlet::{Inlet, Message, UNREAD};
pub use port::{Driver, Port};
pub use registry::{Begun, Filter, Refused, Request, StreamInfo, Streams};
pub use shared::Place;
pub use stream::{PublishError, Stream};
