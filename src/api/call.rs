//! One call: one HTTP/2 stream, by the rules of gRPC over HTTP/2.

use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::{BufMut as _, Bytes, BytesMut};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use h2::RecvStream;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, Version, header};
use tonic::{Code, Status};

use super::connection::Connection;
use super::{Config, Error, SetupError};
use crate::offload::{self, LONG};

/// Centrifugo's service.
const SERVICE: &str = "centrifugal.centrifugo.api.CentrifugoApi";

/// The largest answer that is read, compressed or not.
const MAX_ANSWER: usize = 64 << 20;

/// Bytes of all answers that are still coming, at most.
const MAX_COMING: usize = 128 << 20;

/// How much longer a compressed message may be expected to become.
const UNZIPPED: usize = 16;

/// One byte that tells whether the message is compressed, four for its length.
const PREFIX: usize = 5;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// Centrifugo has not begun with the call; it may be sent again.
    NotBegun(Error),
    /// All others.
    Final(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

/// What all calls have in common.
#[derive(Debug)]
pub(super) struct Caller {
    address: String,
    scheme: Scheme,
    authority: Authority,
    headers: HeaderMap,
    gzip: bool,
    /// Bytes of answers that are still coming, but for the first part of each.
    coming: AtomicUsize,
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
            coming: AtomicUsize::new(0),
        })
    }

    pub(super) async fn call(
        &self,
        connection: &Connection,
        method: &str,
        message: &Bytes,
    ) -> Result<Bytes, Failure> {
        let request = self.request(method)?;
        let (prefix, message) = if message.len() <= LONG {
            (None, frame(message, self.gzip)?)
        } else {
            // Boxed, as is what else is rare: the future of a usual call is kept small.
            Box::pin(self.framed(message)).await?
        };
        // Until here nothing was sent, and a connection that is going away refuses.
        let not_sent = |cause: h2::Error| Failure::NotBegun(Error::broken(&self.address, &cause));
        let (sender, _call) = connection.begin();
        let mut sender = sender.ready().await.map_err(not_sent)?;
        let (response, mut stream) = sender.send_request(request, false).map_err(not_sent)?;
        // h2 keeps what the other side does not take yet.
        if let Some(prefix) = prefix {
            stream.send_data(prefix, false).map_err(|cause| self.failure(&cause))?;
        }
        stream.send_data(message, true).map_err(|cause| self.failure(&cause))?;
        let (head, body) = response.await.map_err(|cause| self.failure(&cause))?.into_parts();
        connection.hear();
        self.read(&head, body).await
    }

    /// A long message behind its prefix, or apart from it, so that it need not be copied.
    async fn framed(&self, message: &Bytes) -> Result<(Option<Bytes>, Bytes), Error> {
        if !self.gzip {
            return Ok((Some(prefix(false, message.len())?.to_vec().into()), message.clone()));
        }
        let long = message.clone();
        let framed = offload::run(long.len(), move || frame(&long, true)).await;
        framed.map_err(|panic| lost(&panic)).flatten().map(|framed| (None, framed))
    }

    fn request(&self, method: &str) -> Result<Request<()>, Error> {
        let unknown = || Error::new(Code::Unimplemented, format!("method {method:?} cannot exist"));
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
        // A call that failed at once has its status here and nothing after it.
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
        let is_gzip = head.headers.get("grpc-encoding").is_some_and(|encoding| encoding == "gzip");
        if !is_gzip {
            return Ok(unframe(answer, false)?);
        }
        let length = answer.len() * UNZIPPED;
        let unframed = Box::pin(offload::run(length, move || unframe(answer, true))).await;
        Ok(unframed.map_err(|panic| lost(&panic)).flatten()?)
    }

    /// All bytes of the answer. Most fit into one DATA frame and are not copied.
    async fn data(&self, body: &mut RecvStream) -> Result<Bytes, Failure> {
        let mut first = Bytes::new();
        let mut all = BytesMut::new();
        let mut coming = Coming { of_all: &self.coming, bytes: 0 };
        while let Some(chunk) = body.data().await {
            let chunk = chunk.map_err(|cause| self.failure(&cause))?;
            // Only a stream that has ended already says no.
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
            coming.add(chunk.len())?;
            all.extend_from_slice(&chunk);
        }
        Ok(if all.is_empty() { first } else { all.freeze() })
    }

    fn failure(&self, cause: &h2::Error) -> Failure {
        let error = Error::broken(&self.address, cause);
        // Both say that the other side has not looked at the stream.
        let refused = cause.is_reset() && cause.reason() == Some(h2::Reason::REFUSED_STREAM);
        let goes_away = cause.is_go_away() && cause.is_remote();
        if refused || goes_away { Failure::NotBegun(error) } else { Failure::Final(error) }
    }
}

/// The part of an answer that has come so far.
struct Coming<'a> {
    of_all: &'a AtomicUsize,
    bytes: usize,
}

impl Coming<'_> {
    fn add(&mut self, bytes: usize) -> Result<(), Error> {
        self.bytes += bytes;
        if self.of_all.fetch_add(bytes, Relaxed) + bytes > MAX_COMING {
            let text = format!("more than {} MB of answers are coming", MAX_COMING >> 20);
            return Err(Error::new(Code::ResourceExhausted, text));
        }
        Ok(())
    }
}

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.of_all.fetch_sub(self.bytes, Relaxed);
        }
    }
}

/// The headers of every call. The time is the whole of `api_timeout` even for a call that waited for a connection: it only tells
/// Centrifugo when nobody waits any more, and headers that never change cost HTTP/2 a byte each.
pub(super) fn headers(config: &Config) -> Result<HeaderMap, SetupError> {
    let mut headers = HeaderMap::new();
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    let agent = concat!("causeway/", env!("CARGO_PKG_VERSION"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
    headers.insert("grpc-accept-encoding", HeaderValue::from_static("gzip"));
    if config.use_compressor {
        headers.insert("grpc-encoding", HeaderValue::from_static("gzip"));
    }
    if let Ok(timeout) = HeaderValue::from_str(&timeout_text(config.api_timeout)) {
        headers.insert("grpc-timeout", timeout);
    }
    if let Some(key) = &config.api_key {
        let text = format!("apikey {}", key.expose());
        let mut value = HeaderValue::from_str(&text).map_err(|_| SetupError::ApiKey)?;
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
    Ok(headers)
}

/// At most eight digits and a unit, by gRPC's rules.
fn timeout_text(timeout: std::time::Duration) -> String {
    let millis = timeout.as_millis().max(1);
    if millis < 100_000_000 {
        format!("{millis}m")
    } else {
        format!("{}S", timeout.as_secs().min(99_999_999))
    }
}

fn check(headers: &HeaderMap) -> Result<(), Error> {
    match Status::from_header_map(headers) {
        Some(status) if status.code() != Code::Ok => Err(status.into()),
        _ => Ok(()),
    }
}

/// The message behind its prefix.
fn frame(message: &Bytes, gzip: bool) -> Result<Bytes, Error> {
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.put_bytes(0, PREFIX);
    if gzip {
        let mut encoder = GzEncoder::new(framed.writer(), Compression::fast());
        let written = encoder.write_all(message).and_then(|()| encoder.finish());
        framed = written.map_err(|cause| Error::new(Code::Internal, cause.to_string()))?.into_inner();
    } else {
        framed.extend_from_slice(message);
    }
    let prefix = prefix(gzip, framed.len() - PREFIX)?;
    framed[..PREFIX].copy_from_slice(&prefix);
    Ok(framed.freeze())
}

fn prefix(gzip: bool, length: usize) -> Result<[u8; PREFIX], Error> {
    let length = u32::try_from(length)
        .map_err(|_| Error::new(Code::ResourceExhausted, "the message is larger than gRPC allows"))?;
    let [a, b, c, d] = length.to_be_bytes();
    Ok([u8::from(gzip), a, b, c, d])
}

/// Work that was done elsewhere has ended without a result.
fn lost(panic: &tokio::task::JoinError) -> Error {
    Error::new(Code::Internal, panic.to_string())
}

/// The one message of an answer.
fn unframe(mut answer: Bytes, is_gzip: bool) -> Result<Bytes, Error> {
    let malformed = |what: &str| Error::new(Code::Internal, format!("the answer {what}"));
    let Some((&[flag, a, b, c, d], rest)) = answer.split_first_chunk::<PREFIX>() else {
        return Err(malformed("has no message"));
    };
    if u32::from_be_bytes([a, b, c, d]) as usize != rest.len() {
        return Err(malformed("is not the one message that it announces"));
    }
    let message = answer.split_off(PREFIX);
    match flag {
        0 => Ok(message),
        1 if is_gzip => unzip(&message),
        _ => Err(malformed("is compressed in an unknown way")),
    }
}

fn unzip(message: &[u8]) -> Result<Bytes, Error> {
    let mut plain = Vec::new();
    // One byte more than allowed tells that there is more.
    let mut reader = GzDecoder::new(message).take(MAX_ANSWER as u64 + 1);
    match reader.read_to_end(&mut plain) {
        Ok(length) if length > MAX_ANSWER => Err(too_large()),
        Ok(_) => Ok(plain.into()),
        Err(cause) => Err(Error::new(Code::Internal, format!("the answer cannot be decompressed: {cause}"))),
    }
}

fn too_large() -> Error {
    Error::new(Code::ResourceExhausted, format!("the answer is larger than {MAX_ANSWER} bytes"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_have_at_most_eight_digits() {
        for (timeout, text) in [
            (Duration::from_secs(5), "5000m"),
            (Duration::from_micros(1), "1m"),
            (Duration::from_secs(100_000), "100000S"),
            (Duration::MAX, "99999999S"),
        ] {
            assert_eq!(timeout_text(timeout), text);
        }
    }

    #[test]
    fn a_message_that_grows_beyond_the_limit_is_refused_however_small_it_was() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        std::io::copy(&mut std::io::repeat(0).take(MAX_ANSWER as u64 + 1), &mut encoder).unwrap();
        let bomb = encoder.finish().unwrap();
        assert_eq!(unzip(&bomb).unwrap_err().code(), Code::ResourceExhausted);
    }

    proptest! {
        #[test]
        fn what_is_framed_can_be_unframed(message in prop::collection::vec(any::<u8>(), 0..4096), gzip: bool) {
            let message = Bytes::from(message);
            prop_assert_eq!(unframe(frame(&message, gzip).unwrap(), gzip).unwrap(), message);
        }

        #[test]
        fn no_answer_makes_a_panic(answer in prop::collection::vec(any::<u8>(), 0..64), gzip: bool) {
            let _ = unframe(answer.into(), gzip);
        }
    }
}
