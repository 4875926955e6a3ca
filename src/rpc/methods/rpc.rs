//! `rpc`: about the server itself.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::rpc::codec::Shape;
use crate::rpc::method::Method;

/// The version of RoadRunner whose methods these are. Clients compare it with what they need.
pub const ROADRUNNER_VERSION: &str = "2025.1.15";

pub(super) fn methods() -> Vec<(&'static str, Method)> {
    vec![
        ("rpc.Version", Method::new(Shape::Bool, Shape::Text, |_, _: bool| async { Ok(ROADRUNNER_VERSION) })),
        (
            "rpc.Config",
            Method::new(Shape::Bool, Shape::Bytes, |services, _: bool| async move {
                Ok(STANDARD.encode(&services.config))
            }),
        ),
    ]
}
