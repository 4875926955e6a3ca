//! TLS: certificates and keys from files, for every client and every listener.
//!
//! ```text
//!  files ─▶ pem ─┬▶ client: authorities, own certificate ─▶ api, traces, locks in Redis, the command line
//!                └▶ server: certificate, client_auth ─▶ Acceptor (reads them again when they change) ─▶ net
//! ```
//!
//! Invariants:
//! - TLS 1.2 and 1.3, with the cipher suites and curves that rustls allows.
//! - A client trusts the authorities of `root_ca` alone, or else those of the system. A listener trusts those of `root_ca` alone.
//! - A listener keeps the certificate that it has until another one can be used.
//! - Messages name files, and nothing of what is in them.

mod acceptor;
mod client;
mod client_auth;
mod error;
mod pem;
mod pinned;
mod server;
#[cfg(test)]
mod tests;

pub use acceptor::{Acceptor, Prepared};
pub use client::ClientFiles;
pub use client_auth::ClientAuth;
pub use error::Error;
pub use pinned::pinned;
pub use server::ServerFiles;

use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};

/// The cryptography of every connection.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
