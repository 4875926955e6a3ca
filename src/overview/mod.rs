//! What operators see of the running bridge: its state now and the last fifteen minutes, for the page, for scripts and for the terminal.
//!
//! ```text
//!  pools ──every second──▶ sampler ─┬─▶ history   (a ring of points, five seconds each)   ─▶ /api/history,  causeway.History
//!                                   └─▶ problems  (what is wrong, and since when) ─┐
//!  pools, /proc ────on demand────────────────────────────────────────▶ snapshot ◀──┘      ─▶ /api/snapshot, causeway.Snapshot, events
//! ```
//!
//! `live` is the handle that `admin` and `rpc` share, with the task behind it. `sampler`, `history` and `problems` are pure. `snapshot` is the
//! document, `recent` its last deaths and slow requests, `usage` what workers use, `about` what only a reload changes (`reloads`),
//! `operations` what was done by the page's buttons, `calls` what other parts count.
//!
//! Invariants:
//! - One task samples, and reads counters only: no request waits for it.
//! - A snapshot is made once, however many look at it, and none if no one does.
//! - Memory is bounded: by the number of points, of pools that have graphs, and of workers in a snapshot.
//! - Nothing here is a secret: commands and settings are shown as in messages and by `rpc.Config`.

mod about;
mod calls;
mod clock;
mod history;
mod live;
mod operations;
mod problems;
mod recent;
mod reloads;
mod sampler;
mod snapshot;
mod usage;

pub(crate) use about::About;
pub(crate) use calls::Calls;
pub(crate) use live::{Overview, Sources, event};
pub(crate) use operations::Action;
