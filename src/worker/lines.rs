//! From pieces of text to whole lines; each byte is scanned once.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::{Bytes, BytesMut};

/// The longest line that is one entry of the log, in bytes; a longer one is logged in pieces of this size.
pub(super) const MAX_LINE: usize = 1 << 20;

/// An unfinished line of more bytes than this needs a permit for long ones.
const SHORT_LINE: usize = 64 << 10;

/// How many unfinished lines may be longer than [`SHORT_LINE`] at a time, of all workers together: 64 MB. While all permits are taken, other
/// lines are cut at [`SHORT_LINE`].
const MAX_LONG_LINES: usize = 64;

/// The memory that an empty buffer may keep.
const KEPT: usize = 4 << 10;

/// Cuts text into lines. What it hands out are whole lines, as many as there are, each with its line feed; or the rest of one that has no
/// line feed.
#[derive(Debug, Default)]
pub(super) struct Lines {
    rest: BytesMut,
    /// How many bytes of `rest` are known to hold no line feed.
    scanned: usize,
    long: Option<LongLine>,
    /// Whether a line has been cut since the last call of [`Lines::has_cut`].
    cut: bool,
}

impl Lines {
    /// The buffer to read more text into, if it is not pushed.
    pub(super) fn buffer(&mut self, room: usize) -> &mut BytesMut {
        self.rest.reserve(room);
        &mut self.rest
    }

    pub(super) fn push(&mut self, text: &[u8]) {
        self.rest.extend_from_slice(text);
    }

    /// Whether there is no unfinished line.
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// How long the unfinished line is by now.
    pub(super) fn len(&self) -> usize {
        self.rest.len()
    }

    /// Returns the lines that are whole, or a piece of a line that is too long. To be called until it returns None.
    pub(super) fn whole(&mut self) -> Option<Bytes> {
        let end = memchr::memrchr(b'\n', &self.rest[self.scanned..]).map(|at| self.scanned + at + 1);
        let lines = match end {
            Some(end) => {
                self.long = None;
                end
            }
            None if self.may_grow() => {
                self.scanned = self.rest.len();
                return None;
            }
            None => {
                self.cut = true;
                at_character(&self.rest, self.limit())
            }
        };
        Some(self.take(lines))
    }

    /// Returns the unfinished line, as it is.
    pub(super) fn unfinished(&mut self) -> Option<Bytes> {
        self.long = None;
        if self.rest.is_empty() { None } else { Some(self.take(self.rest.len())) }
    }

    /// Whether a line was cut since the last call.
    pub(super) fn has_cut(&mut self) -> bool {
        std::mem::take(&mut self.cut)
    }

    fn limit(&self) -> usize {
        if self.long.is_some() { MAX_LINE } else { SHORT_LINE }
    }

    fn may_grow(&mut self) -> bool {
        if self.rest.len() > SHORT_LINE && self.long.is_none() {
            self.long = LongLine::permit();
        }
        self.rest.len() <= self.limit()
    }

    fn take(&mut self, bytes: usize) -> Bytes {
        self.scanned = 0;
        let taken = self.rest.split_to(bytes).freeze();
        if self.rest.is_empty() && self.rest.capacity() > KEPT {
            self.rest = BytesMut::new();
        }
        taken
    }
}

/// The last place up to `limit` at which no UTF-8 character is cut in two.
fn at_character(text: &[u8], limit: usize) -> usize {
    let is_inside = |at: usize| text.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
    (limit - 3..=limit).rev().find(|at| !is_inside(*at)).unwrap_or(limit)
}

/// The permit for a long line; returned on drop.
#[derive(Debug)]
struct LongLine;

static TAKEN: AtomicUsize = AtomicUsize::new(0);

impl LongLine {
    fn permit() -> Option<Self> {
        let more = |taken| if taken < MAX_LONG_LINES { Some(taken + 1) } else { None };
        TAKEN.fetch_update(Relaxed, Relaxed, more).ok().map(|_| Self)
    }
}

impl Drop for LongLine {
    fn drop(&mut self) {
        TAKEN.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that is handed out for these pieces, with `|` between what comes at a time.
    fn cut(pieces: &[&[u8]]) -> String {
        let mut lines = Lines::default();
        let mut out = Vec::new();
        for piece in pieces {
            lines.push(piece);
            out.extend(std::iter::from_fn(|| lines.whole()));
        }
        out.extend(lines.unfinished());
        out.iter().map(|text| String::from_utf8_lossy(text)).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn lines_are_cut_wherever_the_pieces_end() {
        assert_eq!(cut(&[b"on", b"e\ntw", b"o\n\n", b"three"]), "one\n|two\n\n|three");
        assert_eq!(cut(&[b"a\nb\nc\n"]), "a\nb\nc\n");
        assert_eq!(cut(&[]), "");
    }

    #[test]
    fn a_line_of_a_megabyte_is_one_and_a_longer_one_comes_in_pieces() {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for piece in vec![b'x'; MAX_LINE].chunks(10_000).chain([&b"\n"[..]]) {
            lines.push(piece);
            found.extend(std::iter::from_fn(|| lines.whole()));
        }
        assert_eq!(found.iter().map(Bytes::len).collect::<Vec<_>>(), [MAX_LINE + 1]);
        assert!(!lines.has_cut());
        for _ in 0..300 {
            lines.push(&[b'x'; 10_000]);
            found.extend(std::iter::from_fn(|| lines.whole()));
            assert!(lines.len() <= MAX_LINE, "what is cut is not kept");
        }
        assert_eq!(found[1..].iter().map(Bytes::len).collect::<Vec<_>>(), [MAX_LINE, MAX_LINE]);
        assert!(lines.has_cut() && !lines.has_cut());
    }

    #[test]
    fn no_character_is_cut_in_two() {
        let mut lines = Lines::default();
        lines.push(b"x");
        lines.push("ä".repeat(MAX_LINE).as_bytes());
        let pieces: Vec<Bytes> = std::iter::from_fn(|| lines.whole()).collect();
        assert!(pieces.len() == 2 && pieces.iter().all(|piece| std::str::from_utf8(piece).is_ok()));
    }

    #[test]
    fn many_long_lines_at_a_time_are_cut_earlier() {
        let mut all: Vec<Lines> = (0..2 * MAX_LONG_LINES).map(|_| Lines::default()).collect();
        for lines in &mut all {
            lines.push(&vec![b'x'; SHORT_LINE + 1]);
        }
        let cut = all.iter_mut().filter_map(Lines::whole).count();
        // Other tests may have long lines as well.
        assert!(cut >= MAX_LONG_LINES, "{cut}");
        drop(all);
        let mut lines = Lines::default();
        lines.push(&vec![b'x'; SHORT_LINE + 1]);
        assert!(lines.whole().is_none(), "a place is free again");
    }
}
