//! The lower bound: a tonic server that answers by itself, without workers, contexts or deadlines. A bridge adds its own cost to this.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use anyhow::Context as _;
use bytes::Bytes;
use causeway::grpc::RawCodec;
use tonic::body::Body;
use tonic::server::Grpc;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::answers::answer;

/// Serves at `address` until killed.
pub(crate) fn serve(address: &str) -> anyhow::Result<()> {
    // As many threads as Causeway uses.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if std::env::var_os("TOKIO_WORKER_THREADS").is_none() {
        runtime.worker_threads((cores / 4).max(1));
    }
    runtime.enable_all().build()?.block_on(async {
        let address: SocketAddr =
            address.parse().context("the argument has to be the address to serve at")?;
        let incoming = TcpIncoming::bind(address)?.with_nodelay(Some(true));
        let server = tonic::transport::Server::builder()
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(8 << 20);
        server.serve_with_incoming(Echo, incoming).await.context("the server has stopped")
    })
}

#[derive(Clone)]
struct Echo;

type Answering = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

impl tower::Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Answering {
        Box::pin(async move {
            let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
            let handler = tower::service_fn(move |request| handle(&method, &request));
            Ok(Grpc::new(RawCodec).max_decoding_message_size(usize::MAX).unary(handler, request).await)
        })
    }
}

fn handle(method: &str, request: &Request<Bytes>) -> Ready<Result<Response<Bytes>, Status>> {
    let malformed = || Status::invalid_argument("neither an RPC nor a connect");
    ready(answer(method, request.get_ref()).map(Response::new).ok_or_else(malformed))
}
