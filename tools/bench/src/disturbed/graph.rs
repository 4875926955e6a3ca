//! The picture: memory, descriptors and latency over time, in the colours that the reader's device prefers.

use std::fmt::Write as _;

use super::slice::Slice;
use crate::figures::median;
use crate::picture::duration;

const WIDTH: f64 = 760.0;
/// Of one panel.
const HEIGHT: f64 = 150.0;
/// The frame around the lines: left, top, right, bottom.
const MARGIN: (f64, f64, f64, f64) = (56.0, 30.0, 16.0, 24.0);
/// Points of a line at most: more are not seen.
const POINTS: usize = 240;

const STYLE: &str = "\
svg { color-scheme: light dark; --ground: #fcfcfa; --ink: #222; --grid: #ddd; --a: #1667b7; --b: #c2571a; --c: #777 }
@media (prefers-color-scheme: dark) {
  svg { --ground: #16181c; --ink: #ddd; --grid: #3a3d42; --a: #6db3f2; --b: #f0925a; --c: #999 }
}
rect { fill: var(--ground) } text { fill: var(--ink) } .grid { stroke: var(--grid) }
.a, .b, .c { fill: none; stroke-width: 1.5 } .a { stroke: var(--a) } .b { stroke: var(--b); stroke-dasharray: 5 2 }
.c { stroke: var(--c); stroke-dasharray: 1 2 }";

/// How the points of many seconds become one.
#[derive(Debug, Clone, Copy)]
enum Of {
    Median,
    Most,
}

/// A line: its name, the class of its colour, its figure, and how points are put together.
type Line = (&'static str, char, fn(&Slice) -> f64, Of);

struct Panel {
    title: &'static str,
    /// Whether the axis is one of powers of ten; otherwise it begins with 0.
    is_logarithmic: bool,
    lines: &'static [Line],
}

const PANELS: [Panel; 3] = [
    Panel {
        title: "Resident memory, MB",
        is_logarithmic: false,
        lines: &[("the bridge's process", 'a', |slice| slice.resident_mb, Of::Median)],
    },
    Panel {
        title: "Open descriptors and threads",
        is_logarithmic: false,
        lines: &[
            ("descriptors", 'a', |slice| slice.descriptors as f64, Of::Median),
            ("threads", 'b', |slice| slice.threads, Of::Median),
        ],
    },
    Panel {
        title: "Latency of calls",
        is_logarithmic: true,
        lines: &[
            ("p50", 'a', |slice| slice.p50_us, Of::Median),
            ("p99", 'b', |slice| slice.p99_us, Of::Median),
            ("slowest", 'c', |slice| slice.slowest_us, Of::Most),
        ],
    },
];

/// Draws the soak as an SVG.
pub(crate) fn draw(slices: &[Slice]) -> String {
    let height = HEIGHT * PANELS.len() as f64;
    let title = "Memory, descriptors and latency over the time of a soak";
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\" role=\"img\" aria-label=\"{title}\">\n\
         <title>{title}</title>\n<style>\n{STYLE}\n</style>\n<rect width=\"100%\" height=\"100%\"/>\n"
    );
    for (index, panel) in PANELS.iter().enumerate() {
        let y = HEIGHT * index as f64;
        let _ = writeln!(svg, "<g transform=\"translate(0 {y})\">\n{}</g>", panel.draw(slices));
    }
    svg.push_str("</svg>\n");
    svg
}

/// What an axis shows: from, to, and its ticks with their labels.
struct Axis {
    low: f64,
    high: f64,
    ticks: Vec<(f64, String)>,
}

impl Axis {
    /// From 0 to at least `high`.
    fn linear(high: f64, ticks: f64) -> Self {
        let step = step(high / ticks);
        let count = (high / step).ceil().max(1.0);
        let decimals = usize::from(step < 1.0);
        let label = |index: f64| (index * step, format!("{:.decimals$}", index * step));
        let ticks = std::iter::successors(Some(0.0), |index| Some(index + 1.0));
        Self { low: 0.0, high: count * step, ticks: ticks.take_while(|i| *i <= count).map(label).collect() }
    }

    /// From 0 to exactly `end`.
    fn time(end: f64, unit: &str) -> Self {
        let Self { low, mut ticks, .. } = Self::linear(end, 10.0);
        ticks.retain(|(position, _)| *position <= end);
        ticks[0].1 = format!("0 {unit}");
        Self { low, high: end, ticks }
    }

    /// Powers of ten of microseconds; positions are logarithms.
    fn decades(low: f64, high: f64) -> Self {
        let low = low.max(1.0).log10().floor();
        let high = high.max(1.0).log10().ceil().max(low + 1.0);
        let decades = std::iter::successors(Some(low), |decade| Some(decade + 1.0));
        let ticks = decades.take_while(|decade| *decade <= high).map(|decade| (decade, duration(decade)));
        Self { low, high, ticks: ticks.collect() }
    }

    /// Where a value is, from 0 to 1.
    fn part(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }
}

impl Panel {
    fn draw(&self, slices: &[Slice]) -> String {
        let (left, top, right, bottom) = MARGIN;
        let end = slices.last().map_or(1.0, Slice::end);
        let (unit, name) = if end < 120.0 { (1.0, "s") } else { (60.0, "min") };
        let time = Axis::time(end / unit, name);
        let lines: Vec<Vec<(f64, f64)>> =
            self.lines.iter().map(|(_, _, figure, of)| points(slices, *figure, *of)).collect();
        let values = lines.iter().flatten().map(|(_, value)| *value);
        let (least, most) = values.fold((f64::MAX, 0.0_f64), |(low, high), v| (low.min(v), high.max(v)));
        let axis =
            if self.is_logarithmic { Axis::decades(least, most) } else { Axis::linear(most.max(1.0), 4.0) };
        let x = |seconds: f64| left + time.part(seconds / unit) * (WIDTH - left - right);
        let y = |position: f64| top + (1.0 - axis.part(position)) * (HEIGHT - top - bottom);
        let mut out = format!("<text x=\"{left}\" y=\"18\" font-weight=\"bold\">{}</text>\n", self.title);
        for (position, label) in &time.ticks {
            let (x, end) = (x(position * unit), HEIGHT - bottom);
            let _ = writeln!(out, "<path class=\"grid\" d=\"M{x:.1} {top}V{end}\"/>");
            let _ = writeln!(
                out,
                "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
                end + 14.0
            );
        }
        for (position, label) in &axis.ticks {
            let (y, end) = (y(*position), WIDTH - right);
            let _ = writeln!(out, "<path class=\"grid\" d=\"M{left} {y:.1}H{end}\"/>");
            let (x, y) = (left - 6.0, y + 4.0);
            let _ = writeln!(out, "<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{label}</text>");
        }
        let mut legend = WIDTH - right;
        for ((name, class, ..), points) in self.lines.iter().zip(&lines).rev() {
            let height = |value: f64| y(if self.is_logarithmic { value.max(1.0).log10() } else { value });
            let points: Vec<String> =
                points.iter().map(|(at, value)| format!("{:.1},{:.1}", x(*at), height(*value))).collect();
            let _ = writeln!(out, "<polyline class=\"{class}\" points=\"{}\"/>", points.join(" "));
            let _ = writeln!(out, "<text x=\"{legend}\" y=\"18\" text-anchor=\"end\">{name}</text>");
            legend -= 8.0 + 5.2 * name.len() as f64;
            let _ = writeln!(out, "<path class=\"{class}\" d=\"M{} 14H{legend}\"/>", legend - 24.0);
            legend -= 40.0;
        }
        out
    }
}

/// The points of a line: seconds, and the value.
fn points(slices: &[Slice], figure: fn(&Slice) -> f64, of: Of) -> Vec<(f64, f64)> {
    let together = slices.len().div_ceil(POINTS).max(1);
    let point = |slices: &[Slice]| {
        let values = slices.iter().map(figure).filter(|value| value.is_finite());
        let value = match of {
            Of::Median => median(values.collect()),
            Of::Most => values.reduce(f64::max),
        };
        Some((slices.last()?.end(), value?))
    };
    slices.chunks(together).filter_map(point).collect()
}

/// 1, 2 or 5 times a power of ten, no less than this.
fn step(least: f64) -> f64 {
    let power = 10_f64.powf(least.max(1e-9).log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|digit| digit * power).find(|step| *step >= least).unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_numbers() {
        let labels = |axis: Axis| axis.ticks.into_iter().map(|(_, label)| label).collect::<Vec<_>>();
        assert_eq!(labels(Axis::linear(11.3, 4.0)), ["0", "5", "10", "15"]);
        assert_eq!(labels(Axis::linear(30.0, 10.0)), ["0", "5", "10", "15", "20", "25", "30"]);
        assert_eq!(
            labels(Axis::linear(2.0, 10.0)),
            ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0", "1.2", "1.4", "1.6", "1.8", "2.0"]
        );
        assert_eq!(labels(Axis::decades(45.0, 2500.0)), ["10 µs", "100 µs", "1 ms", "10 ms"]);
    }

    #[test]
    fn a_long_soak_has_no_more_points_than_are_seen_and_keeps_its_slowest_call() {
        let slice = |second: u32| Slice {
            begin: f64::from(second),
            seconds: 1.0,
            slowest_us: if second == 1000 { 9e6 } else { 500.0 },
            ..Slice::default()
        };
        let slices: Vec<_> = (0..7200).map(slice).collect();
        let points = points(&slices, |slice| slice.slowest_us, Of::Most);
        assert_eq!(points.len(), 240);
        assert_eq!(points.iter().filter(|(_, value)| *value > 1e6).count(), 1);
    }
}
