//! `grpc.health.v1.Health`, for load balancers and orchestrators.
//!
//! Source: gRPC's `health.proto`.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::sync::watch;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::WatchStream;
use tonic::Status;
use tonic::body::Body;
use tonic::server::Grpc;
use tonic_prost::ProstCodec;

use super::status;
use crate::grpc;

/// The full name of the service.
pub(super) const SERVICE: &str = "grpc.health.v1.Health";

/// The largest message in bytes; the name of a service is much shorter.
pub(super) const MAX_MESSAGE_SIZE: usize = 4096;

const SERVING: i32 = 1;
const NOT_SERVING: i32 = 2;
const SERVICE_UNKNOWN: i32 = 3;

#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// The service; `true` in the channel is SERVING.
#[derive(Debug, Clone)]
pub(super) struct Health {
    pub(super) serving: watch::Receiver<bool>,
}

impl Health {
    pub(super) async fn answer(&self, method: &str, request: Request<Bytes>) -> Response<Body> {
        let request = request.map(|message| framed(&message));
        let mut grpc = Grpc::new(ProstCodec::default()).max_decoding_message_size(MAX_MESSAGE_SIZE);
        let serving = self.serving.clone();
        match method {
            "Check" => {
                let check = move |request: tonic::Request<HealthCheckRequest>| {
                    let known = is_known(&request.get_ref().service);
                    let status = state(*serving.borrow());
                    async move {
                        if known {
                            Ok(tonic::Response::new(HealthCheckResponse { status }))
                        } else {
                            Err(Status::not_found("unknown service"))
                        }
                    }
                };
                grpc.unary(tower::service_fn(check), request).await
            }
            "Watch" => {
                let watch = move |request: tonic::Request<HealthCheckRequest>| {
                    let known = is_known(&request.get_ref().service);
                    let states = WatchStream::new(serving.clone());
                    let states = states.map(move |serving| {
                        Ok(HealthCheckResponse {
                            status: if known { state(serving) } else { SERVICE_UNKNOWN },
                        })
                    });
                    async move { Ok::<_, Status>(tonic::Response::new(states)) }
                };
                grpc.server_streaming(tower::service_fn(watch), request).await
            }
            _ => {
                let text = format!("unknown method {method} for service {SERVICE}");
                Status::unimplemented(status::cut(text, status::MAX_QUOTED)).into_http()
            }
        }
    }
}

/// The message as tonic reads it. It is within the limit, and so small enough to be framed in one piece.
fn framed(message: &Bytes) -> Full<Bytes> {
    Full::new(grpc::frame(message, false).unwrap_or_default().0)
}

fn is_known(service: &str) -> bool {
    matches!(service, "" | super::SERVICE | SERVICE)
}

fn state(serving: bool) -> i32 {
    if serving { SERVING } else { NOT_SERVING }
}
