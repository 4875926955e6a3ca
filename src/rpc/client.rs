//! The caller's side of `rpc.listen`, for the command line: one connection, one call after the other, arguments and results as JSON.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use super::envelope::{Call, NoCall};
use crate::goridge::{Decoder, Flags, Item, TooLarge, Violation};
use crate::net::{Address, Stream, dial};
use crate::tls;

/// Bytes of a reply, at most. A history can be long.
const MAX_REPLY: usize = 256 << 20;

/// Bytes that are read at once, at most.
const READ: usize = 64 << 10;

/// Why a call has no result. The cause is in the chain of sources.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The connection was refused, or there is no such host or socket file.
    #[error("cannot connect to {address}")]
    Unreachable {
        /// The address that was tried, as it is shown.
        address: String,
        /// The system's error.
        source: io::Error,
    },
    /// The certificates for TLS cannot be used.
    #[error("cannot speak TLS with {address}")]
    Tls {
        /// The address, as it is shown.
        address: String,
        /// Why not.
        source: tls::Error,
    },
    /// The connection was not established in time.
    #[error("cannot connect to {address} within {within:?}")]
    ConnectTimeout {
        /// The address that was tried, as it is shown.
        address: String,
        /// The time limit.
        within: Duration,
    },
    /// No reply arrived in time. Whether the method was run is not known.
    #[error("{method} was not answered within {within:?}")]
    Timeout {
        /// The method.
        method: String,
        /// The time limit.
        within: Duration,
    },
    /// The server closed the connection before it replied.
    #[error("the connection was closed before {method} was answered")]
    Closed {
        /// The method.
        method: String,
        /// The system's error, if there was one.
        source: Option<io::Error>,
    },
    /// The bytes are not goridge.
    #[error("the server does not speak goridge")]
    Violation(#[from] Violation),
    /// The frame is not a reply.
    #[error("the server does not speak goridge's RPC: {0}")]
    NoReply(String),
    /// The result is not JSON.
    #[error("cannot decode the result of {method}")]
    Result {
        /// The method.
        method: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The argument does not fit into a frame.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// The method's own error, in the server's words.
    #[error("{0}")]
    Server(String),
}

impl ClientError {
    /// The same error with the address in another form.
    pub(crate) fn showing(mut self, shown: &impl ToString) -> Self {
        if let Self::Unreachable { address, .. }
        | Self::Tls { address, .. }
        | Self::ConnectTimeout { address, .. } = &mut self
        {
            *address = shown.to_string();
        }
        self
    }
}

/// A connection to a server. It can still be used after an error in a reply, and after a timeout, since late replies are recognized by their
/// sequence numbers.
pub struct Client {
    stream: Stream,
    decoder: Decoder,
    input: BytesMut,
    sequence: u32,
}

impl Client {
    /// Connects, with `tls` over TCP if there is one. An address of all interfaces, or without a host, stands for the loopback interface.
    ///
    /// # Errors
    /// When the connection is refused, or not established `within` this time.
    pub async fn connect(
        address: &Address,
        tls: Option<&TlsConnector>,
        within: Duration,
    ) -> Result<Self, ClientError> {
        match timeout(within, dial::connect(address, tls)).await {
            Ok(Ok(stream)) => {
                Ok(Self { stream, decoder: Decoder::strict(MAX_REPLY), input: BytesMut::new(), sequence: 0 })
            }
            Ok(Err(source)) => Err(ClientError::Unreachable { address: address.to_string(), source }),
            Err(_) => Err(ClientError::ConnectTimeout { address: address.to_string(), within }),
        }
    }

    /// Calls `method`, say `informer.Workers`, and returns its result. A `null` argument is sent as no bytes, which stand for the zero value
    /// of whatever the method expects.
    ///
    /// # Errors
    /// The server's error, or why there is no reply `within` this time.
    pub async fn call(
        &mut self,
        method: &str,
        argument: &Value,
        within: Duration,
    ) -> Result<Value, ClientError> {
        self.sequence = self.sequence.wrapping_add(1);
        let argument = if argument.is_null() { Bytes::new() } else { argument.to_string().into() };
        let method_bytes = Bytes::copy_from_slice(method.as_bytes());
        // Its result is a text of JSON as bytes, which the codec of JSON would return in base64.
        let flags = if method == "rpc.Config" { Flags::RAW } else { Flags::JSON };
        let call = Call { sequence: self.sequence, method: method_bytes, argument, flags };
        let mut output = BytesMut::new();
        call.write(&mut output)?;
        let deadline = Instant::now().checked_add(within);
        let exchange = self.exchange(method, &output);
        let reply = match deadline {
            Some(deadline) => timeout_at(deadline, exchange).await,
            None => Ok(exchange.await),
        };
        let reply =
            reply.map_err(|_| ClientError::Timeout { method: method.to_owned(), within }).flatten()?;
        if reply.flags.contains(Flags::ERROR) {
            return Err(ClientError::Server(String::from_utf8_lossy(&reply.argument).into_owned()));
        }
        if reply.argument.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&reply.argument)
            .map_err(|source| ClientError::Result { method: method.to_owned(), source })
    }

    /// Waits until the server closes the connection, at the latest by exiting; false when it does not `within` this time.
    pub async fn closed(&mut self, within: Duration) -> bool {
        let end = async {
            // Late replies are dropped.
            while matches!(self.stream.read_buf(&mut self.input).await, Ok(1..)) {
                self.input.clear();
            }
        };
        timeout(within, end).await.is_ok()
    }

    /// Sends a call and reads until its reply, which looks like a call with the result in place of the argument.
    async fn exchange(&mut self, method: &str, output: &[u8]) -> Result<Call, ClientError> {
        let closed = |source| ClientError::Closed { method: method.to_owned(), source };
        self.stream.write_all(output).await.map_err(|error| closed(Some(error)))?;
        self.stream.flush().await.map_err(|error| closed(Some(error)))?;
        loop {
            if let Some(Item::Frame(frame)) = self.decoder.decode(&mut self.input)? {
                let reply =
                    Call::parse(frame).map_err(|error: NoCall| ClientError::NoReply(error.to_string()))?;
                // The late reply to a call that timed out may come first.
                if reply.sequence == self.sequence {
                    return Ok(reply);
                }
                continue;
            }
            // The length in a header is reserved only in steps of what has arrived.
            let wanted = self.decoder.wanted(&self.input);
            self.input.reserve(wanted.clamp(1, READ.max(self.input.len())));
            match self.stream.read_buf(&mut self.input).await {
                Ok(0) => return Err(closed(None)),
                Ok(_) => {}
                Err(error) => return Err(closed(Some(error))),
            }
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("sequence", &self.sequence).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::net::TcpListener;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    /// As the command line prints it.
    fn printed(error: ClientError) -> String {
        format!("{:#}", anyhow::Error::from(error))
    }

    /// Answers each call by what `answer` makes of its frame.
    async fn server(answer: impl Fn(Call) -> Vec<Call> + Send + 'static) -> Address {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut decoder, mut input) = (Decoder::strict(1 << 20), BytesMut::new());
            while stream.read_buf(&mut input).await.unwrap_or_default() > 0 {
                while let Some(Item::Frame(frame)) = decoder.decode(&mut input).unwrap() {
                    let mut output = BytesMut::new();
                    for reply in answer(Call::parse(frame).unwrap()) {
                        reply.write(&mut output).unwrap();
                    }
                    stream.write_all(&output).await.unwrap();
                }
            }
        });
        Address::Tcp(format!(":{port}"))
    }

    #[tokio::test]
    async fn a_call_has_a_result_or_the_server_s_error() {
        let address = server(|mut call| {
            if call.method == "no" {
                call.flags = Flags::JSON | Flags::ERROR;
                call.argument = "not today".into();
            }
            vec![call]
        })
        .await;
        let mut client = Client::connect(&address, None, LONG).await.unwrap();
        let argument = json!({"a": [1, "x"]});
        assert_eq!(client.call("yes", &argument, LONG).await.unwrap(), argument);
        let error = client.call("no", &argument, LONG).await.unwrap_err();
        assert!(matches!(&error, ClientError::Server(text) if text == "not today"), "{error}");
        assert_eq!(client.call("yes", &Value::Null, LONG).await.unwrap(), Value::Null);
    }

    #[tokio::test]
    async fn a_late_reply_is_not_taken_for_the_next_one() {
        let late = std::sync::Mutex::new(None);
        let address = server(move |call| {
            let mut late = late.lock().unwrap();
            if call.method == "slow" {
                *late = Some(call);
                return Vec::new();
            }
            late.take().into_iter().chain([call]).collect()
        })
        .await;
        let mut client = Client::connect(&address, None, LONG).await.unwrap();
        let error = client.call("slow", &json!("first"), Duration::from_millis(20)).await.unwrap_err();
        assert_eq!(error.to_string(), "slow was not answered within 20ms");
        assert_eq!(client.call("fast", &json!("second"), LONG).await.unwrap(), json!("second"));
    }

    #[tokio::test]
    async fn an_address_without_a_server_or_with_another_protocol_is_reported() {
        // No other program uses this address.
        let free = std::net::TcpListener::bind("127.0.1.2:0").unwrap().local_addr().unwrap();
        let address = Address::Tcp(free.to_string());
        let error = printed(Client::connect(&address, None, LONG).await.unwrap_err());
        assert_eq!(error, format!("cannot connect to {address}: Connection refused (os error 111)"));
        let missing = Address::Unix("/nonexistent/rpc.sock".into());
        let error = printed(Client::connect(&missing, None, LONG).await.unwrap_err());
        assert!(error.contains("No such file"), "{error}");

        for (said, words) in [
            ("HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak goridge"),
            ("", "the connection was closed"),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = Address::Tcp(listener.local_addr().unwrap().to_string());
            tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.read_buf(&mut BytesMut::new()).await.unwrap();
                stream.write_all(said.as_bytes()).await.unwrap();
            });
            let mut client = Client::connect(&address, None, LONG).await.unwrap();
            let error = printed(client.call("x", &Value::Null, LONG).await.unwrap_err());
            assert!(error.contains(words), "{error}");
        }
    }
}
