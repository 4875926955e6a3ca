//! The connections of all listeners.

use std::sync::Arc;

use crate::net::Connections;
use crate::telemetry::metrics::{Collect, Collected, CollectorKind, FamilyText, approximate, ready};

/// Counts the open connections of these listeners, by name; several listeners may share a name.
#[derive(Debug)]
pub(crate) struct OpenConnections(pub(crate) Vec<(&'static str, Vec<Arc<Connections>>)>);

impl Collect for OpenConnections {
    fn collect(self: Arc<Self>) -> Collected {
        ready(move |page| {
            let mut family = FamilyText::new(
                "causeway_connections",
                CollectorKind::Gauge,
                "Number of open connections, by listener.",
            );
            for (name, listeners) in &self.0 {
                let open: usize = listeners.iter().map(|listener| listener.open()).sum();
                family.sample("", [("listener", *name)], approximate(open as u64));
            }
            page.add(family);
        })
    }
}
