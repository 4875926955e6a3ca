//! A caller of `rpc.listen`, as a worker's client is one.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::{Bytes, BytesMut};
use causeway::goridge::{Decoder, Flags, Frame, Item, Options, StreamBits, encode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// How long a call may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection, with one call at a time.
#[derive(Debug)]
pub(crate) struct Caller {
    stream: UnixStream,
    out: BytesMut,
    read: BytesMut,
    sequence: u32,
}

impl Caller {
    pub(crate) async fn connect(socket: &Path) -> anyhow::Result<Self> {
        let stream = UnixStream::connect(socket)
            .await
            .with_context(|| format!("cannot connect to {}", socket.display()))?;
        Ok(Self { stream, out: BytesMut::new(), read: BytesMut::new(), sequence: 0 })
    }

    /// Calls a method with an argument that is encoded as the flags say. Returns the encoded result.
    ///
    /// # Errors
    /// If the call fails, or the answer is not one to this call.
    pub(crate) async fn call(
        &mut self,
        method: &str,
        flags: Flags,
        argument: &[u8],
    ) -> anyhow::Result<Bytes> {
        self.sequence += 1;
        let options = [self.sequence, u32::try_from(method.len())?];
        let options = Options::from_slice(&options).context("two options fit")?;
        self.out.clear();
        encode(&mut self.out, flags, StreamBits::empty(), options, &[method.as_bytes(), argument])?;
        self.stream.write_all(&self.out).await?;
        let reply = tokio::time::timeout(PATIENCE, self.receive())
            .await
            .with_context(|| format!("{method} was not answered"))??;
        let result = reply.payload.strip_prefix(method.as_bytes());
        let Some(result) = result.filter(|_| reply.flags == flags && reply.options == options) else {
            bail!("{method} was answered with {reply:?}");
        };
        Ok(reply.payload.slice_ref(result))
    }

    async fn receive(&mut self) -> anyhow::Result<Frame> {
        let mut decoder = Decoder::strict(1 << 20);
        loop {
            match decoder.decode(&mut self.read)? {
                Some(Item::Frame(frame)) => return Ok(frame),
                Some(Item::Noise(_)) => bail!("received something other than frames"),
                None if self.stream.read_buf(&mut self.read).await? == 0 => {
                    bail!("the connection was closed")
                }
                None => {}
            }
        }
    }
}
