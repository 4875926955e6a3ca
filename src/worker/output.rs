//! What a worker prints: handed to the log as it is, in whole lines; the last lines are kept for the message of a failed boot.
//!
//! The runtime's thread only finds the ends of lines. What a line means and what it looks like is found out on the log's own threads. A
//! worker that prints more than its [`Allowance`] is read more slowly, and what exceeds it is dropped and counted.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::os::fd::RawFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::io::poll_read_buf;
use tracing::{error, warn};

use super::allowance::{Allowance, Amount};
use super::backtrace::{self, Backtrace};
use super::lines::Lines;
use super::marks::Marks;
use super::waste::{Dropped, Waste};
use crate::request_type::RequestType;
use crate::telemetry::logs::Lost;
use crate::telemetry::trace::TraceId;

/// How many last lines a failed boot shows.
const TAIL: usize = 20;

/// How many bytes of each of them.
const TAIL_LINE: usize = 1000;

/// How long an unfinished line may wait for its end before it is logged as it is.
const UNFINISHED: Duration = Duration::from_millis(500);

/// The same for what may be an unfinished JSON object, which would lose its level and fields.
const UNFINISHED_RECORD: Duration = Duration::from_secs(30);

/// How often, at most, dropped output is reported.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// How many bytes are read at once, at least: of each worker, and most are silent.
const READ: usize = 256;

/// The same in the middle of a line or of a flood: what a pipe holds.
const READ_MORE: usize = 64 << 10;

/// After this many bytes other tasks have their turn.
const TURN: usize = 64 << 10;

/// How long a worker is not read from, after each turn, once its text is dropped: no more than 32 MB per second are read only to be dropped.
pub(super) const PAUSE: Duration = Duration::from_millis(2);

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
    /// Something was dropped, and is to be reported.
    dropping: Notify,
    waste: Arc<Waste>,
    /// The trace that text belongs to.
    pub(super) marks: Marks,
}

#[derive(Debug)]
struct State {
    /// The last lines, with their sources.
    tail: VecDeque<(Source, Vec<u8>)>,
    allowance: Allowance,
    /// What was dropped and is not reported yet.
    dropped: Amount,
    /// Unrequested answers that were dropped and are not reported yet.
    answers: u64,
    /// Who has asked the worker where in its code it is.
    backtrace: Option<oneshot::Sender<Backtrace>>,
    /// When the next report is due.
    report_at: Option<Instant>,
    /// That lines are cut was logged.
    cut: bool,
}

impl Output {
    /// Counts in `waste` what is sent in vain.
    pub(crate) fn new(pid: u32, waste: Arc<Waste>) -> Self {
        let state = State {
            tail: VecDeque::new(),
            allowance: Allowance::new(Instant::now()),
            dropped: Amount::default(),
            answers: 0,
            backtrace: None,
            report_at: None,
            cut: false,
        };
        let (state, marks) = (Mutex::new(state), Marks::default());
        Self { pid, state, dropping: Notify::new(), waste, marks }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs the lines that are whole, of this trace. False when some were dropped: their reader pauses then.
    pub(super) fn log_whole(&self, source: Source, lines: &mut Lines, trace: Option<TraceId>) -> bool {
        let mut all_logged = true;
        while let Some(text) = lines.whole() {
            all_logged &= self.log(source, &text, trace);
        }
        if lines.has_cut() && !std::mem::replace(&mut self.state().cut, true) {
            let limit = super::lines::MAX_LINE;
            warn!(target: "server", pid = self.pid, limit, "worker output line too long: splitting it, and later ones");
        }
        all_logged
    }

    /// Logs an unfinished line, of this trace.
    pub(super) fn log_unfinished(&self, source: Source, lines: &mut Lines, trace: Option<TraceId>) {
        if let Some(text) = lines.unfinished() {
            self.log(source, &text, trace);
        }
    }

    /// The worker is about to be asked where in its code it is. Its answer, a line on standard error, is not logged then.
    pub(super) fn expect_backtrace(&self) -> oneshot::Receiver<Backtrace> {
        let (asked, answer) = oneshot::channel();
        self.state().backtrace = Some(asked);
        answer
    }

    fn log(&self, source: Source, text: &[u8], trace: Option<TraceId>) -> bool {
        let rest;
        let mut text = text;
        let passed = {
            let mut state = self.state();
            if source == Source::Stderr
                && state.backtrace.as_ref().is_some_and(|asked| !asked.is_closed())
                && let Some((line, answer)) = backtrace::find(text)
                && let Some(asked) = state.backtrace.take()
            {
                rest = [&text[..line.start], &text[line.end..]].concat();
                let _ = asked.send(answer);
                text = &rest;
            }
            state.remember(source, text);
            let passed = state.allowance.take(text, Instant::now());
            if passed.len() < text.len() {
                self.note_dropped(&mut state);
            }
            passed
        };
        if !passed.is_empty() {
            // The log finds out its level, and drops it if that is disabled; so it must not be filtered here.
            let trace_id = trace.map(tracing::field::display);
            error!(target: "server", pid = self.pid, stream = source.name(), trace_id, worker_output = passed);
        }
        passed.len() == text.len()
    }

    fn note_dropped(&self, state: &mut State) {
        let dropped = state.allowance.dropped();
        Lost::WorkerLimit.count(dropped.lines);
        state.dropped.lines += dropped.lines;
        state.dropped.bytes += dropped.bytes;
        self.report_soon(state);
    }

    fn report_soon(&self, state: &mut State) {
        if state.report_at.is_none() {
            state.report_at = Some(Instant::now() + REPORT_EVERY);
            self.dropping.notify_one();
        }
    }

    /// Text has come between frames.
    pub(super) fn count_noise(&self, bytes: usize) {
        self.waste.noise(bytes);
    }

    /// A frame was dropped, which is logged elsewhere.
    pub(super) fn count_dropped(&self, reason: Dropped) {
        self.waste.frame(reason);
    }

    /// Logs that an answer was dropped, to a request of this type if that is known. The first one is logged at once, those that follow it
    /// soon are counted.
    pub(super) fn dropped_answer(&self, why: &str, reason: Dropped, kind: Option<RequestType>) {
        self.count_dropped(reason);
        let mut state = self.state();
        if state.report_at.is_some() {
            state.answers += 1;
        } else {
            self.report_soon(&mut state);
            drop(state);
            warn!(target: "server", pid = self.pid, r#type = kind.map(RequestType::name), "{why}");
        }
    }

    /// Logs what was dropped since the last report.
    fn report(&self) {
        let (dropped, answers) = {
            let mut state = self.state();
            let unreported = (std::mem::take(&mut state.dropped), std::mem::take(&mut state.answers));
            state.report_at =
                if unreported == (Amount::default(), 0) { None } else { Some(Instant::now() + REPORT_EVERY) };
            unreported
        };
        let (pid, Amount { lines, bytes }) = (self.pid, dropped);
        if lines > 0 {
            warn!(target: "server", pid, lines, bytes, "worker output dropped");
        }
        if answers > 0 {
            warn!(target: "server", pid, answers, "more unrequested answers dropped");
        }
    }

    /// Reports from time to time. Only for one task, which lives as long as the worker.
    pub(super) async fn keep_reporting(&self) {
        loop {
            let report_at = self.state().report_at;
            match report_at {
                Some(at) => {
                    sleep_until(at).await;
                    self.report();
                }
                None => self.dropping.notified().await,
            }
        }
    }

    /// Returns the last lines, oldest first, each with its source in front.
    pub(crate) fn tail(&self) -> Vec<String> {
        let shown = |(source, line): &(Source, Vec<u8>)| {
            format!("{}: {}", source.name(), String::from_utf8_lossy(line).trim_end())
        };
        self.state().tail.iter().map(shown).collect()
    }

    /// Returns the last lines that fit into this many bytes, without their sources.
    pub(super) fn last_words(&self, most: usize) -> String {
        self.last(most, |_| true)
    }

    /// The same for standard error alone.
    pub(super) fn last_errors(&self, most: usize) -> String {
        self.last(most, |source| source == Source::Stderr)
    }

    fn last(&self, most: usize, is_wanted: impl Fn(Source) -> bool) -> String {
        let mut lines: Vec<String> = Vec::new();
        let mut room = most;
        for (_, line) in self.state().tail.iter().rev().filter(|(source, _)| is_wanted(*source)) {
            let line = String::from_utf8_lossy(line).into_owned();
            let Some(rest) = room.checked_sub(line.len() + 1) else { break };
            room = rest;
            lines.push(line);
        }
        lines.reverse();
        lines.join("\n")
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.report();
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

/// Logs all that `reader` yields, until its end. `pipe` is its descriptor.
pub(crate) async fn pump(
    mut reader: impl AsyncRead + Unpin,
    pipe: Option<RawFd>,
    source: Source,
    output: &Output,
) {
    let _reading = output.marks.reading(pipe);
    let mut lines = Lines::default();
    let (mut room, mut turn) = (READ, 0);
    // The trace of an unfinished line.
    let mut begun = None;
    loop {
        let buffer = lines.buffer(room);
        let is_new = buffer.is_empty();
        let wait = if is_new { None } else { Some(patience(buffer)) };
        let mut mark = 0;
        let reading = poll_fn(|cx| {
            mark = output.marks.number();
            poll_read_buf(Pin::new(&mut reader), cx, buffer)
        });
        let next = match wait {
            None => Ok(reading.await),
            Some(wait) => timeout(wait, reading).await,
        };
        let Ok(next) = next else {
            output.log_unfinished(source, &mut lines, begun);
            continue;
        };
        let Ok(read @ 1..) = next else { break };
        let trace = output.marks.trace(mark).filter(|trace| is_new || begun == Some(*trace));
        begun = trace;
        let all_logged = output.log_whole(source, &mut lines, trace);
        // A worker that writes much at once is read much at once.
        room = if read >= room || lines.len() >= READ { READ_MORE } else { READ };
        turn += read;
        if turn >= TURN {
            turn = 0;
            if all_logged { tokio::task::yield_now().await } else { sleep(PAUSE).await }
        }
    }
    output.log_unfinished(source, &mut lines, begun);
    output.report();
}

/// How long an unfinished line waits for more of it.
fn patience(line: &[u8]) -> Duration {
    if line.trim_ascii_start().starts_with(b"{") { UNFINISHED_RECORD } else { UNFINISHED }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(pieces: &[&[u8]]) -> Output {
        let (output, mut lines) = (Output::new(1, Arc::default()), Lines::default());
        for piece in pieces {
            lines.push(piece);
            output.log_whole(Source::Stderr, &mut lines, None);
        }
        output.log_unfinished(Source::Stderr, &mut lines, None);
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
        let output = Output::new(1, Arc::default());
        pump(&b"a\nb"[..], None, Source::Stderr, &output).await;
        assert_eq!(output.tail(), ["stderr: a", "stderr: b"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_unfinished_line_is_logged_after_some_silence() {
        let output = Output::new(1, Arc::default());
        let (mut writer, reader) = tokio::io::duplex(64);
        let pumping = pump(reader, None, Source::Stderr, &output);
        tokio::pin!(pumping);
        tokio::io::AsyncWriteExt::write_all(&mut writer, b"prompt> ").await.unwrap();
        tokio::select! {
            () = &mut pumping => unreachable!("the writer is open"),
            () = tokio::time::sleep(UNFINISHED * 2) => {}
        }
        assert_eq!(output.tail(), ["stderr: prompt>"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_written_with_pauses_is_one_line_unless_it_never_ends() {
        let output = Output::new(1, Arc::default());
        let (mut writer, reader) = tokio::io::duplex(64);
        let writing = async {
            for piece in ["{\"level\":", "\"error\",\"msg\":\"", "x\"}\n", "{ prompt"] {
                tokio::io::AsyncWriteExt::write_all(&mut writer, piece.as_bytes()).await.unwrap();
                sleep(UNFINISHED * 3).await;
            }
            assert_eq!(output.tail(), ["stderr: {\"level\":\"error\",\"msg\":\"x\"}"]);
            sleep(UNFINISHED_RECORD).await;
        };
        tokio::select! {
            () = pump(reader, None, Source::Stderr, &output) => unreachable!("the writer is open"),
            () = writing => {}
        }
        assert_eq!(output.tail()[1..], ["stderr: { prompt"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_read_slowly_and_what_is_dropped_is_reported_once_a_second() {
        let output = Output::new(1, Arc::default());
        let begun = Instant::now();
        let flood = b"y\n".repeat(1 << 20);
        pump(&flood[..], None, Source::Stderr, &output).await;
        // 2 MB are 32 turns, of which the first ones are within the allowance.
        let took = begun.elapsed();
        assert!(took >= PAUSE * 28 && took < Duration::from_secs(2), "{took:?}");
        assert_eq!(output.state().dropped, Amount::default(), "reported at the end");
        assert!(Lost::WorkerLimit.lines() > 900_000);
    }

    #[test]
    fn an_answer_to_the_server_is_not_logged_and_all_else_is() {
        let output = Output::new(1, Arc::default());
        let mut asked = output.expect_backtrace();
        let answer = b"{\"backtrace\":\"a:1 in f\",\"stack\":\"f\"}\n";
        output.log(Source::Stdout, answer, None);
        output.log(Source::Stderr, b"{\"backtrace\":[]}\n", None);
        assert!(asked.try_recv().is_err());
        output.log(Source::Stderr, &[b"before\n", &answer[..], b"after\n"].concat(), None);
        assert_eq!(asked.try_recv().unwrap().place, "a:1 in f");
        output.log(Source::Stderr, answer, None);
        let text = str::from_utf8(answer).unwrap().trim_end();
        let expected = [
            &*format!("stdout: {text}"),
            "stderr: {\"backtrace\":[]}",
            "stderr: before",
            "stderr: after",
            &*format!("stderr: {text}"),
        ];
        assert_eq!(output.tail(), expected);
    }

    #[test]
    fn of_many_unrequested_answers_the_first_is_logged_and_the_others_are_counted() {
        let output = Output::new(1, Arc::default());
        for _ in 0..1000 {
            output.dropped_answer("dropped an answer", Dropped::Surplus, Some(RequestType::of("rpc")));
        }
        assert_eq!(output.state().answers, 999);
        output.report();
        assert_eq!(output.state().answers, 0);
    }
}
