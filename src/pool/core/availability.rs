//! Whether requests find a worker, may wait for one, or are turned away.

use super::{Availability, Core, Effect, Pause, Phase};

/// Starts that failed in a row after which requests no longer wait for a successor of an exhausted worker: after about 3 s.
const HOPELESS: u32 = 6;

impl Core {
    /// Announces what has changed.
    pub(super) fn announce(&mut self, effects: &mut Vec<Effect>) {
        let now = match self.phase {
            Phase::Draining | Phase::Ending | Phase::Ended => Availability::Closed,
            _ if self.target == 0 || self.present() > 0 => Availability::Serving,
            // Without a pause, one is started as soon as an exhausted one has exited.
            _ if self.pause == Pause::None || self.exhausted && self.failures < HOPELESS => {
                Availability::Exhausted
            }
            _ => Availability::Down(self.last_failure.clone()),
        };
        if now != self.announced {
            self.announced = now.clone();
            effects.push(Effect::Announce(now));
        }
    }
}
