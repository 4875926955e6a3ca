//! What a line of the log says, whatever its form.

use std::time::SystemTime;

use super::fields::Fields;

/// One event, taken apart.
#[derive(Debug)]
pub(super) struct Line<'a> {
    pub(super) time: SystemTime,
    pub(super) level: tracing::Level,
    pub(super) channel: &'a str,
    pub(super) message: &'a str,
    pub(super) fields: Fields,
    /// None for the output of workers.
    pub(super) source: Option<Source>,
}

/// Where in this program's code an event is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source {
    pub(super) file: &'static str,
    pub(super) line: u32,
    pub(super) module: &'static str,
}
