//! Quantiles of recent values.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use sketches_ddsketch::{Config, DDSketch};

/// Quantiles cover this many spans: ten minutes, as in Prometheus' client for Go.
const SPANS: u32 = 5;
const SPAN: Duration = Duration::from_mins(2);

/// The values of the last ten minutes, in sketches of bounded size. Quantiles are within one percent of the true value, whatever error an
/// objective allows.
#[derive(Default)]
pub(super) struct Recent {
    /// Oldest first, each with its start.
    spans: VecDeque<(Instant, DDSketch)>,
}

impl Recent {
    pub(super) fn observe(&mut self, value: f64, now: Instant) {
        self.forget(now);
        match self.spans.back_mut() {
            Some((begin, sketch)) if now.saturating_duration_since(*begin) < SPAN => sketch.add(value),
            _ => {
                let mut sketch = DDSketch::new(Config::defaults());
                sketch.add(value);
                self.spans.push_back((now, sketch));
            }
        }
    }

    /// The value of each quantile; NaN without recent values.
    pub(super) fn quantiles(&mut self, quantiles: impl Iterator<Item = f64>, now: Instant) -> Vec<f64> {
        self.forget(now);
        let mut all = DDSketch::new(Config::defaults());
        for (_, sketch) in &self.spans {
            // Cannot fail: they have the same settings.
            let _ = all.merge(sketch);
        }
        quantiles.map(|quantile| all.quantile(quantile).ok().flatten().unwrap_or(f64::NAN)).collect()
    }

    /// The number of bins of all sketches, which is what takes their memory.
    pub(super) fn bins(&self) -> usize {
        self.spans.iter().map(|(_, sketch)| sketch.length()).sum()
    }

    fn forget(&mut self, now: Instant) {
        let is_old = |begin: Instant| now.saturating_duration_since(begin) >= SPAN * SPANS;
        while self.spans.front().is_some_and(|(begin, _)| is_old(*begin)) {
            self.spans.pop_front();
        }
    }
}

impl fmt::Debug for Recent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count: usize = self.spans.iter().map(|(_, sketch)| sketch.count()).sum();
        f.debug_struct("Recent").field("count", &count).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_accurate_and_forget_old_values() {
        let (mut recent, begin) = (Recent::default(), Instant::now());
        assert!(recent.quantiles([0.5].into_iter(), begin)[0].is_nan());
        for value in 1..=1000 {
            recent.observe(f64::from(value), begin + SPAN * (value % 2));
        }
        recent.observe(-5.0, begin + SPAN);
        let found = recent.quantiles([0.0, 0.5, 0.99].into_iter(), begin + SPAN);
        for (found, expected) in found.into_iter().zip([-5.0, 500.0, 990.0]) {
            assert!((found - expected).abs() <= f64::abs(expected) * 0.011, "{found} {expected}");
        }
        let odd = recent.quantiles([0.0].into_iter(), begin + SPAN * 5)[0];
        assert!((odd + 5.0).abs() < 0.1);
        assert!(recent.quantiles([0.5].into_iter(), begin + SPAN * 6)[0].is_nan());
        assert!(recent.spans.is_empty());
    }
}
