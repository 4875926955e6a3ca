//! What can be called over `rpc.listen`, one file per service.
//!
//! ```text
//!  "informer.Workers" ──table──▶ Method { argument: Shape, result: Shape, run }
//!  "centrifuge.Publish" ────────▶ centrifuge: any method, bytes through
//! ```
//!
//! Each file gives its methods as `(name, Method)`; [`table`] is all of them. Methods take and give plain values and know nothing of
//! frames and codecs. `centrifuge` stands beside the table, since it has as many methods as Centrifugo, and messages of its own.
//!
//! Results and texts are RoadRunner's where clients read them; where RoadRunner's are plainly wrong (`false` for success, `null` for an
//! empty list), they are right.

mod app;
mod causeway;
pub(super) mod centrifuge;
mod informer;
mod lock;
mod metrics;
mod resetter;
mod rpc;
mod status;
mod table;

pub(super) use table::{Table, table};
