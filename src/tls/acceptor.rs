//! The certificates of one listener. Its files are read again when they have changed, which is checked before each handshake: that takes a
//! few microseconds, a handshake some hundred, and needs no task and no timer.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::{
    AtomicBool,
    Ordering::{AcqRel, Release},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;
use tracing::{info, warn};

use super::{Error, ServerFiles};
use crate::offload;

/// Relative files start in the working directory.
const HERE: &str = "";

/// Accepts connections over TLS, with the certificates that the files hold at the moment.
pub struct Acceptor {
    /// The section of its settings, for messages.
    section: &'static str,
    alpn: &'static [&'static [u8]],
    state: Mutex<State>,
    /// The files are being read again. That may take long, so no lock is held meanwhile.
    is_reading: AtomicBool,
}

struct State {
    files: ServerFiles,
    /// That of the last files that could be used. It has a cache of sessions of its own: none outlives its certificate.
    config: Arc<ServerConfig>,
    /// The files that were read last, whether they could be used or not.
    read: Fingerprint,
    /// Why they could not, as it was logged.
    failure: Option<String>,
}

impl State {
    /// Reads the files. If they cannot be used, returns which they were.
    fn read(files: ServerFiles, alpn: &[&[u8]]) -> Result<Self, (Error, Fingerprint)> {
        // Taken before: what changes while they are read is read the next time.
        let read = Fingerprint::of(&files);
        match files.config(Path::new(HERE), alpn) {
            Ok(config) => Ok(Self { files, config: Arc::new(config), read, failure: None }),
            Err(error) => Err((error, read)),
        }
    }
}

/// Certificates that a listener can go on with. Dropped, they change nothing.
#[must_use = "nothing changes until it is committed"]
pub struct Prepared {
    acceptor: Arc<Acceptor>,
    state: State,
}

impl Prepared {
    /// Accepts connections with them from now on.
    pub fn commit(self) {
        *self.acceptor.state() = self.state;
    }
}

/// The files are no longer read when this is dropped.
struct Reading<'a>(&'a AtomicBool);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.store(false, Release);
    }
}

/// What tells a changed file from the one that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fingerprint(Vec<Option<[i64; 5]>>);

impl Fingerprint {
    fn of(files: &ServerFiles) -> Self {
        let file = |path: &Path| {
            let found = fs::metadata(path).ok()?;
            let inode = found.ino().cast_signed();
            Some([inode, found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()])
        };
        Self(files.all().map(file).collect())
    }
}

impl Acceptor {
    /// Reads the files. `alpn` are the protocols that are spoken over TLS.
    ///
    /// # Errors
    /// If a file cannot be used; the text begins with the section.
    pub(crate) fn new(
        section: &'static str,
        files: &ServerFiles,
        alpn: &'static [&'static [u8]],
    ) -> io::Result<Arc<Self>> {
        let state = State::read(files.clone(), alpn);
        let state = state.map_err(|(error, _)| io::Error::other(format!("{section}: {error}")))?;
        Ok(Arc::new(Self { section, alpn, state: Mutex::new(state), is_reading: AtomicBool::new(false) }))
    }

    /// The section of its settings.
    pub(crate) fn section(&self) -> &'static str {
        self.section
    }

    /// Reads these files, which may be the same as before. Blocks meanwhile.
    ///
    /// # Errors
    /// Why they cannot be used.
    pub fn prepare(self: &Arc<Self>, files: ServerFiles) -> Result<Prepared, Error> {
        let state = State::read(files, self.alpn).map_err(|(error, _)| error)?;
        Ok(Prepared { acceptor: Arc::clone(self), state })
    }

    /// Completes the handshake on a new connection.
    ///
    /// # Errors
    /// Those of the connection, or why the peers do not agree.
    pub(crate) async fn accept<S>(self: &Arc<Self>, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = self.current().await;
        TlsAcceptor::from(config).accept(stream).await
    }

    async fn current(self: &Arc<Self>) -> Arc<ServerConfig> {
        let (files, config, read) = {
            let state = self.state();
            (state.files.clone(), Arc::clone(&state.config), state.read.clone())
        };
        // While one connection reads new files, the others have the previous certificates.
        if read == Fingerprint::of(&files) || self.is_reading.swap(true, AcqRel) {
            return config;
        }
        let this = Arc::clone(self);
        // If this panics, the previous certificates stay in use.
        let _ = offload::background(move || this.read_changed(&files)).await;
        Arc::clone(&self.state().config)
    }

    fn read_changed(&self, files: &ServerFiles) {
        let _reading = Reading(&self.is_reading);
        let section = self.section;
        let new = State::read(files.clone(), self.alpn);
        let mut state = self.state();
        if state.files != *files {
            // A reload has named others meanwhile.
            return;
        }
        match new {
            Ok(new) => {
                *state = new;
                info!(target: "net", section, "certificates read again");
            }
            Err((error, read)) => {
                // What may be over soon, such as too many open files, is tried again by each handshake, and logged once.
                if !matches!(error, Error::Unreadable { .. }) {
                    state.read = read;
                }
                let failure = error.to_string();
                if state.failure.replace(failure.clone()) != Some(failure) {
                    warn!(target: "net", section, %error, "cannot use the new certificates, keeping the previous ones");
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").field("section", &self.section).finish_non_exhaustive()
    }
}
