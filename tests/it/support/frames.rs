//! HTTP/2 written by hand, for callers who do what no library does.

use causeway::proto::proxy::RpcRequest;
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

use super::Server;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RESET: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// Frames that are sent together.
#[derive(Default)]
pub struct Frames(pub Vec<u8>);

impl Frames {
    pub fn add(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> &mut Self {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        self.0.extend_from_slice(&length[1..]);
        self.0.extend_from_slice(&[kind, flags]);
        self.0.extend_from_slice(&stream.to_be_bytes());
        self.0.extend_from_slice(payload);
        self
    }

    /// The headers of a call, after those of the first one.
    pub fn call(&mut self, stream: u32, flags: u8) -> &mut Self {
        self.add(HEADERS, END_HEADERS | flags, stream, &AGAIN)
    }

    pub fn message(&mut self, stream: u32, message: &[u8]) -> &mut Self {
        for (index, piece) in message.chunks(16 * 1024).enumerate() {
            let is_last = (index + 1) * 16 * 1024 >= message.len();
            self.add(DATA, if is_last { END_STREAM } else { 0 }, stream, piece);
        }
        self
    }

    pub fn reset(&mut self, stream: u32) -> &mut Self {
        self.add(RESET, 0, stream, &8_u32.to_be_bytes())
    }
}

/// The headers of an RPC by their places in HPACK's tables, once [`first_headers`] were sent.
pub const AGAIN: [u8; 6] = [0x83, 0x86, 0xc1, 0xc0, 0xbf, 0xbe];

/// A field that goes into HPACK's table; `index` is that of its name, or 0 with the name behind it.
pub fn field(index: u8, name: &str, value: &[u8]) -> Vec<u8> {
    let mut block = vec![0x40 | index];
    if index == 0 {
        string(&mut block, name.as_bytes());
    }
    string(&mut block, value);
    block
}

fn string(block: &mut Vec<u8>, bytes: &[u8]) {
    let mut length = bytes.len();
    if length < 127 {
        block.push(u8::try_from(length).unwrap());
    } else {
        block.push(127);
        length -= 127;
        while length >= 128 {
            block.push(u8::try_from(length % 128).unwrap() | 128);
            length /= 128;
        }
        block.push(u8::try_from(length).unwrap());
    }
    block.extend_from_slice(bytes);
}

/// The headers of an RPC in full.
fn first_headers() -> Vec<u8> {
    [
        vec![0x83, 0x86],
        field(4, "", b"/centrifugal.centrifugo.proxy.CentrifugoProxy/RPC"),
        field(1, "", b"attack"),
        field(31, "", b"application/grpc"),
        field(0, "te", b"trailers"),
    ]
    .concat()
}

/// An RPC behind gRPC's prefix.
pub fn rpc(method: &str, data: &[u8]) -> Vec<u8> {
    let message = RpcRequest { method: method.into(), data: data.to_vec().into(), ..RpcRequest::default() };
    prefixed(0, &message.encode_to_vec())
}

pub fn prefixed(compressed: u8, message: &[u8]) -> Vec<u8> {
    let mut bytes = vec![compressed];
    bytes.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    bytes.extend(message);
    bytes
}

/// A connection without rules.
pub struct Raw {
    pub stream: TcpStream,
    pub next: u32,
}

impl Raw {
    /// Connects with these settings, makes the first call and cancels it.
    pub async fn connect(server: &Server, settings: &[(u16, u32)]) -> Self {
        let stream = TcpStream::connect(server.address()).await.unwrap();
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend(name.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        let mut frames = Frames(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec());
        frames.add(SETTINGS, 0, 0, &payload).add(SETTINGS, 1, 0, &[]);
        frames.add(HEADERS, END_HEADERS, 1, &first_headers()).reset(1);
        let mut raw = Self { stream, next: 3 };
        raw.send(&frames).await;
        raw
    }

    /// The number of a new stream.
    pub fn open(&mut self) -> u32 {
        self.next += 2;
        self.next - 2
    }

    /// Sends, if the server has not closed the connection.
    pub async fn send(&mut self, frames: &Frames) -> bool {
        self.stream.write_all(&frames.0).await.is_ok()
    }

    /// The same while what the server says is read and dropped.
    pub fn drained(self) -> Drained {
        let next = self.next;
        let (read, write) = self.stream.into_split();
        Drained { write, next, reader: tokio::spawn(drain(read)) }
    }
}

async fn drain(mut read: OwnedReadHalf) -> usize {
    let (mut buffer, mut all) = (vec![0; 64 * 1024], 0);
    while let Ok(read @ 1..) = read.read(&mut buffer).await {
        all += read;
    }
    all
}

/// A connection that is read.
pub struct Drained {
    write: tokio::net::tcp::OwnedWriteHalf,
    next: u32,
    reader: tokio::task::JoinHandle<usize>,
}

impl Drained {
    pub fn open(&mut self) -> u32 {
        self.next += 2;
        self.next - 2
    }

    pub async fn send(&mut self, frames: &Frames) -> bool {
        self.write.write_all(&frames.0).await.is_ok()
    }

    /// Closes the sending side, and waits until the server closes the connection. Returns how many bytes it sent.
    pub async fn end(mut self) -> usize {
        let _ = self.write.shutdown().await;
        let read = tokio::time::timeout(super::PATIENCE, &mut self.reader).await;
        read.expect("the server hangs up").unwrap()
    }
}
