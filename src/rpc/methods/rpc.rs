//! `rpc`: about the server itself.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::compat;
use crate::rpc::codec::Shape;
use crate::rpc::method::Method;

pub(super) fn methods() -> Vec<(&'static str, Method)> {
    vec![
        // Clients compare it with what they need.
        ("rpc.Version", Method::new(Shape::Bool, Shape::Text, |_, _: bool| async { Ok(compat::VERSION) })),
        (
            "rpc.Config",
            Method::new(Shape::Bool, Shape::Bytes, |services, _: bool| async move {
                Ok(STANDARD.encode(&services.config))
            }),
        ),
    ]
}
