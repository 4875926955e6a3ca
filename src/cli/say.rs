//! Progress and errors, on standard error.

use std::io::{self, Write as _};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

/// How long the reader of standard error may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Writes a text to standard error if possible: a command must neither fail because it is closed nor hang because its reader does not
/// read.
pub(super) fn say(text: &str) {
    let (done, said) = channel();
    let text = text.to_owned();
    let saying = thread::Builder::new().spawn(move || {
        let _ = io::stderr().write_all(text.as_bytes());
        let _ = done.send(());
    });
    if saying.is_ok() {
        let _ = said.recv_timeout(PATIENCE);
    }
}
