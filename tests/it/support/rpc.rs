//! A caller of `rpc.listen`, frame by frame.

use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use causeway::goridge::{Decoder, Flags, Frame, Item, Options, StreamBits, encode};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::{PATIENCE, Server};

trait Stream: AsyncRead + AsyncWrite + Send {}

impl<S: AsyncRead + AsyncWrite + Send> Stream for S {}

/// A connection.
pub struct Caller {
    stream: Pin<Box<dyn Stream>>,
    buffer: BytesMut,
    sequence: u32,
}

/// How long nothing comes before a connection is given up that may wait for more. One that is given up too soon costs a new one.
const QUIET: Duration = Duration::from_millis(20);

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    pub flags: u8,
    pub sequence: u32,
    pub method: String,
    pub payload: Bytes,
}

impl Reply {
    pub fn is_error(&self) -> bool {
        Flags::from_bits_retain(self.flags).contains(Flags::ERROR)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }
}

impl Server {
    /// The address of RPC, as workers get it.
    pub fn rpc_address(&self) -> String {
        self.logged_address("rpc")
    }

    pub async fn caller(&self) -> Caller {
        Caller::connect(&self.rpc_address(), self).await
    }
}

impl Caller {
    pub async fn connect(address: &str, server: &Server) -> Self {
        let stream: Pin<Box<dyn Stream>> = match address.strip_prefix("unix://") {
            Some(path) => Box::pin(UnixStream::connect(server.folder.path().join(path)).await.unwrap()),
            None => Box::pin(TcpStream::connect(address.trim_start_matches("tcp://")).await.unwrap()),
        };
        Self { stream, buffer: BytesMut::new(), sequence: 0 }
    }

    /// Sends bytes, whatever they are; whether the peer takes them is not known.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    pub async fn hang_up_sending(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// What arrives, if anything, while the rest of a frame is missing.
    pub async fn say_nothing_more(&mut self) -> Option<Reply> {
        timeout(QUIET, self.read()).await.unwrap_or(None)
    }

    /// Sends a call and returns its sequence number.
    pub async fn begin(&mut self, flags: Flags, method: &str, argument: &[u8]) -> u32 {
        self.sequence += 1;
        self.send(&frame(flags, self.sequence, method, argument)).await;
        self.sequence
    }

    /// The next frame; `None` when the peer hung up.
    pub async fn next(&mut self) -> Option<Reply> {
        timeout(PATIENCE, self.read()).await.expect("no reply in time")
    }

    async fn read(&mut self) -> Option<Reply> {
        loop {
            if let Some(Item::Frame(frame)) =
                Decoder::strict(usize::MAX).decode(&mut self.buffer).expect("a frame")
            {
                return Some(frame.into());
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(1..) => {}
                _ => return None,
            }
        }
    }

    /// One call with its reply.
    pub async fn call(&mut self, flags: Flags, method: &str, argument: &[u8]) -> Reply {
        let sequence = self.begin(flags, method, argument).await;
        let reply = self.next().await.expect("the server hung up");
        assert_eq!((reply.sequence, reply.method.as_str()), (sequence, method));
        reply
    }

    /// Whether a call gets an answer here, whatever comes in between.
    pub async fn still_answers(&mut self) -> bool {
        let sequence = 0x7fff_fffe;
        self.send(&frame(Flags::JSON, sequence, "rpc.Version", b"true")).await;
        loop {
            // The mutated frame may have claimed bytes that this call is a part of: then nothing comes.
            match timeout(QUIET, self.read()).await {
                Ok(Some(reply)) if reply.sequence == sequence => return true,
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return false,
            }
        }
    }

    /// One call in JSON: its result, or the text of its error.
    pub async fn json(&mut self, method: &str, argument: &Value) -> Result<Value, String> {
        let reply = self.call(Flags::JSON, method, argument.to_string().as_bytes()).await;
        if reply.is_error() { Err(reply.text()) } else { Ok(super::json(&reply.text())) }
    }
}

/// A call as bytes.
pub fn frame(flags: Flags, sequence: u32, method: &str, argument: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    let options = Options::from_slice(&[sequence, method.len().try_into().unwrap()]).unwrap();
    encode(&mut out, flags, StreamBits::empty(), options, &[method.as_bytes(), argument]).unwrap();
    out.freeze()
}

impl From<Frame> for Reply {
    fn from(frame: Frame) -> Self {
        let &[sequence, length] = frame.options.as_slice() else { panic!("{frame:?}") };
        let mut payload = frame.payload;
        let method = String::from_utf8_lossy(&payload.split_to(length as usize)).into_owned();
        Self { flags: frame.flags.bits(), sequence, method, payload }
    }
}
