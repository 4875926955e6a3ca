//! What does not change while the server runs.

use std::time::SystemTime;

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
    pub(super) json: Bytes,
}

impl About {
    /// `configuration` is JSON without secrets, as `rpc.Config` returns it.
    pub(crate) fn new(compat: Compat, configuration: &str, warnings: &[String]) -> Self {
        let instance = os::random::text();
        let json = json!({
            "instance": instance,
            "version": env!("CARGO_PKG_VERSION"),
            "roadrunner": compat.version(),
            "pid": std::process::id(),
            "started": seconds(SystemTime::now()),
            "build": {
                "profile": if cfg!(debug_assertions) { "debug" } else { "release" },
                "target": format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
            },
            "warnings": warnings,
            "configuration": serde_json::from_str(configuration).unwrap_or(Value::Null),
        });
        Self { instance, json: json.to_string().into() }
    }
}
