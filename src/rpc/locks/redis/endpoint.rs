//! Connections to Redis: TCP or TLS, authenticated, to an address or to the master that the sentinels name.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::{MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, Cmd, RedisConnectionInfo, RedisResult, Value, cmd, from_redis_value};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::rustls::pki_types::ServerName;

use super::error::Error;
use crate::net::{dial, host_and_port};
use crate::offload;
use crate::rpc::locks::config::RedisConfig;
use crate::tls::ClientFiles;

/// How connections are made.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// Read for each connection, so that new certificates are used without a restart.
    tls: Option<ClientFiles>,
    patience: Duration,
    redis: RedisConnectionInfo,
    sentinel: RedisConnectionInfo,
}

/// What a connection leads to.
#[derive(Debug, Clone)]
pub(super) enum Target {
    /// `host:port`.
    Address(Arc<str>),
    /// The master of this name, as one of the sentinels knows it.
    Master { name: Arc<str>, sentinels: Arc<[String]> },
}

/// A connection that carries many commands at a time.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    pub(super) address: Arc<str>,
    commands: MultiplexedConnection,
    is_open: Arc<AtomicBool>,
}

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Io for S {}

impl Endpoint {
    pub(super) fn new(config: &RedisConfig) -> Self {
        let mut redis = RedisConnectionInfo::default().set_db(config.db).set_skip_set_lib_name();
        let mut sentinel = RedisConnectionInfo::default().set_skip_set_lib_name();
        let password = config.password.expose();
        if !password.is_empty() {
            redis = redis.set_password(password);
            if !config.username.is_empty() {
                redis = redis.set_username(&config.username);
            }
        }
        if !config.sentinel_password.expose().is_empty() {
            sentinel = sentinel.set_password(config.sentinel_password.expose());
        }
        let tls = Some(&config.tls).filter(|tls| **tls != ClientFiles::default()).cloned();
        Self { tls, patience: config.dial_patience(), redis, sentinel }
    }

    /// Connects for commands.
    pub(super) async fn connect(&self, target: &Target) -> Result<Connection, Error> {
        self.in_time(target, async {
            let address = self.resolve(target).await?;
            let connection = self.open(&address, &self.redis).await?;
            if matches!(target, Target::Master { .. }) {
                must_be_master(&connection).await?;
            }
            Ok(connection)
        })
        .await
    }

    /// Connects for messages.
    pub(super) async fn listen(&self, target: &Target) -> Result<PubSub, Error> {
        self.in_time(target, async {
            let address = self.resolve(target).await?;
            let socket = self.dial(&address).await?;
            let opened = PubSub::new(&self.redis, socket).await;
            opened.map_err(|error| Error::of_setup(&address, &error))
        })
        .await
    }

    async fn in_time<T>(
        &self,
        target: &Target,
        connecting: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        match timeout(self.patience, connecting).await {
            Ok(connected) => connected,
            Err(_) => {
                Err(Error::connect(&target.name(), &format!("no connection within {:?}", self.patience)))
            }
        }
    }

    async fn open(&self, address: &Arc<str>, info: &RedisConnectionInfo) -> Result<Connection, Error> {
        let socket = self.dial(address).await?;
        // Each command has a deadline of its own.
        let config = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
        let opened = MultiplexedConnection::new_with_config(info, socket, config).await;
        let (commands, driver) = opened.map_err(|error| Error::of_setup(address, &error))?;
        let is_open = Arc::new(AtomicBool::new(true));
        let closed = Arc::clone(&is_open);
        // It ends with the connection, or when nothing uses it.
        tokio::spawn(async move {
            driver.await;
            closed.store(false, Ordering::Relaxed);
        });
        Ok(Connection { address: Arc::clone(address), commands, is_open })
    }

    async fn dial(&self, address: &str) -> Result<Box<dyn Io>, Error> {
        let failed = |error: std::io::Error| Error::connect(address, &error);
        let socket = dial::tcp(address).await.map_err(failed)?;
        let Some(tls) = &self.tls else { return Ok(Box::new(socket)) };
        let files = tls.clone();
        let connector = offload::background(move || files.connector(Path::new(""), None)).await;
        let connector = connector.map_err(|panicked| Error::connect(address, &panicked))?;
        let connector = connector.map_err(|error| Error::connect(address, &error))?;
        let (host, _) = host_and_port(address).unwrap_or_default();
        let name = ServerName::try_from(host.to_owned()).map_err(|error| Error::connect(address, &error))?;
        Ok(Box::new(connector.connect(name, socket).await.map_err(failed)?))
    }

    /// The address of the target: the first sentinel that knows the master has the say.
    async fn resolve(&self, target: &Target) -> Result<Arc<str>, Error> {
        let (name, sentinels) = match target {
            Target::Address(address) => return Ok(Arc::clone(address)),
            Target::Master { name, sentinels } => (name, sentinels),
        };
        let mut last = Error::connect(&target.name(), "there is no sentinel");
        for sentinel in sentinels.iter() {
            // One that does not answer must leave time for the others.
            let share = self.patience / u32::try_from(sentinels.len() + 1).unwrap_or(u32::MAX);
            match timeout(share, self.ask(&sentinel.as_str().into(), name)).await {
                Ok(Ok(address)) => return Ok(address),
                Ok(Err(error)) => last = error,
                Err(_) => last = Error::connect(sentinel, &format!("no answer within {share:?}")),
            }
        }
        Err(last)
    }

    async fn ask(&self, sentinel: &Arc<str>, name: &str) -> Result<Arc<str>, Error> {
        let connection = self.open(sentinel, &self.sentinel).await?;
        let mut command = cmd("SENTINEL");
        command.arg("get-master-addr-by-name").arg(name);
        let answer = connection.send(&command).await.map_err(|error| Error::connect(sentinel, &error))?;
        let known: Option<(String, String)> =
            from_redis_value(answer).map_err(|error| Error::connect(sentinel, &error))?;
        let unknown = || Error::connect(sentinel, &format!("this sentinel knows no master {name}"));
        let (host, port) = known.ok_or_else(unknown)?;
        Ok(if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }.into())
    }
}

impl Target {
    /// What it is called in messages.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Address(address) => address.to_string(),
            Self::Master { name, sentinels } => format!("{name} (sentinels {})", sentinels.join(", ")),
        }
    }
}

impl Connection {
    pub(super) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }

    /// Lets nothing more use it.
    pub(super) fn retire(&self) {
        self.is_open.store(false, Ordering::Relaxed);
    }

    pub(super) async fn send(&self, command: &Cmd) -> RedisResult<Value> {
        self.commands.clone().send_packed_command(command).await?.extract_error()
    }

    /// Sends a command that this node executes although the slot is about to move to it.
    pub(super) async fn send_asking(&self, command: &Cmd) -> RedisResult<Value> {
        let mut both = redis::pipe();
        both.cmd("ASKING").add_command(command.clone());
        let mut answers = self.commands.clone().send_packed_commands(&both, 0, 2).await?;
        answers.pop().unwrap_or(Value::Nil).extract_error()
    }
}

/// Refuses a node that was a master: the sentinels may not have noticed yet.
async fn must_be_master(connection: &Connection) -> Result<(), Error> {
    let address = &connection.address;
    let role = connection.send(&cmd("ROLE")).await.map_err(|error| Error::connect(address, &error))?;
    let is_master = match role {
        Value::Array(items) => matches!(items.first(), Some(Value::BulkString(role)) if role == b"master"),
        _ => false,
    };
    if is_master { Ok(()) } else { Err(Error::connect(address, "it is not the master")) }
}
