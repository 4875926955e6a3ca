//! `resetter`: lists the pools, and replaces the workers of one.

use std::convert::Infallible;
use std::sync::Arc;

use crate::compat::Compat;
use crate::pools;
use crate::rpc::codec::Shape;
use crate::rpc::method::Method;
use crate::rpc::services::Services;

pub(super) fn methods() -> Vec<(&'static str, Method)> {
    vec![
        (
            "resetter.List",
            Method::new(Shape::Bool, Shape::list(Shape::Text), |services, _: bool| async move {
                Ok::<_, Infallible>(services.pools.names())
            }),
        ),
        ("resetter.Reset", Method::new(Shape::Text, Shape::Bool, reset)),
    ]
}

const PREFIX_2025: &str = "resetter_rpc_reset:\n\tresetter_plugin_reset_by_name: ";

/// Why workers were not replaced.
#[derive(Debug, thiserror::Error)]
enum ResetError {
    /// The text is RoadRunner's.
    #[error("{}no such plugin: {plugin}", if compat.is_v3() { "" } else { PREFIX_2025 })]
    NoSuchPlugin { plugin: String, compat: Compat },
    #[error(transparent)]
    Pool(#[from] pools::ResetError),
}

/// Replaces all workers, and answers when that is done.
async fn reset(services: Arc<Services>, plugin: String) -> Result<bool, ResetError> {
    let Some(pool) = services.pools.wait().await.get(&plugin) else {
        return Err(ResetError::NoSuchPlugin { plugin, compat: services.compat });
    };
    pool.reset().await?;
    Ok(true)
}
