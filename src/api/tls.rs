//! TLS to Centrifugo: trusted authorities, our own certificate, and the name in Centrifugo's.

use std::path::Path;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::{SetupError, Tls};
use crate::findings::Findings;

/// What a TLS handshake needs.
pub(super) struct Identity {
    pub(super) connector: TlsConnector,
    pub(super) server_name: ServerName<'static>,
}

impl Identity {
    /// Reads the files. `host` is the name in Centrifugo's certificate unless the settings have another.
    pub(super) fn new(tls: &Tls, host: &str) -> Result<Self, SetupError> {
        let name = tls.own_name().unwrap_or(host);
        let server_name =
            ServerName::try_from(name.to_owned()).map_err(|_| SetupError::ServerName(name.to_owned()))?;
        let connector = tls.files().connector(Path::new(""), Some(b"h2"))?;
        Ok(Self { connector, server_name })
    }
}

/// Reports everything that would keep TLS from working, where [`Identity::new`] stops at the first mistake.
pub(super) fn validate(tls: &Tls, host: &str, work_dir: &Path, findings: &mut Findings) {
    tls.files().validate("centrifuge.tls", work_dir, findings);
    let own = tls.own_name();
    if ServerName::try_from(own.unwrap_or(host)).is_err() {
        let key = if own.is_some() { "centrifuge.tls.server_name" } else { "centrifuge.grpc_api_address" };
        findings.mistake(key, "not a valid server name");
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}
