//! Progress and errors, on standard error.

use std::io::{self, Write as _};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

/// How long whoever reads standard error may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Writes a text to standard error, if that can be done: a command neither fails for a closed one nor waits for ever for a full one, on the
/// other end of which nobody reads.
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
