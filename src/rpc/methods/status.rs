//! `status`: whether a plugin lives, and whether it can serve.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::compat::PLUGIN;
use crate::pools::Pools;
use crate::rpc::codec::Shape;
use crate::rpc::method::{Method, Reply};
use crate::rpc::services::Services;

/// The codes are those of HTTP, as on RoadRunner's status page.
const WELL: u16 = 200;
const UNAVAILABLE: u16 = 503;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Request {
    plugin: String,
}

#[derive(Debug, Serialize)]
struct Response {
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

/// A plugin that is there lives: the pool heals by itself.
async fn status(_: Arc<Services>, request: Request) -> Reply<Response> {
    known(&request, "status")?;
    Ok(Response { code: WELL, message: "" })
}

/// Busy is ready; not ready means that no worker can serve.
async fn ready(services: Arc<Services>, request: Request) -> Reply<Response> {
    known(&request, "ready")?;
    let is_ready = services.pools.get().is_some_and(Pools::are_ready);
    Ok(if is_ready {
        Response { code: WELL, message: "" }
    } else {
        Response { code: UNAVAILABLE, message: "no worker can serve" }
    })
}

fn known(request: &Request, method: &str) -> Reply<()> {
    match request.plugin.as_str() {
        PLUGIN => Ok(()),
        other => Err(format!("checker_rpc_{method}:\n\tchecker_plugin_{method}: no such plugin: {other}")),
    }
}
