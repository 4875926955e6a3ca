//! Where lines go, and the thread that writes them.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal as _, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::Error;
use super::config::Channel;
use super::rotate::RotatingFile;

/// Bytes of lines that may wait to be written: the application's own lines can be long. One line may always wait.
const MAX_WAITING: usize = 64 << 20;

/// What a short line counts as, in bytes, so that no more than 16 Ki lines wait.
const SHORT_LINE: usize = 4 << 10;

/// How long the end may wait for a reader of the log that does not read.
const PATIENCE: Duration = Duration::from_secs(2);

/// An output, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SinkId {
    number: usize,
    terminal: bool,
}

impl SinkId {
    pub(super) fn is_terminal(self) -> bool {
        self.terminal
    }
}

/// The outputs of all channels; those of one name are one.
#[derive(Default)]
pub(super) struct Outputs {
    sinks: Vec<(String, Box<dyn Write + Send>)>,
}

impl Outputs {
    /// Opens the outputs of a channel.
    pub(super) fn of(&mut self, channel: &Channel) -> Result<Vec<SinkId>, Error> {
        if let Some(options) = &channel.file_logger_options {
            let path = options.log_output.display().to_string();
            return Ok(vec![self.add(&path, || Ok(Box::new(RotatingFile::open(options.clone())?)))?]);
        }
        if channel.output.is_empty() {
            return Ok(vec![self.named("stderr")?]);
        }
        channel.output.iter().map(|name| self.named(name)).collect()
    }

    fn named(&mut self, name: &str) -> Result<SinkId, Error> {
        self.add(name, || {
            Ok(match name {
                "stderr" => Box::new(io::stderr()),
                "stdout" => Box::new(io::stdout()),
                path => Box::new(OpenOptions::new().create(true).append(true).open(path)?),
            })
        })
    }

    fn add(
        &mut self,
        name: &str,
        open: impl FnOnce() -> io::Result<Box<dyn Write + Send>>,
    ) -> Result<SinkId, Error> {
        let number = if let Some(number) = self.sinks.iter().position(|(other, _)| other == name) {
            number
        } else {
            let sink = open().map_err(|source| Error::Open { path: name.to_owned(), source })?;
            self.sinks.push((name.to_owned(), sink));
            self.sinks.len() - 1
        };
        let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let terminal = match name {
            "stderr" => io::stderr().is_terminal(),
            "stdout" => io::stdout().is_terminal(),
            _ => false,
        };
        Ok(SinkId { number, terminal: terminal && colours })
    }

    /// Starts the thread that writes.
    pub(super) fn start(self) -> io::Result<(Queue, Guard)> {
        // Bounded by what is in it: a bounded channel would take the memory of all its places at once.
        let (sender, lines) = channel();
        let (done, ended) = channel();
        let load = Arc::new(Load::default());
        let queue = Queue { sender: sender.clone(), load: Arc::clone(&load) };
        std::thread::Builder::new().name("log".into()).spawn(move || {
            write(self.sinks, &lines, &load);
            let _ = done.send(());
        })?;
        Ok((queue, Guard { sender, ended }))
    }
}

enum Job {
    Line(usize, String),
    End,
}

/// Takes lines and never waits.
#[derive(Debug)]
pub(super) struct Queue {
    sender: Sender<Job>,
    load: Arc<Load>,
}

/// What is under way to the writer, and what did not fit.
#[derive(Debug, Default)]
struct Load {
    /// What the lines count as that are not written yet.
    waiting: AtomicUsize,
    /// Lines.
    dropped: AtomicU64,
}

impl Queue {
    pub(super) fn push(&self, sink: SinkId, line: String) {
        let Load { waiting, dropped } = &*self.load;
        let size = size(&line);
        let before = waiting.fetch_add(size, Relaxed);
        let fits = before == 0 || before.saturating_add(size) <= MAX_WAITING;
        if !fits || self.sender.send(Job::Line(sink.number, line)).is_err() {
            waiting.fetch_sub(size, Relaxed);
            dropped.fetch_add(1, Relaxed);
        }
    }
}

/// Writes what is left when it is dropped.
#[derive(Debug)]
#[must_use = "the last lines are lost without it"]
pub struct Guard {
    sender: Sender<Job>,
    ended: Receiver<()>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.sender.send(Job::End);
        let _ = self.ended.recv_timeout(PATIENCE);
    }
}

/// What a line counts as, in bytes.
fn size(line: &str) -> usize {
    line.len().max(SHORT_LINE)
}

/// Writes lines until the end. An output that cannot be written to, because its reader has gone or its disk is full, loses its lines.
fn write(mut sinks: Vec<(String, Box<dyn Write + Send>)>, lines: &Receiver<Job>, load: &Load) {
    while let Ok(Job::Line(sink, line)) = lines.recv() {
        let Some((_, sink)) = sinks.get_mut(sink) else { continue };
        let _ = sink.write_all(line.as_bytes());
        // Until now it took memory.
        load.waiting.fetch_sub(size(&line), Relaxed);
        let lost = load.dropped.swap(0, Relaxed);
        if lost > 0 {
            let _ = writeln!(sink, "{lost} lines of the log were dropped: its reader is too slow");
        }
    }
    for (_, sink) in &mut sinks {
        let _ = sink.flush();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// An output that is read when it is told to be; it notes how long each write was.
    struct Slow {
        gate: Receiver<()>,
        begun: Sender<()>,
        written: Arc<Mutex<Vec<usize>>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.begun.send(());
            // An error means that the gate is open for good.
            let _ = self.gate.recv();
            self.written.lock().unwrap().push(bytes.len());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn no_more_short_lines_wait_than_a_bound_allows() {
        let (sender, lines) = channel();
        let queue = Queue { sender, load: Arc::default() };
        let sink = SinkId { number: 0, terminal: false };
        for _ in 0..20_000 {
            queue.push(sink, "short".into());
        }
        assert_eq!(lines.try_iter().count(), 16 << 10);
        assert_eq!(queue.load.dropped.load(Relaxed), 20_000 - (16 << 10));
    }

    #[test]
    fn long_lines_are_dropped_and_counted_while_nobody_reads() {
        let (open, gate) = channel();
        let (begun, writing) = channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let mut outputs = Outputs::default();
        let slow = Slow { gate, begun, written: Arc::clone(&written) };
        outputs.sinks.push(("slow".into(), Box::new(slow)));
        let (queue, guard) = outputs.start().unwrap();
        let sink = SinkId { number: 0, terminal: false };
        // One line may be of any length.
        queue.push(sink, "x".repeat(MAX_WAITING + 1));
        writing.recv().unwrap();
        queue.push(sink, "dropped".into());
        open.send(()).unwrap();
        drop(open);
        drop(guard);
        let lost = "1 lines of the log were dropped: its reader is too slow\n";
        let written = written.lock().unwrap();
        assert_eq!(written[0], MAX_WAITING + 1);
        assert_eq!(written[1..].iter().sum::<usize>(), lost.len());
        assert_eq!(queue.load.waiting.load(Relaxed), 0);
    }
}
