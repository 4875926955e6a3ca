//! Which listeners accept connections, while another server may as well.

use tokio::sync::watch;

/// Whether listeners accept connections that another process may accept as well.
#[derive(Debug)]
pub(super) struct Accepts {
    pub(super) rpc: watch::Sender<bool>,
    pub(super) admin: watch::Sender<bool>,
}

impl Accepts {
    pub(super) fn new(yes: bool) -> Self {
        Self { rpc: watch::Sender::new(yes), admin: watch::Sender::new(yes) }
    }
}

/// While it exists, another server accepts the connections of a listener.
#[derive(Debug)]
#[must_use = "connections are accepted again when this is dropped"]
pub(crate) struct Paused<'a>(Option<&'a watch::Sender<bool>>);

impl<'a> Paused<'a> {
    pub(super) fn new(accepts: &'a watch::Sender<bool>) -> Self {
        accepts.send_replace(false);
        Self(Some(accepts))
    }

    /// The other server goes on to accept them.
    pub(crate) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        if let Some(accepts) = self.0 {
            accepts.send_replace(true);
        }
    }
}
