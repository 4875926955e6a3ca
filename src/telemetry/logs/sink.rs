//! One output, and the thread that writes to it.

use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, Instant};

use super::layer::{Look, Record};
use super::queue::{Job, Load, Lost, Queue};

/// Short lines of one job are written together up to this size: the kernel does not mix such writes to a pipe with those of others
/// (`PIPE_BUF`).
const TOGETHER: usize = 4096;

/// The memory that is kept for the next lines.
const KEPT: usize = 64 << 10;

/// How often it is told, at most, that an output cannot be written to.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// How long an output that somebody else has set not to block is left alone when it is full.
const FULL: Duration = Duration::from_millis(5);

/// An output.
pub(super) struct Sink {
    name: String,
    out: Box<dyn Write + Send>,
    terminal: bool,
    load: Arc<Load>,
    /// Where to tell that this output cannot be written to; none if this is the one.
    stderr: Option<Queue>,
    /// Lines that are to be written together.
    buffer: Vec<u8>,
    lines: u64,
    /// The look of the last line, which the log's own lines have as well.
    look: Arc<Look>,
    failure: Failure,
}

/// What could not be written.
#[derive(Default)]
struct Failure {
    /// Lines that were lost and not told of.
    lost: u64,
    why: String,
    /// A line was written in part.
    torn: bool,
    told: Option<Instant>,
}

impl Sink {
    pub(super) fn new(
        name: String,
        out: Box<dyn Write + Send>,
        terminal: bool,
        load: Arc<Load>,
        stderr: Option<Queue>,
    ) -> Self {
        Self {
            name,
            out,
            terminal,
            load,
            stderr,
            buffer: Vec::new(),
            lines: 0,
            look: Arc::default(),
            failure: Failure::default(),
        }
    }

    /// Writes what comes until the end. An output that cannot be written to, because its reader has gone or its disk is full, loses its
    /// lines, which is told.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            let size = job.size();
            let is_end = matches!(job, Job::End);
            self.write(job);
            // Until now it took memory.
            self.load.written(if is_end { 0 } else { size });
            let dropped = self.load.dropped();
            if dropped > 0 {
                self.note(&format!("{dropped} lines of the log were dropped: its reader is too slow"));
            }
            if is_end {
                break;
            }
        }
        if self.failure.lost > 0 {
            self.tell_lost();
        }
        let _ = self.out.flush();
    }

    fn write(&mut self, job: Job) {
        match job {
            Job::Record(record, look) => {
                self.put(record.write(&look.style, self.terminal).as_bytes());
                self.look = look;
            }
            Job::Worker(text, look) => {
                text.write(&look.style, look.level, self.terminal, |line| self.put(line));
                self.look = look;
            }
            Job::Print(text) => self.put(&text),
            Job::Note(message) => return self.note(&message),
            Job::End => {}
        }
        self.write_out();
        if self.buffer.capacity() > KEPT {
            self.buffer = Vec::new();
        }
    }

    /// A line of the log's own.
    fn note(&mut self, message: &str) {
        let record = Record::of_the_log(message.to_owned());
        let line = record.write(&self.look.style, self.terminal);
        self.put(line.as_bytes());
        self.write_out();
    }

    fn put(&mut self, line: &[u8]) {
        if self.buffer.len() + line.len() > TOGETHER {
            self.write_out();
        }
        self.buffer.extend_from_slice(line);
        self.lines += 1;
    }

    fn write_out(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        if std::mem::take(&mut self.failure.torn) {
            self.buffer.insert(0, b'\n');
        }
        let buffer = std::mem::take(&mut self.buffer);
        let lines = std::mem::take(&mut self.lines);
        let written = self.write_all(&buffer);
        self.buffer = buffer;
        self.buffer.clear();
        match written {
            Ok(()) if self.failure.lost > 0 => self.tell_lost(),
            Ok(()) => {}
            Err((at, error)) => self.failed(lines, at > 0, &error),
        }
    }

    /// On failure also says how many bytes were written.
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut at = 0;
        while at < bytes.len() {
            match self.out.write(&bytes[at..]) {
                Ok(0) => return Err((at, ErrorKind::WriteZero.into())),
                Ok(written) => at += written,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Somebody who shares the terminal or the pipe has set it so.
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(FULL),
                Err(error) => return Err((at, error)),
            }
        }
        Ok(())
    }

    fn failed(&mut self, lines: u64, torn: bool, error: &io::Error) {
        Lost::add_failed(lines);
        let failure = &mut self.failure;
        failure.lost += lines;
        failure.torn |= torn;
        failure.why = error.to_string();
        if failure.told.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
            failure.told = Some(Instant::now());
            let message = format!("lines of the log are lost: cannot write to {}: {error}", self.name);
            if let Some(stderr) = &self.stderr {
                stderr.push(Job::Note(message.into()));
            }
        }
    }

    /// Writes how many lines were lost, now that writing works again.
    fn tell_lost(&mut self) {
        let lost = std::mem::take(&mut self.failure.lost);
        let Self { name, failure, .. } = self;
        let message = format!("{lost} lines of the log were lost: cannot write to {name}: {}", failure.why);
        self.note(&message);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// An output with room for some bytes, which are shared with the test. The next ones fail, once each time it is full.
    struct Disk {
        room: usize,
        written: Arc<Mutex<Vec<u8>>>,
        more: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.room == 0 {
                self.room = std::mem::replace(&mut self.more, usize::MAX);
                return Err(ErrorKind::StorageFull.into());
            }
            let written = bytes.len().min(self.room);
            self.room -= written;
            self.written.lock().unwrap().extend_from_slice(&bytes[..written]);
            Ok(written)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn text(bytes: &Mutex<Vec<u8>>) -> String {
        String::from_utf8_lossy(&bytes.lock().unwrap()).into_owned()
    }

    #[test]
    fn lines_that_a_full_disk_loses_are_counted_and_told_there_and_on_stderr() {
        let (stderr, complaints, _load) = Queue::new();
        let (queue, jobs, load) = Queue::new();
        let written = Arc::new(Mutex::new(Vec::new()));
        // The third line tears, and the fourth one finds no room at all.
        let disk = Disk { room: 10, more: 0, written: Arc::clone(&written) };
        let sink = Sink::new("app.log".into(), Box::new(disk), false, load, Some(stderr));
        for n in 0..6 {
            queue.push(Job::Print(format!("{n}234\n").into_bytes().into()));
        }
        queue.push(Job::Print(b"a longer one\n".as_slice().into()));
        queue.end();
        let before = Lost::to_failures();
        sink.run(&jobs);
        let text = text(&written);
        assert!(text.starts_with("0234\n1234\n4234\n"), "{text}");
        assert!(text.contains("\t2 lines of the log were lost: cannot write to app.log: "), "{text}");
        assert!(text.ends_with("\n5234\na longer one\n"), "{text}");
        assert!(Lost::to_failures() >= before + 2);
        let complaints: Vec<Job> = complaints.try_iter().collect();
        assert_eq!(complaints.len(), 1, "told once");
    }

    #[test]
    fn a_line_that_was_written_in_part_is_ended_before_the_next_one() {
        let (queue, jobs, load) = Queue::new();
        let written = Arc::new(Mutex::new(Vec::new()));
        let disk = Disk { room: 7, more: usize::MAX, written: Arc::clone(&written) };
        for line in ["whole\n", "torn\n", "next\n"] {
            queue.push(Job::Print(line.as_bytes().into()));
        }
        queue.end();
        Sink::new("x".into(), Box::new(disk), false, load, None).run(&jobs);
        let text = text(&written);
        assert!(text.starts_with("whole\nt\nnext\n"), "{text}");
        assert!(text.contains("1 lines of the log were lost"), "{text}");
    }

    #[test]
    fn a_pipe_that_somebody_has_set_not_to_block_loses_nothing() {
        let (mut reader, writer) = io::pipe().unwrap();
        nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK)).unwrap();
        let (queue, jobs, load) = Queue::new();
        queue.push(Job::Print(vec![b'x'; 1 << 20].into()));
        queue.end();
        let sink = Sink::new(
            "x".into(),
            Box::new(std::fs::File::from(std::os::fd::OwnedFd::from(writer))),
            false,
            load,
            None,
        );
        let writing = thread::spawn(move || sink.run(&jobs));
        let mut read = Vec::new();
        io::Read::read_to_end(&mut reader, &mut read).unwrap();
        writing.join().unwrap();
        assert_eq!(read.len(), 1 << 20);
    }
}
