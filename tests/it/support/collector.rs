//! A collector of OpenTelemetry in this process, over gRPC and over HTTP, from the official messages; and the real one.

use std::convert::Infallible;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use flate2::read::GzDecoder;
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::codec::CompressionEncoding;
use tonic::{Request, Response, Status};

use super::{eventually, repository};

/// What a collector has got. It stops with the test.
#[derive(Clone)]
pub struct Collector {
    pub address: String,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    spans: Vec<Span>,
    resource: Vec<KeyValue>,
    /// The headers of the last export, and its encoding.
    headers: Vec<(String, String)>,
}

impl Collector {
    pub async fn grpc() -> Self {
        let (listener, collector) = Self::bind().await;
        let service = TraceServiceServer::new(collector.clone()).accept_compressed(CompressionEncoding::Gzip);
        let serving = tonic::transport::Server::builder()
            .serve_with_incoming(service, TcpListenerStream::new(listener));
        tokio::spawn(async { drop(serving.await) });
        collector
    }

    pub async fn http() -> Self {
        let (listener, collector) = Self::bind().await;
        let shared = collector.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let collector = shared.clone();
                let service = service_fn(move |request| collector.clone().answer(request));
                let serving = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(async { drop(serving.await) });
            }
        });
        collector
    }

    async fn bind() -> (TcpListener, Self) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        (listener, Self { address, seen: Arc::default() })
    }

    async fn answer(
        self,
        request: http::Request<hyper::body::Incoming>,
    ) -> Result<http::Response<Full<Bytes>>, Infallible> {
        assert_eq!(request.uri().path(), "/v1/traces");
        let (head, body) = request.into_parts();
        let mut body = body.collect().await.unwrap().to_bytes().to_vec();
        if head.headers.get("content-encoding").is_some_and(|encoding| encoding == "gzip") {
            let packed = std::mem::take(&mut body);
            GzDecoder::new(&packed[..]).read_to_end(&mut body).unwrap();
        }
        self.take(ExportTraceServiceRequest::decode(&body[..]).unwrap(), &head.headers);
        Ok(http::Response::new(Full::default()))
    }

    fn take(&self, request: ExportTraceServiceRequest, headers: &http::HeaderMap) {
        let mut seen = self.seen.lock().unwrap();
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        seen.headers = headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        for all in request.resource_spans {
            seen.resource = all.resource.unwrap().attributes;
            seen.spans.extend(all.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
    }

    /// Waits for so many spans, and returns them, in the order of their starts. Those of waits, which any call may have, are left out.
    pub async fn spans(&self, count: usize) -> Vec<Span> {
        eventually("spans are exported", || self.count() >= count).await;
        let mut spans = self.all();
        spans.retain(|span| span.name != "queue");
        assert_eq!(spans.len(), count, "{spans:#?}");
        spans
    }

    /// All spans so far.
    pub fn all(&self) -> Vec<Span> {
        let mut spans = self.seen.lock().unwrap().spans.clone();
        spans.sort_by_key(|span| (span.start_time_unix_nano, span.kind != SpanKind::Server as i32));
        spans
    }

    pub fn count(&self) -> usize {
        self.seen.lock().unwrap().spans.iter().filter(|span| span.name != "queue").count()
    }

    /// An attribute of what is traced.
    pub fn resource(&self, key: &str) -> String {
        attribute(&self.seen.lock().unwrap().resource, key)
    }

    /// A header of the last export.
    pub fn header(&self, name: &str) -> Option<String> {
        let seen = self.seen.lock().unwrap();
        seen.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone())
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let headers = request.metadata().clone().into_headers();
        self.take(request.into_inner(), &headers);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// An attribute as text; nothing if there is none.
pub fn attribute(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|pair| pair.key == key);
    let value = found.and_then(|pair| pair.value.as_ref()).and_then(|value| value.value.as_ref());
    match value {
        None => String::new(),
        Some(any_value::Value::StringValue(text)) => text.clone(),
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        Some(other) => panic!("{key}: {other:?}"),
    }
}

pub fn hex(bytes: &[u8]) -> String {
    let digits = |byte: &u8| [byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap());
    bytes.iter().flat_map(digits).collect()
}

/// The real collector, if `scripts/setup.sh` has installed it; otherwise a line that says so.
pub fn binary() -> Option<PathBuf> {
    let found = Some(repository().join("target/bin/collector")).filter(|path| path.exists());
    if found.is_none() {
        eprintln!("skipped: there is no OpenTelemetry collector; `make test` installs it if Go is installed");
    }
    found
}
