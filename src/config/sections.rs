//! Sections of the file whose structure differs from that of the components.

use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, Unexpected};

use crate::compat::Compat;
use crate::net::{self, Address, LimitSettings, SocketSettings};
use crate::tls::ServerFiles;
use crate::{api, duration, pool, proxy, streams};

/// Supported sections.
pub(super) const SUPPORTED: [&str; 10] =
    ["rpc", "server", "centrifuge", "logs", "lock", "metrics", "status", "otel", "endure", "causeway"];

/// Other top-level keys and sections; `idle` warns of those without an effect.
pub(super) const OTHER_KEYS: [&str; 7] =
    ["version", "include", "envfile", "app", "informer", "resetter", "service"];

/// Sections of RoadRunner's other plugins, which real projects have in the same file.
pub(super) const OTHER_PLUGINS: [&str; 25] = [
    "http",
    "grpc",
    "jobs",
    "kv",
    "tcp",
    "temporal",
    "amqp",
    "redis",
    "memory",
    "memcached",
    "boltdb",
    "nats",
    "kafka",
    "sqs",
    "beanstalk",
    "google_pub_sub_driver",
    "broadcast",
    "websockets",
    "fileserver",
    "reload",
    "velox",
    "nsq",
    "protoreg",
    "rate_limiter",
    "zstd",
];

/// `centrifuge`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Centrifuge {
    proxy_address: Option<Address>,
    proxy_socket: SocketSettings,
    proxy_tls: Option<ServerFiles>,
    proxy_credentials: Option<proxy::Credentials>,
    #[serde(deserialize_with = "socket_mode")]
    socket_mode: Option<u32>,
    max_message_size: Option<Size>,
    #[serde(deserialize_with = "timeout")]
    max_connection_age: Option<Duration>,
    #[serde(deserialize_with = "timeout")]
    max_connection_age_grace: Option<Duration>,
    #[serde(deserialize_with = "target")]
    grpc_api_address: Option<String>,
    use_compressor: bool,
    api_key: Option<api::ApiKey>,
    #[serde(deserialize_with = "timeout")]
    api_timeout: Option<Duration>,
    pub(super) tls: Option<api::Tls>,
    pub(super) streams: streams::Config,
    name: Option<String>,
    version: Option<String>,
    pub(super) pool: pool::Config,
    /// See `pool_list`.
    #[serde(rename = "pools")]
    _pools: IgnoredAny,
}

impl Centrifuge {
    pub(super) fn split(self) -> (proxy::Config, api::Config, pool::Config) {
        let (mut proxy, mut api) = (proxy::Config::default(), api::Config::default());
        if let Some(address) = self.proxy_address {
            proxy.address = address;
        }
        proxy.socket = self.proxy_socket;
        proxy.tls = self.proxy_tls;
        proxy.credentials = self.proxy_credentials;
        if let Some(mode) = self.socket_mode {
            proxy.socket_mode = mode;
        }
        if let Some(Size(bytes)) = self.max_message_size {
            proxy.max_message_size = bytes;
        }
        proxy.max_connection_age = self.max_connection_age;
        proxy.max_connection_age_grace = self.max_connection_age_grace;
        if let Some(address) = self.grpc_api_address {
            api.address = address;
        }
        api.use_compressor = self.use_compressor;
        api.api_key = self.api_key.filter(|key| !key.expose().is_empty());
        api.api_timeout = self.api_timeout.unwrap_or(api.api_timeout);
        // An empty section counts as absent.
        api.tls = self.tls.filter(|tls| *tls != api::Tls::default());
        api.name = self.name.unwrap_or(api.name);
        api.version = self.version.unwrap_or(api.version);
        (proxy, api, self.pool)
    }
}

/// `causeway`: keys that are about the program itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Causeway {
    pub(super) compat: Option<Compat>,
    pub(super) limits: LimitSettings,
}

/// `endure`.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub(super) struct Endure {
    #[serde(deserialize_with = "duration::deserialize")]
    pub(super) grace_period: Duration,
    #[serde(rename = "print_graph")]
    _print_graph: IgnoredAny,
    #[serde(rename = "log_level")]
    _log_level: IgnoredAny,
    #[serde(rename = "watchdog_sec")]
    _watchdog_sec: IgnoredAny,
}

impl Default for Endure {
    fn default() -> Self {
        Self {
            grace_period: Duration::from_secs(30),
            _print_graph: IgnoredAny,
            _log_level: IgnoredAny,
            _watchdog_sec: IgnoredAny,
        }
    }
}

fn timeout<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration::deserialize(deserializer).map(|timeout| Some(timeout).filter(|timeout| !timeout.is_zero()))
}

fn socket_mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    net::socket_mode(deserializer).map(Some)
}

fn target<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = |expected| de::Error::custom(format!("{expected}, found \"{text}\""));
    api::target(&text).map(Some).map_err(wrong)
}

/// Bytes, or a number with a unit: `64MB`.
#[derive(Debug, PartialEq)]
struct Size(usize);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        size(&text)
            .map(Self)
            .ok_or_else(|| de::Error::invalid_value(Unexpected::Str(&text), &"a size such as 64MB"))
    }
}

/// The smallest size: the messages of a worker's start have to fit.
const MIN_SIZE: f64 = 1024.0;

/// The largest size: a frame's length is a 32-bit number, and in front of the message it holds a context, which is made of 64 KB of headers.
const MAX_SIZE: u32 = u32::MAX - (1 << 20);

fn size(text: &str) -> Option<usize> {
    let (number, unit) = text.split_at(text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).len());
    let scale = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1_u32,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return None,
    };
    let bytes = number.trim().replace('_', "").parse::<f64>().ok()? * f64::from(scale);
    let is_size = (MIN_SIZE..=f64::from(MAX_SIZE)).contains(&bytes);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in range")]
    is_size.then_some(bytes as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("67108864"), Some(64 << 20));
        assert_eq!(size("64MB"), Some(64 << 20));
        assert_eq!(size("1 KiB"), Some(1024));
        assert_eq!(
            ["1e6", "64_000_000", "1.5MB", "4094MB"].map(size),
            [1_000_000, 64_000_000, 3 << 19, 4094 << 20].map(Some)
        );
        for text in [
            "1B",
            "1e2",
            "inf",
            "nan",
            ".",
            "1..5MB",
            "",
            "0",
            "MB",
            "5T",
            "-1",
            "5GB",
            "4095.5MB",
            "99999999999999999999",
        ] {
            assert_eq!(size(text), None, "{text}");
        }
    }
}
