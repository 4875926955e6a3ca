//! The picture: the distribution of latencies in each row. Both axes are logarithmic; rarer latencies are further to the right.

use std::fmt::Write as _;

use crate::figures::{QUANTILES, RowResult};

const COLUMNS: usize = 3;
const WIDTH: f64 = 340.0;
const HEIGHT: f64 = 240.0;
/// The frame around the lines: left, top, right, bottom.
const MARGIN: (f64, f64, f64, f64) = (56.0, 44.0, 16.0, 30.0);
const TICKS: [(f64, &str); 5] =
    [(0.0, "0"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %"), (0.9999, "99.99 %")];

/// Draws all rows that have calls as an SVG.
pub(crate) fn draw(results: &[RowResult]) -> String {
    let rows: Vec<&RowResult> = results
        .iter()
        .filter(|row| row.series.iter().any(|series| !series.distribution().is_empty()))
        .collect();
    let lines = rows.len().div_ceil(COLUMNS).max(1);
    let (width, height) = (WIDTH * COLUMNS as f64, HEIGHT * lines as f64);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"10\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (index, row) in rows.into_iter().enumerate() {
        let (x, y) = ((index % COLUMNS) as f64 * WIDTH, (index / COLUMNS) as f64 * HEIGHT);
        let _ = writeln!(svg, "<g transform=\"translate({x} {y})\">\n{}</g>", panel(row));
    }
    svg.push_str("</svg>\n");
    svg
}

/// The decades of microseconds between which the lines of a row lie.
fn decades(row: &RowResult) -> (f64, f64) {
    let all = row.series.iter().flat_map(crate::figures::Series::distribution).map(|us| us.max(1.0).log10());
    let (low, high) = all.fold((f64::MAX, 0.0_f64), |(low, high), us| (low.min(us), high.max(us)));
    (low.floor(), high.ceil().max(low.floor() + 1.0))
}

fn panel(row: &RowResult) -> String {
    let (left, top, right, bottom) = MARGIN;
    let (low, high) = decades(row);
    let x = |part: f64| left + -(1.0 - part).log10() / 4.0 * (WIDTH - left - right);
    let y = |log: f64| top + (high - log) / (high - low) * (HEIGHT - top - bottom);
    let mut out = format!("<text x=\"{left}\" y=\"16\" font-weight=\"bold\">{}</text>\n", row.row);
    for (part, label) in TICKS {
        let (x, end) = (x(part), HEIGHT - bottom);
        let _ = writeln!(out, "<path d=\"M{x:.1} {top}V{end}\" stroke=\"#ddd\"/>");
        let _ =
            writeln!(out, "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>", end + 14.0);
    }
    let mut decade = low;
    while decade <= high {
        let (y, end) = (y(decade), WIDTH - right);
        let _ = writeln!(out, "<path d=\"M{left} {y:.1}H{end}\" stroke=\"#ddd\"/>");
        let label = duration(decade);
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            left - 5.0,
            y + 3.0
        );
        decade += 1.0;
    }
    let mut legend = left;
    for series in &row.series {
        let colour = series.colour;
        let points: Vec<String> = QUANTILES
            .iter()
            .zip(series.distribution())
            .map(|(part, us)| format!("{:.1},{:.1}", x(*part), y(us.max(1.0).log10())))
            .collect();
        let points = points.join(" ");
        let _ = writeln!(
            out,
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>"
        );
        let _ = writeln!(out, "<text x=\"{legend}\" y=\"32\" fill=\"{colour}\">{}</text>", series.contender);
        legend += 12.0 + 5.4 * series.contender.len() as f64;
    }
    out
}

/// A power of ten of microseconds.
pub(crate) fn duration(decade: f64) -> String {
    let us = 10_f64.powf(decade);
    if us < 1e3 {
        format!("{us:.0} µs")
    } else if us < 1e6 {
        format!("{:.0} ms", us / 1e3)
    } else {
        format!("{:.0} s", us / 1e6)
    }
}
