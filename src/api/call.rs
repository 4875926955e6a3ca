//! One call: one HTTP/2 stream, by the rules of gRPC.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::{Bytes, BytesMut};
use flate2::Compression;
use h2::RecvStream;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, Version, header};
use tonic::{Code, Status};

use super::connection::Connection;
use super::{Config, Error, SetupError};
use crate::grpc::{self, PREFIX, Prefix, TooLong};
use crate::offload::{self, LONG};
use crate::telemetry::trace::{TRACEPARENT, Trace};

/// Centrifugo's service.
pub(super) const SERVICE: &str = "centrifugal.centrifugo.api.CentrifugoApi";

/// Bytes of an answer, compressed or not, at most.
const MAX_ANSWER: usize = 64 << 20;

/// Bytes of all answers that are still arriving, at most.
const MAX_ARRIVING: usize = 128 << 20;

/// By how much a compressed message is expected to grow.
const EXPANSION: usize = 16;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// Centrifugo has not started the call; it may be sent again.
    NotBegun(Error),
    /// Any other failure.
    Final(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

/// What all calls share.
#[derive(Debug)]
pub(super) struct Caller {
    address: String,
    scheme: Scheme,
    authority: Authority,
    headers: HeaderMap,
    gzip: bool,
    /// Bytes of answers that are still arriving, but for the first part of each.
    arriving: AtomicUsize,
}

impl Caller {
    pub(super) fn new(config: &Config) -> Result<Self, SetupError> {
        let address = config.address.clone();
        let authority = address.parse().map_err(|_| SetupError::Address(address.clone()))?;
        let scheme = if config.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
        Ok(Self {
            address,
            scheme,
            authority,
            headers: headers(config)?,
            gzip: config.use_compressor,
            arriving: AtomicUsize::new(0),
        })
    }

    pub(super) async fn call(
        &self,
        connection: &Connection,
        method: &str,
        message: &Bytes,
        trace: Option<&Trace>,
    ) -> Result<Bytes, Failure> {
        let mut request = self.request(method)?;
        if let Some(traceparent) = trace.and_then(Trace::traceparent) {
            request.headers_mut().insert(&TRACEPARENT, traceparent);
        }
        let framed = if !self.gzip {
            grpc::frame(message, false)
        } else if message.len() <= LONG {
            grpc::frame(&compress(message)?, true)
        } else {
            // Boxed, like everything rare here, to keep the future of a usual call small.
            grpc::frame(&Box::pin(compress_elsewhere(message.clone())).await?, true)
        };
        let (first, second) = framed.map_err(Error::from)?;
        // Nothing was sent until here, and a connection that is going away refuses.
        let not_sent = |cause: h2::Error| Failure::NotBegun(Error::broken(&self.address, &cause));
        let (sender, _call) = connection.begin();
        let mut sender = sender.ready().await.map_err(not_sent)?;
        let (response, mut stream) = sender.send_request(request, false).map_err(not_sent)?;
        // h2 keeps what the window does not allow yet.
        stream.send_data(first, second.is_empty()).map_err(|cause| self.failure(&cause))?;
        if !second.is_empty() {
            stream.send_data(second, true).map_err(|cause| self.failure(&cause))?;
        }
        let (head, body) = response.await.map_err(|cause| self.failure(&cause))?.into_parts();
        connection.hear();
        self.read(&head, body).await
    }

    fn request(&self, method: &str) -> Result<Request<()>, Error> {
        let unknown = || Error::new(Code::Unimplemented, format!("there is no method {method:?}"));
        if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(unknown());
        }
        let mut parts = http::uri::Parts::default();
        let path = PathAndQuery::from_maybe_shared(Bytes::from(format!("/{SERVICE}/{method}")));
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path.map_err(|_| unknown())?);
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = Uri::from_parts(parts).map_err(|_| unknown())?;
        *request.headers_mut() = self.headers.clone();
        Ok(request)
    }

    async fn read(&self, head: &http::response::Parts, mut body: RecvStream) -> Result<Bytes, Failure> {
        // A call that failed at once has its status in its only headers.
        check(&head.headers)?;
        if head.status != StatusCode::OK {
            let text = format!("{} answered with HTTP status {} and not as gRPC", self.address, head.status);
            return Err(Error::new(Code::Unavailable, text).into());
        }
        let answer = self.data(&mut body).await?;
        let trailers = body.trailers().await.map_err(|cause| self.failure(&cause))?;
        let trailers = trailers.as_ref().unwrap_or(&head.headers);
        if !trailers.contains_key(Status::GRPC_STATUS) {
            return Err(Error::new(Code::Internal, "the answer ended without a gRPC status").into());
        }
        check(trailers)?;
        let is_gzip = head.headers.get(&grpc::ENCODING).is_some_and(|encoding| encoding == "gzip");
        if !is_gzip {
            return Ok(unframe(answer, false)?);
        }
        let length = answer.len() * EXPANSION;
        let unframed = Box::pin(offload::run(length, move || unframe(answer, true))).await;
        Ok(unframed.map_err(|panic| lost(&panic)).flatten()?)
    }

    /// All bytes of the answer. Most fit into one DATA frame and are not copied.
    async fn data(&self, body: &mut RecvStream) -> Result<Bytes, Failure> {
        let mut first = Bytes::new();
        let mut all = BytesMut::new();
        let mut arriving = Arriving { of_all: &self.arriving, bytes: 0 };
        while let Some(chunk) = body.data().await {
            let chunk = chunk.map_err(|cause| self.failure(&cause))?;
            // This fails only on a stream that has ended.
            let _ = body.flow_control().release_capacity(chunk.len());
            if first.is_empty() {
                first = chunk;
                continue;
            }
            if all.is_empty() {
                all.extend_from_slice(&first);
            }
            if all.len() + chunk.len() > MAX_ANSWER + PREFIX {
                return Err(too_large().into());
            }
            arriving.add(chunk.len())?;
            all.extend_from_slice(&chunk);
        }
        Ok(if all.is_empty() { first } else { all.freeze() })
    }

    fn failure(&self, cause: &h2::Error) -> Failure {
        let error = Error::broken(&self.address, cause);
        // Both mean that the server has not processed the stream.
        let refused = cause.is_reset() && cause.reason() == Some(h2::Reason::REFUSED_STREAM);
        let goes_away = cause.is_go_away() && cause.is_remote();
        if refused || goes_away { Failure::NotBegun(error) } else { Failure::Final(error) }
    }
}

/// The part of an answer that has arrived so far.
struct Arriving<'a> {
    of_all: &'a AtomicUsize,
    bytes: usize,
}

impl Arriving<'_> {
    fn add(&mut self, bytes: usize) -> Result<(), Error> {
        self.bytes += bytes;
        if self.of_all.fetch_add(bytes, Relaxed) + bytes > MAX_ARRIVING {
            let text = format!("more than {} MB of answers are being received", MAX_ARRIVING >> 20);
            return Err(Error::new(Code::ResourceExhausted, text));
        }
        Ok(())
    }
}

impl Drop for Arriving<'_> {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.of_all.fetch_sub(self.bytes, Relaxed);
        }
    }
}

/// The headers of every call. The timeout is the whole `api_timeout` even for a call that waited for a connection: Centrifugo only learns
/// from it when the caller gives up, and headers that never change cost HTTP/2 a byte each.
pub(super) fn headers(config: &Config) -> Result<HeaderMap, SetupError> {
    let mut headers = HeaderMap::new();
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(grpc::CONTENT_TYPE));
    let agent = concat!("causeway/", env!("CARGO_PKG_VERSION"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
    headers.insert(&grpc::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    if config.use_compressor {
        headers.insert(&grpc::ENCODING, HeaderValue::from_static("gzip"));
    }
    if let Ok(timeout) = HeaderValue::from_str(&grpc::format_timeout(config.api_timeout)) {
        headers.insert(&grpc::TIMEOUT, timeout);
    }
    if let Some(key) = &config.api_key {
        let text = format!("apikey {}", key.expose());
        let mut value = HeaderValue::from_str(&text).map_err(|_| SetupError::ApiKey)?;
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
    Ok(headers)
}

fn check(headers: &HeaderMap) -> Result<(), Error> {
    match Status::from_header_map(headers) {
        Some(status) if status.code() != Code::Ok => Err(status.into()),
        _ => Ok(()),
    }
}

fn compress(message: &[u8]) -> Result<Bytes, Error> {
    let compressed = grpc::gzip::compress(message, Compression::fast());
    compressed.map(Bytes::from).map_err(|cause| Error::new(Code::Internal, cause.to_string()))
}

async fn compress_elsewhere(message: Bytes) -> Result<Bytes, Error> {
    offload::run(message.len(), move || compress(&message)).await.map_err(|panic| lost(&panic)).flatten()
}

/// Offloaded work has panicked.
fn lost(panic: &tokio::task::JoinError) -> Error {
    Error::new(Code::Internal, panic.to_string())
}

impl From<TooLong> for Error {
    fn from(error: TooLong) -> Self {
        Self::new(Code::ResourceExhausted, error.to_string())
    }
}

/// The one message of an answer.
fn unframe(mut answer: Bytes, is_gzip: bool) -> Result<Bytes, Error> {
    let malformed = |what: &str| Error::new(Code::Internal, format!("the answer {what}"));
    let Some(Prefix { is_compressed, length }) = Prefix::parse(&answer) else {
        return Err(malformed("has no message"));
    };
    let message = answer.split_off(PREFIX);
    if length != message.len() {
        return Err(malformed("is not exactly one message"));
    }
    match (is_compressed, is_gzip) {
        (false, _) => Ok(message),
        (true, true) => decompress(&message),
        (true, false) => Err(malformed("has an unknown compression")),
    }
}

fn decompress(message: &[u8]) -> Result<Bytes, Error> {
    match grpc::gzip::decompress(message, 0, MAX_ANSWER) {
        Ok(Some(plain)) => Ok(plain.into()),
        Ok(None) => Err(too_large()),
        Err(cause) => Err(Error::new(Code::Internal, format!("cannot decompress the answer: {cause}"))),
    }
}

fn too_large() -> Error {
    Error::new(Code::ResourceExhausted, format!("the answer is larger than {MAX_ANSWER} bytes"))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_answer_that_decompresses_beyond_the_limit_is_refused() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        std::io::copy(&mut std::io::repeat(0).take(MAX_ANSWER as u64 + 1), &mut encoder).unwrap();
        let bomb = encoder.finish().unwrap();
        assert_eq!(decompress(&bomb).unwrap_err().code(), Code::ResourceExhausted);
    }

    proptest! {
        #[test]
        fn framed_messages_are_read_back(message in prop::collection::vec(any::<u8>(), 0..4096), gzip: bool) {
            let message = Bytes::from(message);
            let sent = if gzip { compress(&message).unwrap() } else { message.clone() };
            let (first, second) = grpc::frame(&sent, gzip).unwrap();
            prop_assert_eq!(unframe([first, second].concat().into(), gzip).unwrap(), message);
        }

        #[test]
        fn no_answer_makes_a_panic(answer in prop::collection::vec(any::<u8>(), 0..64), gzip: bool) {
            let _ = unframe(answer.into(), gzip);
        }
    }
}
