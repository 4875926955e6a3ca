//! The `lock` section of `.rr.yaml`.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer};

use crate::compat::Compat;
use crate::duration;
use crate::findings::{Findings, Machine};
use crate::net::host_and_port;
use crate::tls::ClientFiles;

/// The `lock` section.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Config {
    /// `lock.driver`; memory unless set. RoadRunner 3 requires it.
    #[serde(deserialize_with = "driver")]
    pub driver: Option<Driver>,
    /// `lock.config`: how Redis is reached.
    pub config: RedisConfig,
}

/// Where locks are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// In this process.
    Memory,
    /// In Redis, shared with other servers.
    Redis,
}

/// `lock.config`: RoadRunner 3's settings of Redis.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RedisConfig {
    /// `host:port` of Redis, of several nodes of a cluster, or of sentinels; 127.0.0.1:6379 unless set.
    pub addrs: Vec<String>,
    /// The user of Redis' access control list; the default one unless set.
    pub username: String,
    /// Its password.
    pub password: Password,
    /// The number of the database.
    pub db: i64,
    /// The name of the master to ask the sentinels at `addrs` for.
    pub master_name: String,
    /// The sentinels' own password.
    pub sentinel_password: Password,
    /// RoadRunner's number of connections. Here one connection carries all calls.
    pub pool_size: i64,
    /// How long a connection may take to be ready; 5s.
    #[serde(deserialize_with = "duration::deserialize")]
    pub dial_timeout: Duration,
    /// How long an answer may take; 5s.
    #[serde(deserialize_with = "duration::deserialize")]
    pub read_timeout: Duration,
    /// How long sending may take; 5s.
    #[serde(deserialize_with = "duration::deserialize")]
    pub write_timeout: Duration,
    /// TLS is on if any of its keys is set.
    pub tls: ClientFiles,
}

/// A secret: its text is never shown.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(transparent)]
pub struct Password(String);

/// How Redis is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    Standalone,
    Sentinel,
    Cluster,
}

/// How long anything may take unless set; zero counts as unset.
const TIMEOUT: Duration = Duration::from_secs(5);

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            addrs: vec!["127.0.0.1:6379".into()],
            username: String::new(),
            password: Password::default(),
            db: 0,
            master_name: String::new(),
            sentinel_password: Password::default(),
            pool_size: 0,
            dial_timeout: TIMEOUT,
            read_timeout: TIMEOUT,
            write_timeout: TIMEOUT,
            tls: ClientFiles::default(),
        }
    }
}

impl Config {
    /// Reports what would keep locks from being granted. Texts in RoadRunner's words are its own.
    pub(crate) fn validate(&self, compat: Compat, machine: Machine<'_>, findings: &mut Findings) {
        match self.driver {
            None if compat.is_v3() => {
                findings.mistake("lock.driver", unsupported(""));
            }
            Some(Driver::Redis) => self.config.validate(machine, findings),
            None | Some(Driver::Memory) if self.config != RedisConfig::default() => {
                findings.odd("lock.config", "has no effect: locks are kept in memory");
            }
            _ => {}
        }
    }
}

impl RedisConfig {
    pub(super) fn layout(&self) -> Layout {
        match self.addrs.len() {
            _ if !self.master_name.is_empty() => Layout::Sentinel,
            0 | 1 => Layout::Standalone,
            _ => Layout::Cluster,
        }
    }

    /// How long a connection may take.
    pub(super) fn dial_patience(&self) -> Duration {
        or_default(self.dial_timeout)
    }

    /// How long a command may take on a connection.
    pub(super) fn patience(&self) -> Duration {
        or_default(self.write_timeout) + or_default(self.read_timeout)
    }

    fn validate(&self, machine: Machine<'_>, findings: &mut Findings) {
        let key = |key: &str| format!("lock.config.{key}");
        if self.addrs.is_empty() {
            findings.mistake(key("addrs"), "addrs must not be empty");
        }
        for (index, address) in self.addrs.iter().enumerate() {
            if host_and_port(address).is_none_or(|(host, _)| host.is_empty()) {
                findings.mistake(key(&format!("addrs[{index}]")), "expected host:port");
            }
        }
        if self.db < 0 {
            findings.mistake(key("db"), "db must not be negative");
        } else if self.db > 0 && self.layout() == Layout::Cluster {
            let text = "db must be 0 with more than one address because the cluster client uses database 0";
            findings.mistake(key("db"), text);
        }
        if self.pool_size < 0 {
            let text = format!("pool_size must not be negative, got {}", self.pool_size);
            findings.mistake(key("pool_size"), text);
        } else if self.pool_size > 0 {
            findings.odd(key("pool_size"), "has no effect: one connection carries all calls");
        }
        if self.password.is_empty() && !self.username.is_empty() {
            findings.odd(key("username"), "has no effect without a password");
        }
        if !self.sentinel_password.is_empty() && self.layout() != Layout::Sentinel {
            findings.odd(key("sentinel_password"), "has no effect without master_name");
        }
        if self.tls != ClientFiles::default() {
            self.tls.validate("lock.config.tls", machine.work_dir, findings);
        }
    }
}

fn or_default(timeout: Duration) -> Duration {
    if timeout.is_zero() { TIMEOUT } else { timeout }
}

impl Password {
    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

fn driver<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Driver>, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "" => Ok(None),
        "memory" => Ok(Some(Driver::Memory)),
        "redis" => Ok(Some(Driver::Redis)),
        other => Err(de::Error::custom(unsupported(other))),
    }
}

fn unsupported(driver: &str) -> String {
    format!("unsupported lock driver: \"{driver}\"; expected memory or redis")
}
