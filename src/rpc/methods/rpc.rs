//! `rpc`: the version and the configuration of the server.

use std::convert::Infallible;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::rpc::codec::Shape;
use crate::rpc::method::Method;

pub(super) fn methods() -> Vec<(&'static str, Method)> {
    vec![
        // Clients compare it with the version that they need.
        (
            "rpc.Version",
            Method::new(Shape::Bool, Shape::Text, |services, _: bool| async move {
                Ok::<_, Infallible>(services.compat.version())
            }),
        ),
        (
            "rpc.Config",
            Method::new(Shape::Bool, Shape::Bytes, |services, _: bool| async move {
                Ok::<_, Infallible>(STANDARD.encode(&**services.config.load()))
            }),
        ),
    ]
}
