//! `status`: whether a plugin is alive, and whether it can serve.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::compat::PLUGIN;
use crate::pools::Pools;
use crate::rpc::codec::Shape;
use crate::rpc::method::Method;
use crate::rpc::services::Services;

/// HTTP status codes, as on RoadRunner's status page.
const OK: u16 = 200;
const UNAVAILABLE: u16 = 503;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StatusRequest {
    plugin: String,
}

#[derive(Debug, Serialize)]
struct StatusResponse {
    code: u16,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'static str,
}

pub(super) fn methods() -> Vec<(&'static str, Method)> {
    let request = || Shape::message("causeway.rpc.StatusRequest");
    let response = || Shape::message("causeway.rpc.StatusResponse");
    vec![
        ("status.Status", Method::new(request(), response(), status)),
        ("status.Ready", Method::new(request(), response(), ready)),
    ]
}

/// A known plugin is always alive, since the pool recovers by itself.
async fn status(_: Arc<Services>, request: StatusRequest) -> Result<StatusResponse, NoSuchPlugin> {
    known(request, "status")?;
    Ok(StatusResponse { code: OK, message: "" })
}

/// Ready, even if busy, unless no worker can serve.
async fn ready(services: Arc<Services>, request: StatusRequest) -> Result<StatusResponse, NoSuchPlugin> {
    known(request, "ready")?;
    let unavailable = |message| StatusResponse { code: UNAVAILABLE, message };
    Ok(if !*services.serving.borrow() {
        unavailable("service is shutting down")
    } else if !services.pools.get().is_some_and(Pools::are_ready) {
        unavailable("no worker can serve")
    } else {
        StatusResponse { code: OK, message: "" }
    })
}

/// An unknown plugin. The text is RoadRunner's.
#[derive(Debug, thiserror::Error)]
#[error("checker_rpc_{method}:\n\tchecker_plugin_{method}: no such plugin: {plugin}")]
struct NoSuchPlugin {
    method: &'static str,
    plugin: String,
}

fn known(request: StatusRequest, method: &'static str) -> Result<(), NoSuchPlugin> {
    if request.plugin == PLUGIN { Ok(()) } else { Err(NoSuchPlugin { method, plugin: request.plugin }) }
}
