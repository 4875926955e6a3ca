//! A fake of Centrifugo's API: a tonic server that records requests.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use causeway::grpc::RawCodec;
use http::HeaderMap;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::server::Grpc;
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
use tonic::transport::{Server, ServerTlsConfig};
use tonic::{Status, body};

/// What came in one call.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub headers: HeaderMap,
    pub message: Bytes,
    /// The certificates of the client, in DER.
    pub certificates: Vec<Vec<u8>>,
}

type Answer = Arc<dyn Fn(&Seen) -> Result<Bytes, Status> + Send + Sync>;

/// A server, stopped on drop. By default, it answers every call with the message that came.
pub struct FakeApi {
    pub address: SocketAddr,
    state: State,
    stop: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Clone)]
struct State {
    seen: Arc<Mutex<Vec<Seen>>>,
    answer: Answer,
    delay: Duration,
    compress: bool,
}

/// A server to be started.
pub struct Builder {
    state: State,
    tls: Option<ServerTlsConfig>,
}

impl FakeApi {
    pub fn builder() -> Builder {
        let state = State {
            seen: Arc::default(),
            answer: Arc::new(|seen| Ok(seen.message.clone())),
            delay: Duration::ZERO,
            compress: false,
        };
        Builder { state, tls: None }
    }

    pub async fn start() -> Self {
        Self::builder().start().await
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    /// Refuses new calls, answers those in flight, and stops.
    pub async fn stop(mut self) {
        let _ = self.stop.take().unwrap().send(());
        let _ = (&mut self.task).await;
    }
}

impl Drop for FakeApi {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Builder {
    pub fn answer(mut self, answer: impl Fn(&Seen) -> Result<Bytes, Status> + Send + Sync + 'static) -> Self {
        self.state.answer = Arc::new(answer);
        self
    }

    /// How long methods whose names begin with `Slow` take.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.state.delay = delay;
        self
    }

    /// Answers are compressed.
    pub fn compress(mut self) -> Self {
        self.state.compress = true;
        self
    }

    pub fn tls(mut self, tls: ServerTlsConfig) -> Self {
        self.tls = Some(tls);
        self
    }

    pub async fn start(self) -> FakeApi {
        self.start_at("127.0.0.1:0".parse().unwrap()).await
    }

    pub async fn start_at(self, address: SocketAddr) -> FakeApi {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let mut server = Server::builder();
        if let Some(tls) = self.tls {
            server = server.tls_config(tls).unwrap();
        }
        let serving = server.serve_with_incoming_shutdown(
            Api(self.state.clone()),
            TcpListenerStream::new(listener),
            async { drop(stopped.await) },
        );
        let task = tokio::spawn(async { serving.await.unwrap() });
        FakeApi { address, state: self.state, stop: Some(stop), task }
    }
}

/// Takes one connection after the other at `address`, reads, and says nothing.
pub async fn silent_listener() -> (SocketAddr, tokio::task::JoinHandle<Vec<TcpStream>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut streams = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            streams.push(stream);
        }
        streams
    });
    (address, task)
}

#[derive(Clone)]
struct Api(State);

impl tower::Service<http::Request<Body>> for Api {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<body::Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let state = self.0.clone();
        Box::pin(async move {
            let method = request.uri().path().rsplit('/').next().unwrap().to_owned();
            let headers = request.headers().clone();
            let info = request.extensions().get::<TlsConnectInfo<TcpConnectInfo>>();
            let certificates = info.and_then(TlsConnectInfo::peer_certs);
            let certificates = certificates
                .map(|all| all.iter().map(|certificate| certificate.to_vec()).collect())
                .unwrap_or_default();
            let mut grpc = Grpc::new(RawCodec)
                .accept_compressed(CompressionEncoding::Gzip)
                .max_decoding_message_size(usize::MAX);
            if state.compress {
                grpc = grpc.send_compressed(CompressionEncoding::Gzip);
            }
            let seen = Seen { method, headers, message: Bytes::new(), certificates };
            let handler = tower::service_fn(move |request: tonic::Request<Bytes>| {
                let seen = Seen { message: request.into_inner(), ..seen.clone() };
                let state = state.clone();
                async move {
                    state.seen.lock().unwrap().push(seen.clone());
                    if seen.method.starts_with("Slow") {
                        tokio::time::sleep(state.delay).await;
                    }
                    (state.answer)(&seen).map(tonic::Response::new)
                }
            });
            Ok(grpc.unary(handler, request).await)
        })
    }
}
