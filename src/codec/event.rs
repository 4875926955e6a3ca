//! The messages of a type of call.

use super::shape::Event;
use super::tables::EVENTS;

/// Returns the messages of a type of call; `None` if it is none of the Centrifugo that this program was built for.
pub(crate) fn event(kind: &str) -> Option<&'static Event> {
    EVENTS.iter().find(|event| event.kind == kind)
}
