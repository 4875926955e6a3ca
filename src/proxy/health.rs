//! `grpc.health.v1.Health`, for balancers and orchestrators that ask over gRPC.
//!
//! Source: the protocol's `health.proto`.

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

use super::{status, unary};

/// The full name of the service.
pub(super) const SERVICE: &str = "grpc.health.v1.Health";

/// The largest message that is read, in bytes; the name of a service is much shorter.
pub(super) const LIMIT: usize = 4096;

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
        let request = request.map(|message| Full::new(unary::frame(&message, false).0));
        let mut grpc = Grpc::new(ProstCodec::default()).max_decoding_message_size(LIMIT);
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

fn is_known(service: &str) -> bool {
    matches!(service, "" | super::SERVICE | SERVICE)
}

fn state(serving: bool) -> i32 {
    if serving { SERVING } else { NOT_SERVING }
}
