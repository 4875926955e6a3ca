//! The methods of `rpc.listen`, one file per service.
//!
//! ```text
//!  "informer.Workers" ──table──▶ Method { argument: Shape, result: Shape, run }
//!  "centrifuge.Publish" ────────▶ centrifuge: any method, bytes through
//! ```
//!
//! Each file returns its methods as `(name, Method)`; [`mod@table`] collects them. Methods take and return plain values, know nothing of frames
//! and codecs, and have an error type of their own. `centrifuge` is not in the table: it has as many methods as Centrifugo, and its own
//! messages; neither is `stream.Publish`, which is called as often.
//!
//! Results and texts are RoadRunner's where clients read them, except where those are plainly wrong (`false` for success, `null` for an
//! empty list).

mod app;
mod causeway;
pub(super) mod centrifuge;
mod informer;
mod lock;
mod metrics;
mod resetter;
mod rpc;
mod status;
pub(super) mod stream;
mod table;

pub(super) use table::{Table, table};
