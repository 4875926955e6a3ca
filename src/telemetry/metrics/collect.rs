//! How the parts of the bridge put their own figures on the page.

use std::fmt;
use std::future;
use std::pin::Pin;
use std::sync::Arc;

use super::exposition::Page;

/// A part of the bridge with figures for the page.
pub(crate) trait Collect: fmt::Debug + Send + Sync {
    /// Reads what has to be awaited. The result writes the figures, and is called on a thread where that delays no request.
    fn collect(self: Arc<Self>) -> Collected;
}

/// Figures that are being read.
pub(crate) type Collected = Pin<Box<dyn Future<Output = Figures> + Send>>;

/// Writes figures to the page.
pub(crate) type Figures = Box<dyn FnOnce(&mut Page) + Send>;

/// Figures that need no waiting for.
pub(crate) fn ready(write: impl FnOnce(&mut Page) + Send + 'static) -> Collected {
    Box::pin(future::ready(Box::new(write) as Figures))
}
