//! Where in its code a worker is, as it says itself when it is asked by a signal.

use std::ops::Range;

use nix::sys::signal::Signal;

/// How a worker is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bell {
    pub(super) signal: Signal,
    /// The thread that waits for it; without one, whatever the worker does is interrupted.
    pub(super) thread: Option<u32>,
}

/// Where in its code a worker is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub(crate) struct Backtrace {
    /// The innermost place: file, line and function.
    #[serde(rename = "backtrace")]
    pub(crate) place: String,
    /// The places that led there.
    pub(crate) stack: String,
}

/// What a worker's answer begins with.
const BEGINNING: &[u8] = b"{\"backtrace\":";

/// Finds an answer in whole lines, and which of the bytes are its line.
pub(super) fn find(text: &[u8]) -> Option<(Range<usize>, Backtrace)> {
    memchr::memmem::find_iter(text, BEGINNING).find_map(|start| {
        let begins = start == 0 || text[start - 1] == b'\n';
        let end = start + memchr::memchr(b'\n', &text[start..]).filter(|_| begins)? + 1;
        Some((start..end, serde_json::from_slice(&text[start..end]).ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_line_with_both_texts_is_an_answer() {
        let answer = "{\"backtrace\": \"a.py:1 in f\", \"stack\": \"m > f\", \"level\": \"info\"}\n";
        let others = [
            "{\"backtrace\": [\"a\"], \"stack\": \"m\"}\n",
            "{\"backtrace\": \"its own\"}\n",
            "{\"backtrace\":\n",
        ];
        let text = format!("{}x{answer}{answer}after\n", others.concat());
        let (line, found) = find(text.as_bytes()).unwrap();
        assert_eq!(line.start, others.concat().len() + 1 + answer.len());
        assert_eq!(&text[line], answer);
        assert_eq!((&*found.place, &*found.stack), ("a.py:1 in f", "m > f"));
        for other in others.iter().copied().chain([answer.trim_end(), "nothing\n"]) {
            assert_eq!(find(other.as_bytes()), None, "{other}");
        }
    }
}
