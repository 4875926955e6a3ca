//! Files of the configuration as bytes, however strange they are.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Bytes of a file, at most. A configuration has thousands, not millions.
const MAX: usize = 16 << 20;

/// How long a pipe, such as that of `serve -c <(envsubst <in)`, may take. Without a limit, one that nobody writes to would end all reloads.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads a file, or a pipe until its end.
///
/// # Errors
/// When it cannot be read, is longer than 16 MB, or is a pipe that has not ended after five seconds.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let bytes = read_up_to(file, MAX, Instant::now() + PATIENCE)?;
    if bytes.len() > MAX { Err(io::Error::other("it is longer than 16 MB")) } else { Ok(bytes) }
}

/// The same as text.
///
/// # Errors
/// The same, or if it is not UTF-8.
pub(super) fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|_| io::Error::new(ErrorKind::InvalidData, "it is not UTF-8"))
}

/// Reads until the end, or some bytes more than `limit`.
fn read_up_to(mut file: File, limit: usize, until: Instant) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while bytes.len() <= limit {
        match file.by_ref().take(1 << 20).read_to_end(&mut bytes) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => wait(&file, until)?,
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

/// Waits until there is something to read.
fn wait(file: &File, until: Instant) -> io::Result<()> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::Error::new(ErrorKind::TimedOut, "it has not ended within 5s"));
    }
    let mut polled = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
    poll(&mut polled, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;

    use super::*;

    fn pipe() -> (std::io::PipeReader, std::io::PipeWriter, std::path::PathBuf) {
        let (reader, writer) = std::io::pipe().unwrap();
        let path = format!("/proc/self/fd/{}", reader.as_raw_fd()).into();
        (reader, writer, path)
    }

    #[test]
    fn a_pipe_is_read_until_its_end() {
        let (_reader, mut writer, path) = pipe();
        let read = std::thread::spawn(move || read_text(&path).unwrap());
        for _ in 0..3 {
            writer.write_all(&vec![b'x'; 100_000]).unwrap();
        }
        drop(writer);
        assert_eq!(read.join().unwrap().len(), 300_000);
    }

    #[test]
    fn a_pipe_that_does_not_end_is_given_up() {
        let (_reader, _writer, path) = pipe();
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).unwrap();
        let error = read_up_to(file, MAX, Instant::now() + Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn a_file_without_an_end_is_too_long() {
        let error = read(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(error.to_string(), "it is longer than 16 MB");
        assert!(read(Path::new("/")).is_err());
    }
}
