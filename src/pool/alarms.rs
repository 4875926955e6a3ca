//! The actor's alarms: at most one of each kind.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// What the actor is woken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Alarm {
    /// The pause after a start that failed is over.
    Pause,
    /// Workers may be added again.
    LookAgain,
    /// A reset that goes on has to begin anew.
    BeginReset,
    /// A reset has taken too long for one who asked for it.
    Reset,
    /// Limits are to be checked.
    Limits,
    /// Slow requests are to be looked for.
    Slow,
    /// Standbys have waited for a while.
    Standbys,
    /// It is to be checked whether an added worker is still needed.
    Shrink,
}

/// Alarms that are set.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    at: BTreeMap<Alarm, Instant>,
}

impl Alarms {
    /// Sets an alarm, instead of an earlier one of its kind.
    pub(super) fn set(&mut self, alarm: Alarm, after: Duration) {
        // A time too far away to be represented is never.
        if let Some(at) = Instant::now().checked_add(after) {
            self.at.insert(alarm, at);
        }
    }

    pub(super) fn is_set(&self, alarm: Alarm) -> bool {
        self.at.contains_key(&alarm)
    }

    pub(super) fn clear(&mut self, alarm: Alarm) {
        self.at.remove(&alarm);
    }

    /// Waits for the next one to go off. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Alarm {
        let Some((&alarm, &at)) = self.at.iter().min_by_key(|(_, at)| **at) else {
            return std::future::pending().await;
        };
        tokio::time::sleep_until(at).await;
        self.at.remove(&alarm);
        alarm
    }
}
