//! `resetter`: which plugins have workers, and new workers for them.

use std::sync::Arc;

use crate::compat::PLUGIN;
use crate::rpc::codec::Shape;
use crate::rpc::method::{Method, Reply};
use crate::rpc::services::Services;

pub(super) fn methods() -> Vec<(&'static str, Method)> {
    vec![
        (
            "resetter.List",
            Method::new(Shape::Bool, Shape::list(Shape::Text), |_, _: bool| async { Ok([PLUGIN]) }),
        ),
        ("resetter.Reset", Method::new(Shape::Text, Shape::Bool, reset)),
    ]
}

/// Answers when all workers have been replaced; says why if they were not.
async fn reset(services: Arc<Services>, plugin: String) -> Reply<bool> {
    let Some(pool) = services.pools.wait().await.get(&plugin) else {
        return Err(format!(
            "resetter_rpc_reset:\n\tresetter_plugin_reset_by_name: no such plugin: {plugin}"
        ));
    };
    pool.reset().await.map(|()| true).map_err(|error| error.to_string())
}
