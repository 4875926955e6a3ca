//! The soak under disturbance: whether memory, descriptors and latency stay as they are while workers die.
//!
//! ```text
//!  load ──half of what the machine can do──▶ bridge ◀──server-sent events── page
//!                                              ▲ ▲
//!  each second: a sample, and a death ─────────┘ │
//!  each minute: a reset ─────────────────────────┘
//! ```
//!
//! The load are `callers` at a constant rate, whether or not earlier calls have been answered; `harm` kills and resets workers; `page` reads what
//! a browser does; `slice` is what was seen in a second, `tenths` the table and `graph` the picture of all of them.
//!
//! Rules:
//! - A death fails its own request and no other one. Half of the workers die in a request that asks for it, the others are killed from
//!   outside, whatever they do. Any other failure fails the soak, once all results are written.
//! - The results are written when the soak is interrupted as well.

mod graph;
mod harm;
mod page;
mod slice;
mod soak;
mod tenths;

pub(crate) use soak::run;
