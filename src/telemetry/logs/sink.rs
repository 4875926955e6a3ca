//! One output, and the thread that writes to it.

use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::lost::Lost;
use super::queue::{Job, Load, Queue};
use super::record::{Format, Record};

/// Short lines of one job are written together up to this size: writes of up to `PIPE_BUF` bytes to a pipe are atomic.
const TOGETHER: usize = 4096;

/// A buffer larger than this is released after each job.
const KEPT: usize = 64 << 10;

/// An output that cannot be written to is reported this often at most.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// The pause before the next write to a full output that another process has set to non-blocking.
const FULL: Duration = Duration::from_millis(5);

/// An output.
pub(super) struct Sink {
    name: String,
    out: Box<dyn Write + Send>,
    terminal: bool,
    load: Arc<Load>,
    /// Where failures of this output are reported; none for standard error itself.
    stderr: Option<Queue>,
    /// Lines to be written together.
    buffer: Vec<u8>,
    lines: u64,
    /// The format of the last line; the log's own lines have the same.
    format: Arc<Format>,
    failure: Failure,
}

/// What could not be written.
#[derive(Default)]
struct Failure {
    /// Lines that were lost and not reported yet.
    lost: u64,
    error: String,
    /// The last line was written in part.
    torn: bool,
    reported: Option<Instant>,
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
            format: Arc::default(),
            failure: Failure::default(),
        }
    }

    /// Writes jobs until it is closed. While the output cannot be written to, because its reader is gone or its disk is full, its lines
    /// are lost, counted and reported.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            let size = job.size();
            let is_last = matches!(job, Job::Close);
            self.write(job);
            // It was never added for the last one.
            self.load.written(if is_last { 0 } else { size });
            let dropped = self.load.dropped();
            if dropped > 0 {
                let fields = [("lines", dropped.into()), ("reason", "slow reader".into())];
                self.note(&Record::warning("log lines dropped", fields));
            }
            if is_last {
                break;
            }
        }
        if self.failure.lost > 0 {
            self.report_lost();
        }
        let _ = self.out.flush();
    }

    fn write(&mut self, job: Job) {
        match job {
            Job::Record(record, format) => {
                self.put(record.write(&format.style, self.terminal).as_bytes());
                self.format = format;
            }
            Job::Worker(text, format) => {
                text.write(&format.style, format.level, self.terminal, |line| self.put(line));
                self.format = format;
            }
            Job::Print(text) => self.put(&text),
            Job::Note(record) => return self.note(&record),
            Job::Close => {}
        }
        self.write_out();
        if self.buffer.capacity() > KEPT {
            self.buffer = Vec::new();
        }
    }

    /// A line of the log about itself.
    fn note(&mut self, record: &Record) {
        let line = record.write(&self.format.style, self.terminal);
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
            Ok(()) if self.failure.lost > 0 => self.report_lost(),
            Ok(()) => {}
            Err((at, error)) => self.failed(lines, at > 0, &error),
        }
    }

    /// On failure, also returns how many bytes were written.
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut at = 0;
        while at < bytes.len() {
            match self.out.write(&bytes[at..]) {
                Ok(0) => return Err((at, ErrorKind::WriteZero.into())),
                Ok(written) => at += written,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Another process that shares the terminal or the pipe has set it to non-blocking.
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(FULL),
                Err(error) => return Err((at, error)),
            }
        }
        Ok(())
    }

    fn failed(&mut self, lines: u64, torn: bool, error: &io::Error) {
        Lost::WriteFailed.count(lines);
        let failure = &mut self.failure;
        failure.lost += lines;
        failure.torn |= torn;
        failure.error = error.to_string();
        if failure.reported.is_none_or(|at| at.elapsed() >= REPORT_INTERVAL) {
            failure.reported = Some(Instant::now());
            let fields = [("output", Value::from(&*self.name)), ("error", error.to_string().into())];
            if let Some(stderr) = &self.stderr {
                stderr.push(Job::Note(Arc::new(Record::warning("cannot write the log", fields))));
            }
        }
    }

    /// Writes how many lines were lost, now that writing works again.
    fn report_lost(&mut self) {
        let lost = std::mem::take(&mut self.failure.lost);
        let error = std::mem::take(&mut self.failure.error);
        let fields = [("lines", lost.into()), ("output", Value::from(&*self.name)), ("error", error.into())];
        self.note(&Record::warning("log lines lost", fields));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// An output with room for some bytes, which the test can read. A write fails once each time it is full.
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
    fn lines_lost_to_a_full_disk_are_counted_and_reported_there_and_on_stderr() {
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
        queue.close();
        let before = Lost::WriteFailed.lines();
        sink.run(&jobs);
        let text = text(&written);
        assert!(text.starts_with("0234\n1234\n4234\n"), "{text}");
        assert!(
            text.contains("\tlog lines lost\t{\"lines\": 2, \"output\": \"app.log\", \"error\": "),
            "{text}"
        );
        assert!(text.ends_with("\n5234\na longer one\n"), "{text}");
        assert!(Lost::WriteFailed.lines() >= before + 2);
        let complaints: Vec<Job> = complaints.try_iter().collect();
        assert_eq!(complaints.len(), 1, "reported once");
    }

    #[test]
    fn a_line_that_was_written_in_part_is_terminated_before_the_next_one() {
        let (queue, jobs, load) = Queue::new();
        let written = Arc::new(Mutex::new(Vec::new()));
        let disk = Disk { room: 7, more: usize::MAX, written: Arc::clone(&written) };
        for line in ["whole\n", "torn\n", "next\n"] {
            queue.push(Job::Print(line.as_bytes().into()));
        }
        queue.close();
        Sink::new("x".into(), Box::new(disk), false, load, None).run(&jobs);
        let text = text(&written);
        assert!(text.starts_with("whole\nt\nnext\n"), "{text}");
        assert!(text.contains("log lines lost\t{\"lines\": 1,"), "{text}");
    }

    #[test]
    fn a_non_blocking_pipe_loses_nothing() {
        let (mut reader, writer) = io::pipe().unwrap();
        nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK)).unwrap();
        let (queue, jobs, load) = Queue::new();
        queue.push(Job::Print(vec![b'x'; 1 << 20].into()));
        queue.close();
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
