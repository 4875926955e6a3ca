//! The load of clients: WebSockets that speak Centrifugo's JSON protocol and check the answer to each RPC.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::h2load::Outcome;
use crate::message::Message;

/// How long Centrifugo may be silent while a client waits for answers.
const PATIENCE: Duration = Duration::from_mins(1);

/// What Centrifugo sends from time to time, and what a client answers.
const PING: &str = "{}";

/// Clients that are connected.
#[derive(Debug)]
pub(crate) struct Clients {
    clients: Vec<Client>,
}

/// One client. Each of its slots has one RPC in flight at a time.
#[derive(Debug)]
struct Client {
    socket: WebSocketStream<TcpStream>,
    message: Message,
    /// Tells its messages from those of other clients.
    number: usize,
    last_id: u32,
    slots: Vec<Slot>,
}

/// An RPC in flight: the id of its command, and when it was sent.
#[derive(Debug, Clone, Copy)]
struct Slot {
    id: u32,
    sent: Instant,
}

/// The parts of a reply that matter.
#[derive(Debug, Deserialize)]
struct Reply<'a> {
    id: u32,
    #[serde(borrow)]
    rpc: Option<RpcResult<'a>>,
}

#[derive(Debug, Deserialize)]
struct RpcResult<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
}

/// Makes one call as a client of its own, which has to be answered correctly.
pub(crate) async fn ask(centrifugo: SocketAddr) -> anyhow::Result<()> {
    let mut clients = Clients::connect(centrifugo, 1, Message::Rpc(100)).await?;
    clients.run(1, 1).await.map(drop)
}

impl Clients {
    /// Connects `number` clients.
    ///
    /// # Errors
    /// If one is not accepted.
    pub(crate) async fn connect(
        centrifugo: SocketAddr,
        number: usize,
        message: Message,
    ) -> anyhow::Result<Self> {
        let mut clients = Vec::with_capacity(number);
        for number in 0..number {
            let client = Client::connect(centrifugo, number, message).await;
            clients.push(client.with_context(|| format!("client {number} cannot connect"))?);
        }
        Ok(Self { clients })
    }

    /// Makes `calls` RPCs, `in_flight` at a time of each client, and waits for all answers.
    ///
    /// # Errors
    /// If a call fails or has a wrong answer.
    pub(crate) async fn run(&mut self, calls: usize, in_flight: usize) -> anyhow::Result<Outcome> {
        let begin = Instant::now();
        let left = Arc::new(AtomicUsize::new(calls));
        let mut tasks = JoinSet::new();
        for client in self.clients.drain(..) {
            tasks.spawn(client.run(Arc::clone(&left), in_flight));
        }
        let mut latencies = Vec::with_capacity(calls);
        while let Some(ended) = tasks.join_next().await {
            let (client, took) = ended.context("a client did not finish")??;
            self.clients.push(client);
            latencies.extend(took);
        }
        let requests_per_second = calls as f64 / begin.elapsed().as_secs_f64();
        latencies.sort_unstable();
        Ok(Outcome { requests_per_second, latencies })
    }
}

impl Client {
    async fn connect(centrifugo: SocketAddr, number: usize, message: Message) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(centrifugo).await?;
        stream.set_nodelay(true)?;
        let (socket, _) = client_async(format!("ws://{centrifugo}/connection/websocket"), stream).await?;
        let mut client = Self { socket, message, number, last_id: 1, slots: Vec::new() };
        client.socket.send(r#"{"id":1,"connect":{}}"#.into()).await?;
        let reply = client.receive().await?;
        if !reply.contains(r#""connect":"#) {
            bail!("the connect was answered with {reply:?}");
        }
        Ok(client)
    }

    /// Makes calls until none are `left`. Returns itself, and the microseconds of each call.
    async fn run(mut self, left: Arc<AtomicUsize>, in_flight: usize) -> anyhow::Result<(Self, Vec<u32>)> {
        let mut latencies = Vec::new();
        let mut waiting = 0;
        for slot in 0..in_flight {
            if take(&left) {
                self.feed(slot).await?;
                waiting += 1;
            }
        }
        self.socket.flush().await?;
        while waiting > 0 {
            let replies = self.receive().await?;
            for reply in replies.lines() {
                if reply == PING {
                    self.socket.feed(PING.into()).await?;
                    continue;
                }
                let (slot, took) = self.check(reply)?;
                latencies.push(took);
                if take(&left) {
                    self.feed(slot).await?;
                } else {
                    waiting -= 1;
                }
            }
            self.socket.flush().await?;
        }
        Ok((self, latencies))
    }

    /// Writes the next command of a slot into the buffer of the socket.
    async fn feed(&mut self, slot: usize) -> anyhow::Result<()> {
        self.last_id += 1;
        let (id, data) = (self.last_id, self.data(self.last_id));
        let method = self.message.method();
        let command = format!(r#"{{"id":{id},"rpc":{{"method":"{method}","data":{data}}}}}"#);
        let sent = Slot { id, sent: Instant::now() };
        match self.slots.get_mut(slot) {
            Some(slot) => *slot = sent,
            None => self.slots.push(sent),
        }
        Ok(self.socket.feed(command.into()).await?)
    }

    /// The data of a command: no other client's, and no other command's of this one.
    fn data(&self, id: u32) -> String {
        let data = self.message.data(self.number * 100_000_000 + id as usize);
        String::from_utf8_lossy(&data).into_owned()
    }

    /// Checks a reply. Returns its slot, and how many microseconds it took.
    fn check(&mut self, text: &str) -> anyhow::Result<(usize, u32)> {
        let reply: Reply =
            serde_json::from_str(text).with_context(|| format!("unexpected reply {text:?}"))?;
        let Some(slot) = self.slots.iter().position(|slot| slot.id == reply.id) else {
            bail!("a reply to an unknown command: {text:?}");
        };
        if reply.rpc.is_none_or(|rpc| rpc.data.get() != self.data(reply.id)) {
            bail!("a wrong reply: {text:?}");
        }
        let took = self.slots[slot].sent.elapsed().as_micros();
        // A second reply to it would be wrong.
        self.slots[slot].id = 0;
        Ok((slot, u32::try_from(took).unwrap_or(u32::MAX)))
    }

    /// The next message: replies, one a line.
    async fn receive(&mut self) -> anyhow::Result<String> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next())
                .await
                .context("Centrifugo is silent")?
                .context("Centrifugo has closed the connection")??;
            match message {
                tungstenite::Message::Text(text) => return Ok(text.as_str().to_owned()),
                tungstenite::Message::Close(frame) => {
                    bail!("Centrifugo has closed the connection: {frame:?}")
                }
                _ => {}
            }
        }
    }
}

/// Takes one call of those that are left.
fn take(left: &AtomicUsize) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}
