//! Figures and their medians.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::plan::Table;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Figure {
    /// Calls per second.
    Rate,
    /// The same in percent of what the waiting of the handlers allows.
    Ideal,
    /// Microseconds of CPU time per call, of the process itself.
    CpuUs,
    /// The same of the bridge and its workers.
    ServerUs,
    /// The bridge's part.
    BridgeUs,
    /// The part of the workers, or of a contender without a bridge.
    WorkersUs,
    /// Microseconds of Centrifugo's CPU time per call.
    CentrifugoUs,
    /// Microseconds of the load's CPU time per call.
    LoadUs,
    /// How often a worker falls asleep per call.
    WorkerSleeps,
    /// Microseconds within which half of the calls were answered.
    P50Us,
    /// 99 % of them.
    P99Us,
    /// 99.9 % of them.
    P999Us,
    /// The peak resident memory, in MB.
    PeakMb,
    /// The resident memory without load, in MB.
    IdleMb,
    /// Milliseconds from the start of the process to its first answer.
    StartMs,
    /// Streams opened per second.
    OpenRate,
    /// Resident memory of an open stream, in KB.
    StreamKb,
    /// Milliseconds that a reset of the workers takes.
    ResetMs,
    /// Milliseconds from SIGTERM to the exit.
    StopMs,
    /// Spans that were exported, in percent of all.
    ExportedSpans,
    /// Milliseconds of the slowest call.
    SlowestMs,
    /// Milliseconds of half of the scrapes.
    ScrapeMs,
    /// Milliseconds of the slowest scrape.
    SlowestScrapeMs,
    /// Size of the page of metrics, in KB, uncompressed.
    PageKb,
    /// Series on it.
    PageSeries,
}

/// The quantiles that are kept for the picture.
pub(crate) const QUANTILES: [f64; 14] =
    [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999];

/// One measurement.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Measured {
    pub(crate) figures: BTreeMap<Figure, f64>,
    /// Microseconds at each of [`QUANTILES`]; empty without calls.
    pub(crate) latencies_us: Vec<f64>,
}

impl Measured {
    /// Without the figures of the process, if it is not the contender's.
    pub(crate) fn without_the_process(mut self) -> Self {
        self.figures.retain(|figure, _| {
            matches!(figure, Figure::Rate | Figure::P50Us | Figure::P99Us | Figure::P999Us)
        });
        self
    }
}

/// All measurements of one contender in one row, round by round.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Series {
    pub(crate) contender: &'static str,
    #[serde(skip)]
    pub(crate) colour: &'static str,
    pub(crate) rounds: Vec<Measured>,
}

/// All contenders of one row.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct RowResult {
    pub(crate) row: &'static str,
    #[serde(skip)]
    pub(crate) table: Table,
    pub(crate) series: Vec<Series>,
}

impl Series {
    /// The median over all rounds.
    pub(crate) fn median(&self, figure: Figure) -> Option<f64> {
        median(self.rounds.iter().filter_map(|round| round.figures.get(&figure).copied()).collect())
    }

    /// This figure divided by the other one's: the median over the rounds, since conditions are the same only within a round.
    pub(crate) fn ratio(&self, other: &Self, figure: Figure) -> Option<f64> {
        let pairs = self.rounds.iter().zip(&other.rounds);
        let ratios =
            pairs.filter_map(|(own, other)| Some(own.figures.get(&figure)? / other.figures.get(&figure)?));
        median(ratios.filter(|ratio| ratio.is_finite()).collect())
    }

    /// The median of each of [`QUANTILES`].
    pub(crate) fn distribution(&self) -> Vec<f64> {
        let at = |index: usize| {
            median(self.rounds.iter().filter_map(|round| round.latencies_us.get(index).copied()).collect())
        };
        (0..QUANTILES.len()).filter_map(at).collect()
    }
}

/// The value below which this part of the sorted values lies.
pub(crate) fn quantile(sorted: &[u32], part: f64) -> f64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the length")]
    let index = (sorted.len() as f64 * part) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).copied().map_or(f64::NAN, f64::from)
}

/// The median of `values`; `None` if there are none.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    let even = values.len().is_multiple_of(2);
    Some(if even { f64::midpoint(values[middle - 1], upper) } else { upper })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(rates: &[f64]) -> Series {
        let round =
            |rate: &f64| Measured { figures: BTreeMap::from([(Figure::Rate, *rate)]), ..Measured::default() };
        Series { contender: "x", colour: "", rounds: rates.iter().map(round).collect() }
    }

    #[test]
    fn ratios_are_taken_within_each_round() {
        // The machine was ten times slower in the second and third round.
        let (fast, slow) = (series(&[100.0, 10.0, 10.0]), series(&[50.0, 5.0, 5.0]));
        assert_eq!(fast.ratio(&slow, Figure::Rate), Some(2.0));
        assert_eq!(fast.median(Figure::Rate), Some(10.0));
        assert_eq!(fast.ratio(&slow, Figure::CpuUs), None);
    }

    #[test]
    fn quantiles_are_observed_values() {
        let sorted: Vec<u32> = (1..=1000).collect();
        for (part, value) in [(0.0, 1.0), (0.5, 501.0), (0.99, 991.0), (0.999, 1000.0), (1.0, 1000.0)] {
            assert!((quantile(&sorted, part) - value).abs() < 0.1, "{part}");
        }
        assert_eq!(median(vec![3.0, 1.0]), Some(2.0));
        assert_eq!(median(vec![]), None);
    }
}
