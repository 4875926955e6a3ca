//! Where lines go. Each output has a thread of its own, so that a blocked one delays no other.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Write};
use std::os::fd::AsFd as _;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::config::{Config, Output, file_path};
use super::error::Error;
use super::queue::{Job, Load, Queue};
use super::rotate::RotatingFile;
use super::sink::Sink;

/// How long shutdown waits for readers of the log that do not read: for all outputs but stderr, and then for that one.
const PATIENCE: Duration = Duration::from_secs(1);

/// The outputs of all channels, one for each name. Standard error and output are always among them.
#[derive(Default)]
pub(super) struct Outputs {
    /// Those that are open already, by name.
    known: Vec<(String, Queue)>,
    opened: Vec<Opened>,
}

struct Opened {
    name: String,
    /// The name as messages show it.
    shown: String,
    out: Box<dyn Write + Send>,
    queue: Queue,
    jobs: Receiver<Job>,
    load: Arc<Load>,
}

impl Outputs {
    /// Outputs some of which may be open already.
    pub(super) fn beside(open: &Guard) -> Self {
        Self { known: open.known(), opened: Vec::new() }
    }

    /// Opens the outputs of a channel.
    pub(super) fn of(&mut self, config: &Config, channel: &str) -> Result<Vec<Queue>, Error> {
        let outputs = config.keys(channel);
        if outputs.is_empty() {
            return Ok(vec![self.named("stderr", "stderr").map_err(Error::Thread)?]);
        }
        let open = |(key, output): (String, Output<'_>)| {
            let name = output.to_string();
            let shown = config.shown(&name);
            let opened = match output {
                Output::Named(_) => self.named(&name, &shown),
                Output::Rotated(file) => {
                    self.add(&name, &shown, || Ok(Box::new(RotatingFile::open(file.clone())?)))
                }
            };
            opened.map_err(|cause| Error::Open { key, path: shown, cause })
        };
        outputs.into_iter().map(open).collect()
    }

    fn named(&mut self, name: &str, shown: &str) -> io::Result<Queue> {
        self.add(name, shown, || {
            Ok(match name {
                "stderr" => Box::new(io::stderr()),
                // Not through Rust's own buffer, which would be flushed once more, and block, when the process exits.
                "stdout" => Box::new(File::from(io::stdout().as_fd().try_clone_to_owned()?)),
                path => Box::new(OpenOptions::new().create(true).append(true).open(file_path(path))?),
            })
        })
    }

    fn add(
        &mut self,
        name: &str,
        shown: &str,
        open: impl FnOnce() -> io::Result<Box<dyn Write + Send>>,
    ) -> io::Result<Queue> {
        if let Some((_, queue)) = self.known.iter().find(|(known, _)| known == name) {
            return Ok(queue.clone());
        }
        if let Some(opened) = self.opened.iter().find(|opened| opened.name == name) {
            return Ok(opened.queue.clone());
        }
        let out = open()?;
        let (queue, jobs, load) = Queue::new();
        let (name, shown) = (name.to_owned(), shown.to_owned());
        self.opened.push(Opened { name, shown, out, queue: queue.clone(), jobs, load });
        Ok(queue)
    }

    /// Starts a thread for each output.
    pub(super) fn start(mut self) -> io::Result<(Console, Guard)> {
        let console =
            Console { stdout: self.named("stdout", "stdout")?, stderr: self.named("stderr", "stderr")? };
        let stderr = console.stderr.clone();
        let writers =
            self.opened.into_iter().map(|opened| opened.start(&stderr)).collect::<io::Result<_>>()?;
        Ok((console, Guard { writers: Mutex::new(writers), patience: PATIENCE }))
    }

    /// Starts a thread for each output that was not open already. The `guard` writes their remaining lines as well.
    pub(super) fn join(mut self, guard: &Guard) -> io::Result<()> {
        let stderr = self.named("stderr", "stderr")?;
        for opened in self.opened {
            let writer = opened.start(&stderr)?;
            guard.writers().push(writer);
        }
        Ok(())
    }
}

impl Opened {
    /// Starts its thread, which reports failures to write to standard error.
    fn start(self, stderr: &Queue) -> io::Result<Writer> {
        let Self { name, shown, out, queue, jobs, load } = self;
        let stderr = if name == STDERR { None } else { Some(stderr.clone()) };
        let sink = Sink::new(shown, out, has_colours(&name), load, stderr);
        let (finished, done) = channel();
        std::thread::Builder::new().name("log".into()).spawn(move || {
            sink.run(&jobs);
            let _ = finished.send(());
        })?;
        Ok(Writer { name, queue, done })
    }
}

/// The output whose thread ends last, since failures of the others are reported there.
const STDERR: &str = "stderr";

fn has_colours(name: &str) -> bool {
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let terminal = match name {
        "stderr" => io::stderr().is_terminal(),
        "stdout" => io::stdout().is_terminal(),
        _ => false,
    };
    terminal && wanted
}

/// Standard output and error, behind the log's queues.
#[derive(Debug)]
pub(super) struct Console {
    stdout: Queue,
    stderr: Queue,
}

/// The console of this process, once its log is set up.
static CONSOLE: OnceLock<Console> = OnceLock::new();

impl Console {
    /// Makes [`print()`] write here.
    pub(super) fn install(self) {
        let _ = CONSOLE.set(self);
    }
}

/// One of the standard streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// Writes a text as it is, after what is queued for that stream. Never waits; a text for which there is no room is dropped and counted.
/// Returns whether there was room.
pub(crate) fn print(stream: Stream, text: &str) -> bool {
    let job = Job::Print(text.as_bytes().into());
    match (CONSOLE.get(), stream) {
        (Some(console), Stream::Stdout) => console.stdout.push(job),
        (Some(console), Stream::Stderr) => console.stderr.push(job),
        // Without a log, as in tests, this does not wait either.
        (None, _) => {
            let text = text.to_owned();
            std::thread::spawn(move || match stream {
                Stream::Stdout => io::stdout().write_all(text.as_bytes()),
                Stream::Stderr => io::stderr().write_all(text.as_bytes()),
            });
            true
        }
    }
}

/// Writes the remaining lines when it is dropped.
#[derive(Debug)]
#[must_use = "the last lines are lost without it"]
pub(super) struct Guard {
    writers: Mutex<Vec<Writer>>,
    patience: Duration,
}

/// The thread of one output.
#[derive(Debug)]
struct Writer {
    name: String,
    queue: Queue,
    done: Receiver<()>,
}

impl Guard {
    fn writers(&self) -> MutexGuard<'_, Vec<Writer>> {
        self.writers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> Vec<(String, Queue)> {
        self.writers().iter().map(|writer| (writer.name.clone(), writer.queue.clone())).collect()
    }

    /// Writes the remaining lines, even if the machine is busy with other tests.
    #[cfg(test)]
    pub(super) fn finish(mut self, within: Duration) {
        self.patience = within;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let writers = std::mem::take(&mut *self.writers());
        let (stderr, others): (Vec<_>, Vec<_>) =
            writers.into_iter().partition(|writer| writer.name == STDERR);
        for writers in [others, stderr] {
            for writer in &writers {
                writer.queue.close();
            }
            let deadline = Instant::now() + self.patience;
            for writer in writers {
                let _ = writer.done.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            }
        }
    }
}
