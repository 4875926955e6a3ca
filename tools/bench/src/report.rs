//! The tables and the JSON.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde_json::json;

use crate::figures::{Figure, Measured, QUANTILES, RowResult, Series};
use crate::plan::Table;

/// A column: its figure, its heading, and whether contenders are compared by it.
type Column = (Figure, &'static str, bool);

const RATE: Column = (Figure::Rate, "requests/s", true);
const P50: Column = (Figure::P50Us, "p50 µs", true);
const P99: Column = (Figure::P99Us, "p99 µs", true);

impl Table {
    /// All tables, in the order of the report.
    const ALL: [Self; 7] =
        [Self::Bridges, Self::Idle, Self::Workers, Self::Clients, Self::Streams, Self::Traces, Self::Scrapes];

    /// The heading of its rows.
    fn heading(self) -> &'static str {
        match self {
            Self::Bridges => "load",
            Self::Idle => "workers",
            Self::Workers => "bridge and workers",
            Self::Clients => "through Centrifugo",
            Self::Streams => "subscription streams",
            Self::Traces => "traces",
            Self::Scrapes => "metrics",
        }
    }

    /// Its columns, some of which may not have been measured.
    const fn columns(self) -> &'static [Column] {
        match self {
            Self::Bridges => &[
                RATE,
                (Figure::CpuUs, "CPU µs", true),
                P50,
                P99,
                (Figure::P999Us, "p99.9 µs", true),
                (Figure::PeakMb, "peak MB", true),
            ],
            Self::Idle => &[(Figure::IdleMb, "idle MB", true), (Figure::StartMs, "start ms", true)],
            Self::Workers | Self::Clients => &[
                RATE,
                (Figure::Ideal, "% of ideal", false),
                (Figure::ServerUs, "CPU µs", true),
                (Figure::BridgeUs, "bridge", false),
                (Figure::WorkersUs, "workers", false),
                (Figure::CentrifugoUs, "Centrifugo", false),
                (Figure::LoadUs, "load", false),
                (Figure::WorkerSleeps, "sleeps", false),
                P50,
                P99,
            ],
            Self::Streams => &[
                (Figure::Rate, "messages/s", true),
                (Figure::CpuUs, "CPU µs", true),
                (Figure::LoadUs, "load", false),
                P50,
                P99,
                (Figure::OpenRate, "opened/s", true),
                (Figure::StreamKb, "KB/stream", true),
                (Figure::ResetMs, "reset ms", true),
                (Figure::StopMs, "stop ms", true),
            ],
            Self::Traces => &[
                RATE,
                (Figure::CpuUs, "CPU µs", true),
                P50,
                P99,
                (Figure::PeakMb, "peak MB", true),
                (Figure::ExportedSpans, "% exported", false),
            ],
            Self::Scrapes => &[
                RATE,
                P50,
                P99,
                (Figure::SlowestMs, "slowest ms", true),
                (Figure::ScrapeMs, "scrape p50 ms", false),
                (Figure::SlowestScrapeMs, "slowest scrape ms", false),
                (Figure::PageSeries, "series", false),
                (Figure::PageKb, "KB", false),
            ],
        }
    }
}

/// One measurement in one line.
pub(crate) fn line(measured: &Measured, table: Table) -> String {
    let mut text = String::new();
    for (figure, heading, _) in table.columns() {
        if let Some(value) = measured.figures.get(figure) {
            let _ = write!(text, "{}{} {heading}", if text.is_empty() { "" } else { ", " }, number(*value));
        }
    }
    text
}

/// Prints the tables, with a column for each figure that was measured.
pub(crate) fn print(results: &[RowResult], markdown: bool, rounds: usize) {
    println!("\n{}\n", machine());
    println!(
        "Medians of {rounds} rounds. In brackets: the first contender's figure divided by this one. For requests/s more is better, for all others less."
    );
    for table in Table::ALL {
        let rows: Vec<_> = results.iter().filter(|row| row.table == table).collect();
        if !rows.is_empty() {
            let cells = cells(table, &rows);
            print!("\n{}", if markdown { as_markdown(&cells) } else { as_text(&cells) });
        }
    }
}

fn cells(table: Table, rows: &[&RowResult]) -> Vec<Vec<String>> {
    let is_measured = |column: &&Column| {
        rows.iter().flat_map(|row| &row.series).any(|series| series.median(column.0).is_some())
    };
    let columns: Vec<&Column> = table.columns().iter().filter(is_measured).collect();
    let headings = columns.iter().map(|(_, heading, _)| *heading);
    let mut out = vec![[table.heading(), ""].into_iter().chain(headings).map(str::to_owned).collect()];
    for row in rows {
        for (index, series) in row.series.iter().enumerate() {
            let mut cells = vec![
                if index == 0 { row.row.to_owned() } else { String::new() },
                series.contender.to_owned(),
            ];
            cells.extend(columns.iter().map(|column| cell(&row.series[0], series, index, **column)));
            out.push(cells);
        }
    }
    out
}

fn cell(first: &Series, series: &Series, index: usize, (figure, _, is_compared): Column) -> String {
    let Some(value) = series.median(figure) else { return String::new() };
    match first.ratio(series, figure) {
        Some(ratio) if index > 0 && is_compared => format!("{} ({ratio:.2})", number(value)),
        _ => number(value),
    }
}

/// Three significant digits, and a separator for thousands.
pub(crate) fn number(value: f64) -> String {
    let decimals = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    let text = format!("{value:.decimals$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let mut out = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if fraction.is_empty() { out } else { format!("{out}.{fraction}") }
}

pub(crate) fn as_markdown(table: &[Vec<String>]) -> String {
    let mut text = String::new();
    for (index, cells) in table.iter().enumerate() {
        let _ = writeln!(text, "| {} |", cells.join(" | "));
        if index == 0 {
            let rule: Vec<_> =
                (0..cells.len()).map(|column| if column < 2 { "---" } else { "--:" }).collect();
            let _ = writeln!(text, "| {} |", rule.join(" | "));
        }
    }
    text
}

pub(crate) fn as_text(table: &[Vec<String>]) -> String {
    let width = |column: usize| table.iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..table.first().map_or(0, Vec::len)).map(width).collect();
    let mut text = String::new();
    for cells in table {
        for (column, (cell, width)) in cells.iter().zip(&widths).enumerate() {
            let _ =
                if column < 2 { write!(text, "{cell:<width$}  ") } else { write!(text, "{cell:>width$}  ") };
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

/// Writes all measurements.
///
/// # Errors
/// If the file cannot be written.
pub(crate) fn write(path: &Path, results: &[RowResult], rounds: usize) -> anyhow::Result<()> {
    let report = json!({ "machine": machine(), "rounds": rounds, "quantiles": QUANTILES, "rows": results });
    std::fs::write(path, serde_json::to_vec_pretty(&report)?)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// The machine in a few words.
pub(crate) fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown CPU");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let build = if cfg!(debug_assertions) { "; debug build, figures are meaningless" } else { "" };
    format!(
        "{cores} cores of {}, Linux {}{build}.",
        model.trim_start_matches([' ', '\t', ':']),
        read("/proc/sys/kernel/osrelease").trim()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_significant_digits() {
        let seen = [0.0, 9.336, 46.04, 177.2, 29_600.0, 1_234_567.8].map(number);
        assert_eq!(seen, ["0.00", "9.34", "46.0", "177", "29,600", "1,234,568"]);
    }

    #[test]
    fn a_table_is_aligned_or_markdown() {
        let table =
            [vec![String::new(), String::new(), "x".into()], vec!["row".into(), "a".into(), "100".into()]];
        assert_eq!(as_text(&table), "          x\nrow  a  100\n");
        assert_eq!(as_markdown(&table), "|  |  | x |\n| --- | --- | --: |\n| row | a | 100 |\n");
    }
}
