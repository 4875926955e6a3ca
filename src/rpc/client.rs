//! The caller's side of `rpc.listen`, for the command line: one connection, one call after the other, arguments and results as JSON.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout, timeout_at};

use super::envelope::{Call, NoCall};
use crate::goridge::{Decoder, Flags, Item, TooLarge, Violation};
use crate::net::{Address, Stream, dial};

/// Bytes of a reply, at most. A history can be long.
const MAX_REPLY: usize = 256 << 20;

/// How many bytes are read at once.
const READ: usize = 64 << 10;

/// Why a call has no result. The causes are in the chain of sources.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The connection was refused, or there is no such host or socket file.
    #[error("nobody answers at {address}")]
    Unreachable {
        /// What was tried.
        address: Address,
        /// What the system says.
        source: io::Error,
    },
    /// The connection was not there in time.
    #[error("nobody answers at {address} within {within:?}")]
    ConnectTimeout {
        /// What was tried.
        address: Address,
        /// How long it was waited.
        within: Duration,
    },
    /// No reply came in time. It may still come; whether the method was run is not known.
    #[error("{method} was not answered within {within:?}")]
    Timeout {
        /// What was called.
        method: String,
        /// How long it was waited.
        within: Duration,
    },
    /// The server hung up before it replied, or is gone.
    #[error("the connection ended before {method} was answered")]
    Closed {
        /// What was called.
        method: String,
        /// What the system says, if it was an error.
        source: Option<io::Error>,
    },
    /// What came is not a reply.
    #[error("what answers there does not speak goridge")]
    Violation(#[from] Violation),
    /// What came is a frame, but no reply.
    #[error("what answers there does not speak goridge's RPC: {0}")]
    NoReply(String),
    /// The result is no JSON.
    #[error("the result of {method} cannot be read")]
    Result {
        /// What was called.
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

/// A connection to a server. It can be used on after any error in a reply; after a timeout too, since late replies are told by their
/// numbers.
pub struct Client {
    stream: Stream,
    decoder: Decoder,
    input: BytesMut,
    sequence: u32,
}

impl Client {
    /// Connects; an address of all interfaces, or without a host, is taken as this machine's loopback.
    ///
    /// # Errors
    /// When nobody listens there, or the connection is not there `within` this time.
    pub async fn connect(address: &Address, within: Duration) -> Result<Self, ClientError> {
        match timeout(within, dial::connect(address)).await {
            Ok(Ok(stream)) => {
                Ok(Self { stream, decoder: Decoder::strict(MAX_REPLY), input: BytesMut::new(), sequence: 0 })
            }
            Ok(Err(source)) => Err(ClientError::Unreachable { address: address.clone(), source }),
            Err(_) => Err(ClientError::ConnectTimeout { address: address.clone(), within }),
        }
    }

    /// Calls `method`, say `informer.Workers`, and gives its result. A `null` argument is none at all, which a server takes as the zero
    /// value of whatever it expects.
    ///
    /// # Errors
    /// The server's own text, or why there is no reply `within` this time.
    pub async fn call(
        &mut self,
        method: &str,
        argument: &Value,
        within: Duration,
    ) -> Result<Value, ClientError> {
        self.sequence = self.sequence.wrapping_add(1);
        let argument = if argument.is_null() { Bytes::new() } else { argument.to_string().into() };
        let method_bytes = Bytes::copy_from_slice(method.as_bytes());
        let call = Call { sequence: self.sequence, method: method_bytes, argument, flags: Flags::JSON };
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

    /// Waits until the server has hung up, which its process's end does at the latest; false when it has not `within` this time.
    pub async fn closed(&mut self, within: Duration) -> bool {
        let end = async {
            // Late replies are of no interest any more.
            while matches!(self.stream.read_buf(&mut self.input).await, Ok(1..)) {
                self.input.clear();
            }
        };
        timeout(within, end).await.is_ok()
    }

    /// Sends a call and reads up to its reply, which looks like a call: the result stands where the argument was.
    async fn exchange(&mut self, method: &str, output: &[u8]) -> Result<Call, ClientError> {
        let closed = |source| ClientError::Closed { method: method.to_owned(), source };
        self.stream.write_all(output).await.map_err(|error| closed(Some(error)))?;
        loop {
            if let Some(Item::Frame(frame)) = self.decoder.decode(&mut self.input)? {
                let reply =
                    Call::parse(frame).map_err(|error: NoCall| ClientError::NoReply(error.to_string()))?;
                // A reply to a call that was given up comes first.
                if reply.sequence == self.sequence {
                    return Ok(reply);
                }
                continue;
            }
            // What a header claims is reserved only in steps of what has come.
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

    /// As the command line tells it.
    fn told(error: ClientError) -> String {
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
    async fn a_call_has_a_result_or_the_server_s_own_words() {
        let address = server(|mut call| {
            if call.method == "no" {
                call.flags = Flags::JSON | Flags::ERROR;
                call.argument = "not today".into();
            }
            vec![call]
        })
        .await;
        let mut client = Client::connect(&address, LONG).await.unwrap();
        let argument = json!({"a": [1, "x"]});
        assert_eq!(client.call("yes", &argument, LONG).await.unwrap(), argument);
        let error = client.call("no", &argument, LONG).await.unwrap_err();
        assert!(matches!(&error, ClientError::Server(text) if text == "not today"), "{error}");
        assert_eq!(client.call("yes", &Value::Null, LONG).await.unwrap(), Value::Null);
    }

    #[tokio::test]
    async fn a_late_reply_is_not_taken_for_the_next_one_s() {
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
        let mut client = Client::connect(&address, LONG).await.unwrap();
        let error = client.call("slow", &json!("first"), Duration::from_millis(20)).await.unwrap_err();
        assert_eq!(error.to_string(), "slow was not answered within 20ms");
        assert_eq!(client.call("fast", &json!("second"), LONG).await.unwrap(), json!("second"));
    }

    #[tokio::test]
    async fn nobody_there_and_somebody_else_there_are_told() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = Address::Tcp(format!("127.0.0.1:{port}"));
        let error = told(Client::connect(&address, LONG).await.unwrap_err());
        assert_eq!(error, format!("nobody answers at {address}: Connection refused (os error 111)"));
        let missing = Address::Unix("/nonexistent/rpc.sock".into());
        let error = told(Client::connect(&missing, LONG).await.unwrap_err());
        assert!(error.contains("No such file"), "{error}");

        for (said, words) in
            [("HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak goridge"), ("", "the connection ended")]
        {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = Address::Tcp(listener.local_addr().unwrap().to_string());
            tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.read_buf(&mut BytesMut::new()).await.unwrap();
                stream.write_all(said.as_bytes()).await.unwrap();
            });
            let mut client = Client::connect(&address, LONG).await.unwrap();
            let error = told(client.call("x", &Value::Null, LONG).await.unwrap_err());
            assert!(error.contains(words), "{error}");
        }
    }
}
