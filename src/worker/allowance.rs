//! How much one worker may write to the log: a bucket of bytes and one of lines, which fill again with time.
//!
//! This module is pure: the time is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// What a worker may log at once, though it was silent before: far more than any stack trace, or a start in debug mode, prints.
const BURST: Amount = Amount { lines: 50_000, bytes: 8 << 20 };

/// What it may log per millisecond, continuously: 10,000 lines and 4 MB per second.
const PER_MILLISECOND: Amount = Amount { lines: 10, bytes: 4 << 10 };

/// Lines and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Amount {
    pub(super) lines: u64,
    pub(super) bytes: u64,
}

/// What a worker may still log.
#[derive(Debug)]
pub(super) struct Allowance {
    left: Amount,
    at: Instant,
    dropped: Amount,
}

impl Allowance {
    pub(super) fn new(now: Instant) -> Self {
        Self { left: BURST, at: now, dropped: Amount::default() }
    }

    /// Returns the lines at the front of `text` that may be logged. The others count as dropped.
    pub(super) fn take<'a>(&mut self, text: &'a [u8], now: Instant) -> &'a [u8] {
        self.refill(now);
        let all = amount(text);
        if all.lines <= self.left.lines && all.bytes <= self.left.bytes {
            self.left = self.left.less(all);
            return text;
        }
        let passed = self.front(text);
        let some = amount(passed);
        self.left = self.left.less(some);
        let rest = all.less(some);
        self.dropped.lines += rest.lines;
        self.dropped.bytes += rest.bytes;
        passed
    }

    /// Returns what was dropped since the last call.
    pub(super) fn dropped(&mut self) -> Amount {
        std::mem::take(&mut self.dropped)
    }

    /// As many whole lines as are allowed.
    fn front<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        let bytes = usize::try_from(self.left.bytes).unwrap_or(usize::MAX).min(text.len());
        let lines = usize::try_from(self.left.lines).unwrap_or(usize::MAX);
        let ends = memchr::memchr_iter(b'\n', &text[..bytes]);
        let end = ends.take(lines).last().map_or(0, |at| at + 1);
        &text[..end]
    }

    fn refill(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.at).as_millis();
        let since = u64::try_from(since).unwrap_or(u64::MAX);
        // What is less than a millisecond counts next time.
        self.at += Duration::from_millis(since);
        let Amount { lines, bytes } = PER_MILLISECOND;
        self.left.lines = self.left.lines.saturating_add(lines.saturating_mul(since)).min(BURST.lines);
        self.left.bytes = self.left.bytes.saturating_add(bytes.saturating_mul(since)).min(BURST.bytes);
    }
}

impl Amount {
    fn less(self, other: Self) -> Self {
        Self { lines: self.lines.saturating_sub(other.lines), bytes: self.bytes.saturating_sub(other.bytes) }
    }
}

/// An unfinished line counts as one.
fn amount(text: &[u8]) -> Amount {
    let ends = memchr::memchr_iter(b'\n', text).count() as u64;
    let unfinished = u64::from(text.last().is_some_and(|byte| *byte != b'\n'));
    Amount { lines: ends + unfinished, bytes: text.len() as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_ten_thousand_lines_or_of_megabytes_passes_whole() {
        let now = Instant::now();
        let lines = b"#12 /srv/app/vendor/framework/Kernel.php(123): handle()\n".repeat(10_000);
        assert_eq!(Allowance::new(now).take(&lines, now), lines);
        let record = vec![b'x'; 1 << 20];
        let mut allowance = Allowance::new(now);
        for _ in 0..8 {
            assert_eq!(allowance.take(&record, now).len(), record.len());
        }
        assert_eq!(allowance.dropped(), Amount::default());
    }

    #[test]
    fn a_flood_is_cut_at_a_line_and_what_is_dropped_is_counted() {
        let now = Instant::now();
        let mut allowance = Allowance::new(now);
        let flood = b"y\n".repeat(50_001);
        assert_eq!(allowance.take(&flood, now).len(), 100_000);
        assert_eq!(allowance.take(b"a\nb", now), b"");
        assert_eq!(allowance.dropped(), Amount { lines: 3, bytes: 5 });
        assert_eq!(allowance.dropped(), Amount::default());
    }

    #[test]
    fn it_refills_with_time_however_often_it_is_used() {
        let mut now = Instant::now();
        let mut allowance = Allowance::new(now);
        allowance.take(&b"y\n".repeat(50_000), now);
        let mut passed = 0;
        for _ in 0..100_000 {
            now += Duration::from_micros(10);
            passed += allowance.take(b"y\n", now).len() / 2;
        }
        // The last millisecond is not used up.
        assert!((9_990..=10_000).contains(&passed), "{passed}");
    }

    #[test]
    fn long_lines_are_measured_by_their_bytes() {
        let now = Instant::now();
        let mut allowance = Allowance::new(now);
        let line = [vec![b'x'; (1 << 20) - 1], b"\n".to_vec()].concat();
        let passed = (0..20).filter(|_| !allowance.take(&line, now).is_empty()).count();
        assert_eq!((passed, allowance.dropped().lines), (8, 12));
    }
}
