//! Connects commands to a running server.

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Arg;
use serde_json::Value;
use tokio_rustls::TlsConnector;

use super::Global;
use super::secure::Secure;
use crate::config::ServerAddress;
use crate::net::Address;
use crate::rpc::{Client, ClientError};

/// How long connecting may take; the server is near.
const CONNECT: Duration = Duration::from_secs(5);

/// How long an answer may take that the server has ready.
pub(super) const ANSWER: Duration = Duration::from_secs(5);

/// What the server may take beyond its own time limits before a command gives up.
pub(super) const MARGIN: Duration = Duration::from_secs(10);

/// The server's address, and how long it may take to answer.
#[derive(Debug, clap::Args)]
pub(super) struct Reach {
    /// The server's address [default: rpc.operators.listen or else rpc.listen of the configuration]
    #[arg(long, value_name = "ADDRESS")]
    pub(super) address: Option<Address>,
    /// How long to wait for an answer, such as 500ms or 1m30s
    #[arg(long, value_name = "TIME", value_parser = crate::duration::parse)]
    pub(super) timeout: Option<Duration>,
    #[command(flatten)]
    secure: Secure,
}

/// Adds a command's default for `--timeout` to its help.
pub(super) fn waits(default: &str) -> impl FnOnce(Arg) -> Arg {
    move |arg| {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        arg.help(format!("{help} [default: {default}]"))
    }
}

/// A connection to a server.
pub(super) struct Server {
    client: Client,
    address: ServerAddress,
    tls: Option<TlsConnector>,
    within: Duration,
}

impl Reach {
    /// Returns the server's address. For a unix socket, changes to the directory where the server's relative paths start.
    ///
    /// # Errors
    /// When the configuration does not give one.
    pub(super) fn address(&self, global: &Global) -> anyhow::Result<ServerAddress> {
        if let Some(address) = &self.address {
            return Ok(address.clone().into());
        }
        let running = global.running()?;
        let address = running.rpc?;
        if matches!(address.address, Address::Unix(_)) {
            std::env::set_current_dir(&running.work_dir)
                .with_context(|| format!("cannot enter {}", running.work_dir.display()))?;
        }
        Ok(address)
    }

    /// Connects. Each call may take `usual`, unless the command line says otherwise.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub(super) async fn connect(
        &self,
        address: ServerAddress,
        usual: Duration,
    ) -> Result<Server, ClientError> {
        let tls = self.secure.connector(&address, None);
        let tls = tls.map_err(|source| ClientError::Tls { address: address.to_string(), source })?;
        Server::connect(address, tls, self.timeout.unwrap_or(usual)).await
    }
}

impl Server {
    async fn connect(
        address: ServerAddress,
        tls: Option<TlsConnector>,
        within: Duration,
    ) -> Result<Self, ClientError> {
        let connected = Client::connect(&address.address, tls.as_ref(), CONNECT.min(within)).await;
        let client = connected.map_err(|error| error.showing(&address))?;
        Ok(Self { client, address, tls, within })
    }

    /// Opens another connection to the same server.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub(super) async fn again(&self) -> Result<Self, ClientError> {
        Self::connect(self.address.clone(), self.tls.clone(), self.within).await
    }

    pub(super) async fn call(&mut self, method: &str, argument: &Value) -> Result<Value, ClientError> {
        self.client.call(method, argument, self.within).await
    }

    /// Sets how long each later call may take.
    pub(super) fn allow(&mut self, within: Duration) {
        self.within = within;
    }

    /// Waits until the server closes the connection, at most `within`.
    pub(super) async fn closed(&mut self, within: Duration) -> bool {
        self.client.closed(within).await
    }
}

/// Runs a command. One thread is enough for one connection.
pub(super) fn block_on(command: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(command)
}
