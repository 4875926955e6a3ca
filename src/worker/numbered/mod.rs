//! Protocol 2: several requests in flight on one connection, tied to their answers by numbers.
//!
//! ```text
//!   Numbered ──begin──▶ ┌ Shared (one lock, held for moments) ┐ ──frames of several requests, one write──▶ Driver ──▶ relay
//!   Numbered ◀─answer── │   Queue      Requests               │ ◀──frames, many of one read────────────── Driver ◀── relay
//!   Numbered ──cancel─▶ └─────────────────────────────────────┘                                            │
//!                                                                        Notice: credit, strikes, silence, end ──▶ pool
//! ```
//!
//! A `Numbered` is one unit of capacity: the right to have one request in flight. It puts a request into the queue and waits for its entry in
//! the table to have an answer. The `Driver` is polled by one task per worker; it alone reads and writes. What becomes ready while other
//! tasks run is written together.
//!
//! Invariants:
//! - An answer goes to the request whose number it carries, or to nobody. Numbers are never used twice, and cannot be guessed.
//! - A request whose answer is not wanted any more stays in the table until the worker has finished it, and its unit with it.
//! - When the connection ends, requests of which the worker has read nothing are [`Fault::Unsent`]; all others have failed.
//! - Everything is bounded: requests by the units, unwritten bytes by the requests, messages of a stream by its window.
//!
//! Deliberately absent: how many units there are and who gets one, which is the pool's.
//!
//! [`Fault::Unsent`]: super::outcome::Fault::Unsent

mod driver;
mod exchange;
mod liveness;
mod messages;
mod numbers;
mod queue;
mod requests;
mod shared;

pub(crate) use driver::{Driver, Notice};
pub(crate) use exchange::Input;
pub(crate) use exchange::Numbered;
