//! How commands reach a running server.

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

use super::Global;
use crate::net::Address;
use crate::rpc::{Client, ClientError};

/// How long a connection may take to be there; the server is near.
const CONNECT: Duration = Duration::from_secs(5);

/// How long an answer may take that costs the server nothing.
pub(super) const ANSWER: Duration = Duration::from_secs(5);

/// What the server may take longer than its own limits say before nobody believes any more that it answers.
pub(super) const MARGIN: Duration = Duration::from_secs(10);

/// Where the server is, and how long it may take.
#[derive(Debug, clap::Args)]
pub(super) struct Reach {
    /// Where to call; rpc.listen of the configuration unless given
    #[arg(long, value_name = "ADDRESS")]
    pub(super) address: Option<Address>,
    /// How long to wait for an answer, in Go's notation
    #[arg(long, value_name = "TIME", value_parser = crate::duration::parse)]
    pub(super) timeout: Option<Duration>,
}

/// A server that can be called.
#[derive(Debug)]
pub(super) struct Server {
    client: Client,
    address: Address,
    within: Duration,
}

impl Reach {
    /// Where the server is. From then on the current folder is the one that the server's relative paths start from.
    ///
    /// # Errors
    /// When the configuration does not tell.
    pub(super) fn address(&self, global: &Global) -> anyhow::Result<Address> {
        if let Some(address) = &self.address {
            return Ok(address.clone());
        }
        let running = global.running()?;
        let address = running.rpc?;
        if matches!(address, Address::Unix(_)) {
            std::env::set_current_dir(&running.work_dir)
                .with_context(|| format!("cannot enter {}", running.work_dir.display()))?;
        }
        Ok(address)
    }

    /// Connects; each call may take `usual`, unless the command line says otherwise.
    ///
    /// # Errors
    /// When nobody answers there.
    pub(super) async fn connect(&self, address: Address, usual: Duration) -> Result<Server, ClientError> {
        Server::connect(address, self.timeout.unwrap_or(usual)).await
    }
}

impl Server {
    async fn connect(address: Address, within: Duration) -> Result<Self, ClientError> {
        let client = Client::connect(&address, CONNECT.min(within)).await?;
        Ok(Self { client, address, within })
    }

    /// Another connection to the same server.
    ///
    /// # Errors
    /// When nobody answers any more.
    pub(super) async fn again(&self) -> Result<Self, ClientError> {
        Self::connect(self.address.clone(), self.within).await
    }

    pub(super) async fn call(&mut self, method: &str, argument: &Value) -> Result<Value, ClientError> {
        self.client.call(method, argument, self.within).await
    }

    /// Gives each call from now on so much time.
    pub(super) fn allow(&mut self, within: Duration) {
        self.within = within;
    }

    /// Waits until the server has hung up, no longer than `within`.
    pub(super) async fn closed(&mut self, within: Duration) -> bool {
        self.client.closed(within).await
    }
}

/// Runs a command to its end. One thread is enough for one connection.
pub(super) fn block_on(command: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(command)
}
