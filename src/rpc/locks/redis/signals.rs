//! Messages about resources that waiters wait for, over one connection.
//!
//! A message is a hint and no more: waiters also ask by their own timers, so that one that is lost forgets none.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use redis::RedisResult;
use redis::aio::{PubSub, PubSubSink};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, interval, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, warn};

use super::client::Client;
use super::error::Error;

/// How often the connection is checked, and channels without waiters are left.
const CHECK: Duration = Duration::from_secs(3);

/// How long Redis may take to answer.
const PATIENCE: Duration = Duration::from_secs(6);

/// Between attempts to connect: doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(3);

/// The channels that waiters wait for. The task that listens ends when this is dropped.
#[derive(Debug)]
pub(super) struct Signals {
    shared: Arc<Shared>,
    _listening: AbortOnDropHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    channels: Mutex<Channels>,
    /// There is a new channel.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Channels {
    all: HashMap<Arc<str>, Channel>,
    /// Those whose first waiter has just come.
    new: HashSet<Arc<str>>,
}

#[derive(Debug, Default)]
struct Channel {
    waiters: usize,
    /// How many messages there were, and other reasons to ask again.
    messages: watch::Sender<u64>,
}

/// A waiter's part of a channel.
pub(super) struct Signal {
    shared: Arc<Shared>,
    name: Arc<str>,
    messages: watch::Receiver<u64>,
}

impl Signals {
    /// Listens from the first waiter on.
    pub(super) fn new(client: Client) -> Self {
        let shared = Arc::<Shared>::default();
        let listening = tokio::spawn(listen(client, Arc::clone(&shared)));
        Self { shared, _listening: AbortOnDropHandle::new(listening) }
    }

    /// Joins the channel of this name.
    pub(super) fn join(&self, name: &str) -> Signal {
        let mut channels = self.shared.channels();
        let name: Arc<str> = name.into();
        let channel = channels.all.entry(Arc::clone(&name)).or_default();
        channel.waiters += 1;
        let messages = channel.messages.subscribe();
        if channel.waiters == 1 {
            channels.new.insert(Arc::clone(&name));
            self.shared.changed.notify_one();
        }
        Signal { shared: Arc::clone(&self.shared), name, messages }
    }
}

impl Signal {
    /// Disregards what has happened so far.
    pub(super) fn catch_up(&mut self) {
        self.messages.mark_unchanged();
    }

    /// Resolves when something has happened since [`Signal::catch_up`]. May be dropped and called again.
    pub(super) async fn changed(&mut self) {
        if self.messages.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        let mut channels = self.shared.channels();
        if let Some(channel) = channels.all.get_mut(&self.name) {
            channel.waiters -= 1;
            if channel.waiters == 0 {
                channels.all.remove(&self.name);
                channels.new.remove(&self.name);
            }
        }
    }
}

impl Shared {
    fn channels(&self) -> MutexGuard<'_, Channels> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, name: &str) {
        if let Some(channel) = self.channels().all.get(name) {
            channel.wake();
        }
    }

    fn wake_all(&self) {
        self.channels().all.values().for_each(Channel::wake);
    }
}

impl Channel {
    fn wake(&self) {
        self.messages.send_modify(|messages| *messages += 1);
    }
}

/// Connects when there are waiters, and again whenever the connection is lost.
async fn listen(client: Client, shared: Arc<Shared>) {
    let (mut pause, mut is_lost) = (FIRST_PAUSE, false);
    loop {
        while shared.channels().all.is_empty() {
            shared.changed.notified().await;
        }
        let begun = Instant::now();
        let reason = match connect(&client).await {
            Ok(connection) => serve(connection, &shared, is_lost).await,
            Err(error) => error.to_string(),
        };
        if begun.elapsed() > PATIENCE {
            pause = FIRST_PAUSE;
        }
        if pause == FIRST_PAUSE {
            error!(target: "lock", error = reason, "redis lock subscribe failed");
        }
        is_lost = true;
        // Waiters ask by themselves meanwhile, and learn that Redis is away.
        shared.wake_all();
        sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

async fn connect(client: &Client) -> Result<PubSub, Error> {
    let mut last = Error::Late;
    for target in client.listening_targets() {
        match client.endpoint().listen(&target).await {
            Ok(connection) => return Ok(connection),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Passes on messages until the connection is lost, and returns why.
async fn serve(connection: PubSub, shared: &Shared, was_lost: bool) -> String {
    let (sink, mut messages) = connection.split();
    let mut subscriptions = Subscriptions { sink, names: HashSet::new() };
    {
        let mut channels = shared.channels();
        channels.new = channels.all.keys().cloned().collect();
    }
    if let Err(reason) = subscriptions.join(shared).await {
        return reason;
    }
    if was_lost {
        for channel in &subscriptions.names {
            warn!(target: "lock", channel = &**channel, "redis lock subscription reconnected");
        }
    }
    let mut check = interval(CHECK);
    loop {
        let result = tokio::select! {
            message = messages.next() => match message {
                Some(message) => {
                    shared.wake(message.get_channel_name());
                    Ok(())
                }
                None => Err("the connection is lost".to_owned()),
            },
            () = shared.changed.notified() => subscriptions.join(shared).await,
            _ = check.tick() => subscriptions.check(shared).await,
        };
        if let Err(reason) = result {
            return reason;
        }
    }
}

/// What a connection is subscribed to.
struct Subscriptions {
    sink: PubSubSink,
    names: HashSet<Arc<str>>,
}

impl Subscriptions {
    /// Subscribes to new channels, and wakes their waiters: something may have happened before.
    async fn join(&mut self, shared: &Shared) -> Result<(), String> {
        let names = std::mem::take(&mut shared.channels().new);
        let new: Vec<&str> =
            names.iter().filter(|name| !self.names.contains(*name)).map(|name| &**name).collect();
        if !new.is_empty() {
            in_time(self.sink.subscribe(&new)).await?;
        }
        for name in names {
            shared.wake(&name);
            self.names.insert(name);
        }
        Ok(())
    }

    /// Leaves channels without waiters (not at once: the next waiter often comes soon), and checks that Redis answers.
    async fn check(&mut self, shared: &Shared) -> Result<(), String> {
        let unused: Vec<Arc<str>> = {
            let channels = shared.channels();
            self.names.iter().filter(|name| !channels.all.contains_key(*name)).cloned().collect()
        };
        if !unused.is_empty() {
            let names: Vec<&str> = unused.iter().map(|name| &**name).collect();
            in_time(self.sink.unsubscribe(&names)).await?;
            for name in &unused {
                self.names.remove(name);
            }
        }
        in_time(self.sink.ping::<redis::Value>()).await.map(drop)
    }
}

async fn in_time<T>(answer: impl Future<Output = RedisResult<T>>) -> Result<T, String> {
    match timeout(PATIENCE, answer).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {PATIENCE:?}")),
    }
}
