//! What a worker prints: one log entry per line, and the last lines kept for the message of a failed boot.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tracing::{debug, error, info, warn};

/// Longer lines are logged in pieces of this many bytes.
const MAX_LINE: usize = 64 * 1024;

/// How many last lines a failed boot shows.
const TAIL: usize = 20;

/// How many bytes of each of them.
const TAIL_LINE: usize = 1000;

/// How long an unfinished line may wait for its end before it is logged as it is.
const UNFINISHED: Duration = Duration::from_millis(500);

/// Where the text came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Stdout,
    Stderr,
}

impl Source {
    fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// The log of one worker's text.
#[derive(Debug)]
pub(crate) struct Output {
    pid: u32,
    tail: Mutex<VecDeque<String>>,
}

impl Output {
    pub(crate) fn new(pid: u32) -> Self {
        Self { pid, tail: Mutex::default() }
    }

    /// Logs one line.
    pub(crate) fn line(&self, source: Source, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end();
        if text.is_empty() {
            return;
        }
        self.remember(source, text);
        log(self.pid, source, text);
    }

    fn remember(&self, source: Source, text: &str) {
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        if tail.len() == TAIL {
            tail.pop_front();
        }
        let end = text.floor_char_boundary(TAIL_LINE);
        tail.push_back(format!("{}: {}", source.name(), &text[..end]));
    }

    /// The last lines, oldest first, each with its source in front.
    pub(crate) fn tail(&self) -> Vec<String> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// A line that is JSON with a level keeps its level and its fields; every other is info.
fn log(pid: u32, source: Source, text: &str) {
    let stream = source.name();
    match super::json_line::parse(text) {
        None => info!(target: "server", pid, stream, "{text}"),
        Some(line) => {
            let (message, fields_json) = (line.message, line.fields_json);
            match line.level {
                super::json_line::Level::Error => {
                    error!(target: "server", pid, stream, fields_json, "{message}");
                }
                super::json_line::Level::Warn => {
                    warn!(target: "server", pid, stream, fields_json, "{message}");
                }
                super::json_line::Level::Info => {
                    info!(target: "server", pid, stream, fields_json, "{message}");
                }
                super::json_line::Level::Debug => {
                    debug!(target: "server", pid, stream, fields_json, "{message}");
                }
            }
        }
    }
}

/// Cuts bytes into lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    rest: BytesMut,
}

impl Lines {
    /// Adds bytes; whole lines go to `output`.
    pub(crate) fn push(&mut self, source: Source, bytes: &[u8], output: &Output) {
        self.rest.extend_from_slice(bytes);
        self.cut(source, output);
    }

    /// Logs what stands there without an end of line.
    pub(crate) fn flush(&mut self, source: Source, output: &Output) {
        if !self.rest.is_empty() {
            output.line(source, &self.rest);
            self.rest.clear();
        }
    }

    fn cut(&mut self, source: Source, output: &Output) {
        while let Some(end) = self.rest.iter().take(MAX_LINE).position(|byte| *byte == b'\n') {
            output.line(source, &self.rest[..end]);
            self.rest.advance(end + 1);
        }
        while self.rest.len() >= MAX_LINE {
            output.line(source, &self.rest[..MAX_LINE]);
            self.rest.advance(MAX_LINE);
        }
    }
}

/// How many bytes are read at once, at least: by each worker that says nothing, and there are many; and by one in the middle of a line.
const READ: usize = 256;
const READ_MORE: usize = 4 * 1024;

/// Logs all that comes out of `reader`, until its end.
pub(crate) async fn pump(mut reader: impl AsyncRead + Unpin, source: Source, output: &Output) {
    let mut lines = Lines::default();
    loop {
        lines.rest.reserve(if lines.rest.is_empty() { READ } else { READ_MORE });
        let next = if lines.rest.is_empty() {
            reader.read_buf(&mut lines.rest).await
        } else if let Ok(next) = tokio::time::timeout(UNFINISHED, reader.read_buf(&mut lines.rest)).await {
            next
        } else {
            lines.flush(source, output);
            continue;
        };
        match next {
            Ok(0) | Err(_) => break,
            Ok(_) => lines.cut(source, output),
        }
    }
    lines.flush(source, output);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_wherever_the_pieces_end() {
        let (output, mut lines) = (Output::new(1), Lines::default());
        for piece in ["on", "e\ntw", "o\n\n", "three"] {
            lines.push(Source::Stderr, piece.as_bytes(), &output);
        }
        assert_eq!(output.tail(), ["stderr: one", "stderr: two"]);
        lines.flush(Source::Stderr, &output);
        assert_eq!(output.tail().last().unwrap(), "stderr: three");
    }

    #[test]
    fn an_endless_line_is_logged_in_pieces_and_not_kept() {
        let (output, mut lines) = (Output::new(1), Lines::default());
        for _ in 0..100 {
            lines.push(Source::Stdout, &[b'x'; 10_000], &output);
            assert!(lines.rest.len() < MAX_LINE);
        }
        assert_eq!(output.tail().len(), 15);
    }

    #[tokio::test]
    async fn an_unfinished_line_is_logged_when_the_reader_ends() {
        let output = Output::new(1);
        pump(&b"a\nb"[..], Source::Stderr, &output).await;
        assert_eq!(output.tail(), ["stderr: a", "stderr: b"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_unfinished_line_is_logged_after_a_while_of_silence() {
        let output = Output::new(1);
        let (mut writer, reader) = tokio::io::duplex(64);
        let pumping = pump(reader, Source::Stderr, &output);
        tokio::pin!(pumping);
        tokio::io::AsyncWriteExt::write_all(&mut writer, b"prompt> ").await.unwrap();
        tokio::select! {
            () = &mut pumping => unreachable!("the writer is open"),
            () = tokio::time::sleep(UNFINISHED * 2) => {}
        }
        assert_eq!(output.tail(), ["stderr: prompt>"]);
    }
}
