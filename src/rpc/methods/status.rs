//! `status`: whether a pool is alive, and whether it can serve.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::compat::Compat;
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

/// A known pool is always alive, since it recovers by itself.
async fn status(services: Arc<Services>, request: StatusRequest) -> Result<StatusResponse, NoSuchPlugin> {
    known(&services, request, "status")?;
    Ok(StatusResponse { code: OK, message: "" })
}

/// Ready, even if busy, unless no worker can serve.
async fn ready(services: Arc<Services>, request: StatusRequest) -> Result<StatusResponse, NoSuchPlugin> {
    let name = known(&services, request, "ready")?;
    let is_ready =
        services.pools.get().and_then(|pools| pools.get(&name)).is_some_and(|pool| pool.is_ready());
    let unavailable = |message| StatusResponse { code: UNAVAILABLE, message };
    Ok(if !*services.serving.borrow() {
        unavailable("service is shutting down")
    } else if !is_ready {
        unavailable("no worker can serve")
    } else {
        StatusResponse { code: OK, message: "" }
    })
}

/// An unknown plugin. The text is RoadRunner's.
#[derive(Debug, thiserror::Error)]
#[error("checker_rpc_{method}:{} no such plugin: {plugin}", second_level(*compat, method))]
struct NoSuchPlugin {
    method: &'static str,
    plugin: String,
    compat: Compat,
}

fn second_level(compat: Compat, method: &str) -> String {
    if compat.is_v3() { String::new() } else { format!("\n\tchecker_plugin_{method}:") }
}

/// The name of the pool that the request is about.
fn known(services: &Services, request: StatusRequest, method: &'static str) -> Result<String, NoSuchPlugin> {
    let StatusRequest { plugin } = request;
    let is_known = services.pools.names().iter().any(|name| **name == plugin);
    if is_known { Ok(plugin) } else { Err(NoSuchPlugin { method, plugin, compat: services.compat }) }
}
