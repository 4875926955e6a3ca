//! The table: each tenth of the soak, and the last one compared with the first one.

use super::slice::Slice;
use crate::figures::median;
use crate::report::{as_markdown, as_text, machine, number};

/// Parts of the soak.
const PARTS: usize = 10;

/// A figure of many seconds, and its heading.
type Column = (&'static str, fn(&[Slice]) -> f64);

const COLUMNS: [Column; 11] = [
    ("calls/s", |part| sum(part, |slice| slice.calls as f64) / sum(part, |slice| slice.seconds)),
    ("p50 µs", |part| middle(part, |slice| slice.p50_us)),
    ("p99 µs", |part| middle(part, |slice| slice.p99_us)),
    ("slowest ms", |part| part.iter().map(|slice| slice.slowest_us / 1e3).fold(0.0, f64::max)),
    ("MB", |part| middle(part, |slice| slice.resident_mb)),
    ("descriptors", |part| middle(part, |slice| slice.descriptors as f64)),
    ("threads", |part| middle(part, |slice| slice.threads)),
    ("killed", |part| sum(part, |slice| slice.killed as f64)),
    ("failed with them", |part| sum(part, |slice| slice.died as f64)),
    ("died in a call", |part| sum(part, |slice| slice.asked as f64)),
    ("other failures", |part| sum(part, |slice| slice.failed as f64)),
];

/// The columns that are compared: all but the counts.
const COMPARED: usize = 7;

/// Prints the table.
pub(crate) fn print(slices: &[Slice], is_markdown: bool) {
    let table = table(slices);
    println!("{}\n", machine());
    print!("{}", if is_markdown { as_markdown(&table) } else { as_text(&table) });
}

fn table(slices: &[Slice]) -> Vec<Vec<String>> {
    let headings = COLUMNS.iter().map(|(heading, _)| *heading);
    let mut table = vec![["tenth", "minutes"].into_iter().chain(headings).map(str::to_owned).collect()];
    let parts: Vec<_> = slices.chunks(slices.len().div_ceil(PARTS).max(1)).collect();
    for (index, part) in parts.iter().enumerate() {
        let end = part.last().map_or(0.0, Slice::end) / 60.0;
        let mut row = vec![(index + 1).to_string(), format!("to {end:.1}")];
        for (column, (_, figure)) in COLUMNS.iter().enumerate() {
            let value = figure(part);
            row.push(if column < COMPARED { number(value) } else { format!("{value:.0}") });
        }
        table.push(row);
    }
    if let [first, .., last] = parts[..] {
        let ratio = |figure: fn(&[Slice]) -> f64| format!("x {:.2}", figure(last) / figure(first));
        let ratios = COLUMNS.iter().take(COMPARED).map(|(_, figure)| ratio(*figure));
        let blanks = std::iter::repeat_n(String::new(), COLUMNS.len() - COMPARED);
        table.push(
            ["last / first".to_owned(), String::new()].into_iter().chain(ratios).chain(blanks).collect(),
        );
    }
    table
}

fn middle(part: &[Slice], figure: fn(&Slice) -> f64) -> f64 {
    median(part.iter().map(figure).filter(|value| value.is_finite()).collect()).unwrap_or(f64::NAN)
}

fn sum(part: &[Slice], figure: fn(&Slice) -> f64) -> f64 {
    part.iter().map(figure).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_tenth_is_compared_with_the_first() {
        let slice = |second: u32| Slice {
            begin: f64::from(second),
            seconds: 1.0,
            calls: 1000,
            resident_mb: if second < 2 { 10.0 } else { 11.0 },
            killed: 1,
            ..Slice::default()
        };
        let slices: Vec<_> = (0..20).map(slice).collect();
        let table = table(&slices);
        assert_eq!(table.len(), 12, "{table:?}");
        let memory = table[0].iter().position(|heading| heading == "MB").unwrap();
        assert_eq!(
            (&*table[1][memory], &*table[10][memory], &*table[11][memory]),
            ("10.0", "11.0", "x 1.10")
        );
        assert_eq!(table[1][2], "1,000");
        assert_eq!(table[10][1], "to 0.3");
        let killed = table[0].iter().position(|heading| heading == "killed").unwrap();
        assert_eq!((&*table[1][killed], &*table[11][killed]), ("2", ""));
    }
}
