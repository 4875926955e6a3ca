//! What a worker prints: handed to the log as it is, in whole lines, and the last lines kept for the message of a failed boot.
//!
//! The runtime's thread does no more with it than to find the ends of lines. What a line means, and what it looks like, is found out on
//! the log's own threads. A worker that prints more than its [`Allowance`] is read more slowly, and what exceeds it is dropped and counted.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{error, warn};

use super::allowance::{Allowance, Amount};
use super::lines::Lines;

/// How many last lines a failed boot shows.
const TAIL: usize = 20;

/// How many bytes of each of them.
const TAIL_LINE: usize = 1000;

/// How long an unfinished line may wait for its end before it is logged as it is.
const UNFINISHED: Duration = Duration::from_millis(500);

/// How often it is told, at most, what was dropped.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// How many bytes are read at once, at least: by each worker that says nothing, and there are many.
const READ: usize = 256;

/// The same in the middle of a line or of a flood: what a pipe holds.
const READ_MORE: usize = 64 << 10;

/// After so many bytes others have their turn.
const TURN: usize = 64 << 10;

/// How long a worker is not read from, after each turn, once its text is dropped: no more than 32 MB per second are read only to be dropped.
pub(super) const PAUSE: Duration = Duration::from_millis(2);

/// Lines of workers that were dropped since this process was started.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Lines of workers that were dropped since this process was started, because they were too many.
pub(crate) fn dropped_lines() -> u64 {
    DROPPED.load(Relaxed)
}

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
    state: Mutex<State>,
    /// Something was dropped, and is to be told.
    dropping: Notify,
}

#[derive(Debug)]
struct State {
    /// The last lines, with their sources.
    tail: VecDeque<(Source, Vec<u8>)>,
    allowance: Allowance,
    /// What was dropped and is not told yet.
    dropped: Amount,
    /// Frames that nobody asked for, and that are not told yet.
    answers: u64,
    /// When it is told what was dropped.
    tell_at: Option<Instant>,
    /// It has been told that lines are cut.
    cut: bool,
}

impl Output {
    pub(crate) fn new(pid: u32) -> Self {
        let state = State {
            tail: VecDeque::new(),
            allowance: Allowance::new(Instant::now()),
            dropped: Amount::default(),
            answers: 0,
            tell_at: None,
            cut: false,
        };
        Self { pid, state: Mutex::new(state), dropping: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs the lines that are whole. False when some were dropped: whoever reads them takes a pause then.
    pub(super) fn log_whole(&self, source: Source, lines: &mut Lines) -> bool {
        let mut all_logged = true;
        while let Some(text) = lines.whole() {
            all_logged &= self.log(source, &text);
        }
        if lines.has_cut() && !std::mem::replace(&mut self.state().cut, true) {
            let limit = super::lines::MAX_LINE;
            warn!(target: "server", pid = self.pid, limit, "a line of this worker's output is too long and is logged in pieces, as are later ones");
        }
        all_logged
    }

    /// Logs what stands there without an end of line.
    pub(super) fn log_unfinished(&self, source: Source, lines: &mut Lines) {
        if let Some(text) = lines.unfinished() {
            self.log(source, &text);
        }
    }

    fn log(&self, source: Source, text: &[u8]) -> bool {
        let passed = {
            let mut state = self.state();
            state.remember(source, text);
            let passed = state.allowance.take(text, Instant::now());
            if passed.len() < text.len() {
                self.note_dropped(&mut state);
            }
            passed
        };
        if !passed.is_empty() {
            // Its level is found out by the log, which drops it if it is not important enough; so it must not be dropped here.
            error!(target: "server", pid = self.pid, stream = source.name(), worker_output = passed);
        }
        passed.len() == text.len()
    }

    fn note_dropped(&self, state: &mut State) {
        let dropped = state.allowance.dropped();
        DROPPED.fetch_add(dropped.lines, Relaxed);
        state.dropped.lines += dropped.lines;
        state.dropped.bytes += dropped.bytes;
        self.tell_soon(state);
    }

    fn tell_soon(&self, state: &mut State) {
        if state.tell_at.is_none() {
            state.tell_at = Some(Instant::now() + TELL_EVERY);
            self.dropping.notify_one();
        }
    }

    /// A frame was dropped that nobody asked for. The first one is told at once, those that follow it soon are counted.
    pub(super) fn dropped_answer(&self, why: &str) {
        let mut state = self.state();
        if state.tell_at.is_some() {
            state.answers += 1;
        } else {
            self.tell_soon(&mut state);
            drop(state);
            warn!(target: "server", pid = self.pid, "{why}");
        }
    }

    /// Says what was dropped, if it is not said yet.
    fn tell(&self) {
        let (dropped, answers) = {
            let mut state = self.state();
            let told = (std::mem::take(&mut state.dropped), std::mem::take(&mut state.answers));
            state.tell_at =
                if told == (Amount::default(), 0) { None } else { Some(Instant::now() + TELL_EVERY) };
            told
        };
        let (pid, Amount { lines, bytes }) = (self.pid, dropped);
        if lines > 0 {
            warn!(target: "server", pid, "dropped {lines} lines ({bytes} bytes) of this worker's output: it prints too much");
        }
        if answers > 0 {
            warn!(target: "server", pid, "dropped {answers} more answers that nobody asked for");
        }
    }

    /// Says again and again what was dropped.
    async fn tell_on(&self) {
        loop {
            let tell_at = self.state().tell_at;
            match tell_at {
                Some(at) => {
                    sleep_until(at).await;
                    // A worker on sockets has two streams, and each of them looks.
                    if self.state().tell_at == Some(at) {
                        self.tell();
                    }
                }
                None => self.dropping.notified().await,
            }
        }
    }

    /// The last lines, oldest first, each with its source in front.
    pub(crate) fn tail(&self) -> Vec<String> {
        let shown = |(source, line): &(Source, Vec<u8>)| {
            format!("{}: {}", source.name(), String::from_utf8_lossy(line).trim_end())
        };
        self.state().tail.iter().map(shown).collect()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.tell();
    }
}

impl State {
    /// Keeps the last lines of `text`.
    fn remember(&mut self, source: Source, text: &[u8]) {
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let lines = memchr::memrchr_iter(b'\n', text);
        let mut end = text.len();
        let mut last: Vec<&[u8]> = Vec::new();
        for start in lines.map(|at| at + 1).chain([0]).take(TAIL) {
            last.push(text[start..end].trim_ascii_end());
            end = start.saturating_sub(1);
        }
        for line in last.iter().rev().filter(|line| !line.is_empty()) {
            if self.tail.len() == TAIL {
                self.tail.pop_front();
            }
            self.tail.push_back((source, line[..line.len().min(TAIL_LINE)].to_vec()));
        }
    }
}

/// Logs all that comes out of `reader`, until its end.
pub(crate) async fn pump(reader: impl AsyncRead + Unpin, source: Source, output: &Output) {
    tokio::select! {
        () = read(reader, source, output) => output.tell(),
        () = output.tell_on() => {}
    }
}

async fn read(mut reader: impl AsyncRead + Unpin, source: Source, output: &Output) {
    let mut lines = Lines::default();
    let (mut room, mut turn) = (READ, 0);
    loop {
        let buffer = lines.buffer(room);
        let next = if buffer.is_empty() {
            reader.read_buf(buffer).await
        } else if let Ok(next) = timeout(UNFINISHED, reader.read_buf(buffer)).await {
            next
        } else {
            output.log_unfinished(source, &mut lines);
            continue;
        };
        let Ok(read @ 1..) = next else { break };
        let all_logged = output.log_whole(source, &mut lines);
        // Who writes much at once is read much at once.
        room = if read >= room || lines.len() >= READ { READ_MORE } else { READ };
        turn += read;
        if turn >= TURN {
            turn = 0;
            if all_logged { tokio::task::yield_now().await } else { sleep(PAUSE).await }
        }
    }
    output.log_unfinished(source, &mut lines);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(pieces: &[&[u8]]) -> Output {
        let (output, mut lines) = (Output::new(1), Lines::default());
        for piece in pieces {
            lines.push(piece);
            output.log_whole(Source::Stderr, &mut lines);
        }
        output.log_unfinished(Source::Stderr, &mut lines);
        output
    }

    #[test]
    fn the_last_lines_are_kept_whatever_came_at_once() {
        assert_eq!(
            printed(&[b"one\ntw", b"o\n\nthree"]).tail(),
            ["stderr: one", "stderr: two", "stderr: three"]
        );
        let many = (0..100).map(|n| n.to_string()).collect::<Vec<_>>().join("\r\n") + "\n";
        let last: Vec<String> = (80..100).map(|n| format!("stderr: {n}")).collect();
        assert_eq!(printed(&[b"before\n", many.as_bytes()]).tail(), last);
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

    #[tokio::test(start_paused = true)]
    async fn what_is_dropped_is_told_once_a_second_and_is_read_slowly() {
        let output = Output::new(1);
        let begun = Instant::now();
        let flood = b"y\n".repeat(1 << 20);
        pump(&flood[..], Source::Stderr, &output).await;
        // 2 MB are 32 turns, of which the first ones are within the allowance.
        let took = begun.elapsed();
        assert!(took >= PAUSE * 28 && took < Duration::from_secs(2), "{took:?}");
        assert_eq!(output.state().dropped, Amount::default(), "told at the end");
        assert!(dropped_lines() > 900_000);
    }

    #[test]
    fn of_many_answers_that_nobody_asked_for_the_first_is_told_and_the_others_are_counted() {
        let output = Output::new(1);
        for _ in 0..1000 {
            output.dropped_answer("dropped an answer");
        }
        assert_eq!(output.state().answers, 999);
        output.tell();
        assert_eq!(output.state().answers, 0);
    }
}
