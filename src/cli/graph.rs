//! Graphs of one line, for a terminal.

use std::fmt::Write as _;

/// Eight heights of a column; nothing at all is a blank.
const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Draws values, oldest first, in as many columns as there are, the last value in the last one. A column shows the largest of its values;
/// `points` values fill all columns. The scale begins at zero and ends at the largest value.
pub(super) fn graph(values: &[Option<f64>], points: usize, columns: usize) -> String {
    let top = values.iter().flatten().copied().fold(0.0, f64::max);
    let per_column = points.div_ceil(columns.max(1)).max(1);
    let mut drawn: Vec<char> = values
        .rchunks(per_column)
        .take(columns)
        .map(|values| {
            values.iter().flatten().copied().reduce(f64::max).map_or(' ', |value| height(value, top))
        })
        .collect();
    drawn.resize(columns, ' ');
    drawn.iter().rev().collect()
}

fn height(value: f64, top: f64) -> char {
    if value <= 0.0 || top <= 0.0 {
        return HEIGHTS[0];
    }
    // As many steps as are reached.
    let steps =
        (1..HEIGHTS.len()).filter(|step| value / top * 8.0 > f64::from(u8::try_from(*step).unwrap_or(0)));
    HEIGHTS[steps.count()]
}

/// A graph with its name in front, and the last and the largest value behind it.
pub(super) fn line(
    name: &str,
    values: &[Option<f64>],
    points: usize,
    width: usize,
    format: impl Fn(f64) -> String,
) -> String {
    let last = values.last().copied().flatten().map_or_else(|| "–".into(), &format);
    let most = values.iter().flatten().copied().fold(0.0, f64::max);
    let (name, behind) = (format!("{name:<12} "), format!("  now {last}, at most {}", format(most)));
    let columns = width.saturating_sub(name.chars().count() + behind.chars().count()).clamp(10, 60);
    let mut line = name + &graph(values, points, columns);
    let _ = writeln!(line, "{behind}");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_ends_with_the_last_value_and_keeps_peaks() {
        let values: Vec<_> = (0..=8).map(|value| Some(f64::from(value))).collect();
        assert_eq!(graph(&values, 9, 9), "▁▁▂▃▄▅▆▇█");
        assert_eq!(graph(&values, 12, 12), "   ▁▁▂▃▄▅▆▇█");
        assert_eq!(graph(&[Some(0.0), Some(9.0), Some(0.0), Some(0.0)], 4, 2), "█▁");
        assert_eq!(graph(&[Some(1.0), None, Some(1.0)], 3, 3), "█ █");
        assert_eq!(graph(&[], 180, 4), "    ");
        assert_eq!(graph(&[Some(0.0)], 1, 0), "");
    }

    #[test]
    fn the_last_and_the_largest_value_stand_behind_it() {
        let shown = line("waiting", &[Some(2.0), Some(1.0)], 2, 0, |value| format!("{value}"));
        assert_eq!(shown, "waiting              █▄  now 1, at most 2\n");
    }
}
