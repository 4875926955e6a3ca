//! What does not change while the server runs, unless its configuration is reloaded.

use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use bytes::Bytes;
use serde_json::{Value, json};

use super::clock::seconds;
use crate::compat::Compat;
use crate::os;

/// The server's versions, its configuration without secrets, and the warnings about it.
#[derive(Debug)]
pub(crate) struct About {
    /// Another one after each start of the server.
    pub(super) instance: String,
    started: SystemTime,
    compat: Compat,
    json: ArcSwap<Bytes>,
}

impl About {
    /// `configuration` is JSON without secrets, as `rpc.Config` returns it.
    pub(crate) fn new(compat: Compat, configuration: &str, warnings: &[String]) -> Self {
        let (instance, started) = (os::random::text(), SystemTime::now());
        let about = Self { instance, started, compat, json: ArcSwap::default() };
        about.set(started, configuration, warnings);
        about
    }

    /// When the server was started.
    pub(super) fn started(&self) -> SystemTime {
        self.started
    }

    /// All of it as JSON.
    pub(super) fn json(&self) -> Bytes {
        (**self.json.load()).clone()
    }

    /// This configuration has been in force since then.
    pub(super) fn set(&self, loaded: SystemTime, configuration: &str, warnings: &[String]) {
        let json = json!({
            "instance": self.instance,
            "version": env!("CARGO_PKG_VERSION"),
            "roadrunner": self.compat.version(),
            "pid": std::process::id(),
            "started": seconds(self.started),
            "loaded": seconds(loaded),
            "build": {
                "profile": if cfg!(debug_assertions) { "debug" } else { "release" },
                "target": format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
            },
            "warnings": warnings,
            "configuration": serde_json::from_str(configuration).unwrap_or(Value::Null),
        });
        self.json.store(Arc::new(json.to_string().into()));
    }
}
