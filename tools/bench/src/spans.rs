//! Whether the spans of a contender arrive.

use std::time::{Duration, Instant};

use anyhow::bail;

use crate::http;
use crate::running::Running;

/// How long a batch that is not full may wait for others, and more.
const PATIENCE: Duration = Duration::from_secs(20);

/// The pause between two readings of the metrics.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Waits until spans have been exported. Returns how many have been, in percent of those that were exported or dropped.
///
/// # Errors
/// If none are.
pub(crate) async fn exported(running: &Running) -> anyhow::Result<f64> {
    let begin = Instant::now();
    loop {
        let page = String::from_utf8(http::get(&running.admin, "/metrics", "identity").await?)?;
        let (exported, dropped) =
            (sum(&page, "causeway_spans_exported_total"), sum(&page, "causeway_spans_dropped_total"));
        if exported > 0.0 {
            return Ok(100.0 * exported / (exported + dropped));
        }
        if begin.elapsed() > PATIENCE {
            bail!("no spans have been exported, {dropped} were dropped");
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// The sum of all series of this name.
fn sum(page: &str, name: &str) -> f64 {
    let values = page.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        rest.starts_with([' ', '{']).then(|| rest.rsplit_once(' ')?.1.parse::<f64>().ok())?
    });
    values.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_series_of_a_name_are_summed_up() {
        let page = "# TYPE a counter\na{x=\"1\"} 2\na{x=\"a b\"} 3\na_b 4\na 1\n";
        assert!((sum(page, "a") - 6.0).abs() < 1e-9);
    }
}
