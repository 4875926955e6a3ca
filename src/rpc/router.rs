//! From a call to its method, and to its result.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::yield_now;

use super::codec::Codec;
use super::config::Methods;
use super::envelope::Call;
use super::error::CallError;
use super::memory::Memory;
use super::method::Method;
use super::methods::{Table, centrifuge, stream, table};
use super::services::Services;
use super::statistics::{Called, Statistics};
use crate::offload;
use crate::overview::Calls;

/// Bytes of an argument for Centrifugo, at most. Centrifugo itself accepts 4 MB by default; this leaves room. Other methods accept less.
pub(super) const MAX_CALL: usize = 64 << 20;

/// All methods, and the services they work on. Clones share everything but the methods that are served.
#[derive(Debug, Clone)]
pub(super) struct Router {
    /// Created by the first call that is not for Centrifugo: many workers make no other, and it takes half a megabyte.
    table: Arc<LazyLock<Table>>,
    served: Methods,
    services: Arc<Services>,
    memory: Arc<Memory>,
    statistics: Arc<Statistics>,
    /// One per thread of the runtime.
    turns: Arc<Semaphore>,
}

impl Router {
    pub(super) fn new(services: Arc<Services>) -> Self {
        let threads = Handle::try_current().map_or(1, |runtime| runtime.metrics().num_workers());
        let turns = Arc::new(Semaphore::new(threads));
        let (memory, statistics) = (Arc::<Memory>::default(), Arc::<Statistics>::default());
        services.metrics.register(Arc::clone(&statistics) as _);
        services.metrics.register(Arc::clone(&memory) as _);
        let counted = Arc::clone(&statistics);
        services.overview.count(Calls::Rpc, move || counted.counted());
        let (table, served) = (Arc::new(LazyLock::new(table as fn() -> Table)), Methods::default());
        Self { table, served, services, memory, statistics, turns }
    }

    /// The same that serves these methods alone.
    pub(super) fn serving(&self, methods: &Methods) -> Self {
        Self { served: methods.clone(), ..self.clone() }
    }

    /// Resolves when a connection that has kept a thread busy may go on: after all ready tasks had a turn, and one such connection per
    /// thread at a time.
    pub(super) async fn turn(&self) {
        let _turn = self.turns.acquire().await;
        yield_now().await;
    }

    /// The memory budget of all connections.
    pub(super) fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// Checks that `method` accepts an argument of this length, before it is read.
    ///
    /// # Errors
    /// When it is too long.
    pub(super) fn admit(&self, method: &[u8], length: usize) -> Result<(), CallError> {
        let name = String::from_utf8_lossy(method);
        let max_argument = match name.rsplit_once('.') {
            Some((centrifuge::SERVICE, _)) => MAX_CALL,
            _ if name == stream::PUBLISH => MAX_CALL,
            // Calls of unknown methods fail in `answer`, if their argument is no longer than that of others.
            _ => self.table.get(&*name).map_or(MAX_UNKNOWN, |method| method.max_argument()),
        };
        if length <= max_argument {
            return Ok(());
        }
        Err(CallError::ArgumentTooLong { method: name.into_owned(), length, max_argument })
    }

    /// Runs a call; the result is encoded in the codec of its reply.
    ///
    /// # Errors
    /// When there is no such method, or the call fails.
    pub(super) async fn answer(&self, call: &Call) -> Result<Bytes, CallError> {
        let name = String::from_utf8_lossy(&call.method);
        let called = self.called(&name);
        let result = match called {
            _ if !self.served.contain(&name) => Err(CallError::NotServed(name.to_string())),
            Called::Centrifugo(method) => self.call_centrifugo(method, call).await,
            Called::StreamPublish => self.publish(call).await,
            Called::Table(_) | Called::Unknown => match self.table.get(&*name) {
                Some(method) => Box::pin(self.run(method, call)).await,
                None => Err(self.unknown(&name)),
            },
        };
        self.statistics.count(called, result.is_err());
        result
    }

    /// Which method it is.
    fn called<'a>(&self, name: &'a str) -> Called<'a> {
        match name.rsplit_once('.') {
            Some((centrifuge::SERVICE, method)) => Called::Centrifugo(method),
            _ if name == stream::PUBLISH => Called::StreamPublish,
            _ => self.table.get_key_value(name).map_or(Called::Unknown, |(name, _)| Called::Table(name)),
        }
    }

    fn unknown(&self, name: &str) -> CallError {
        let Some((service, _)) = name.rsplit_once('.') else { return CallError::IllFormed(name.to_owned()) };
        if self.table.keys().any(|known| known.split('.').next() == Some(service)) {
            CallError::NoMethod(name.to_owned())
        } else {
            CallError::NoService(name.to_owned())
        }
    }

    async fn call_centrifugo(&self, method: &str, call: &Call) -> Result<Bytes, CallError> {
        let (read, write) = codecs(call)?;
        centrifuge::answer(&self.services.api, method, read, write, call.argument.clone()).await
    }

    async fn publish(&self, call: &Call) -> Result<Bytes, CallError> {
        let (read, write) = codecs(call)?;
        stream::publish(&self.services.streams, read, write, call.argument.clone()).await
    }

    async fn run(&self, method: &Arc<Method>, call: &Call) -> Result<Bytes, CallError> {
        let (read, write) = codecs(call)?;
        let begin = {
            let (method, argument) = (Arc::clone(method), call.argument.clone());
            offload::try_run(argument.len(), move || method.read(read, &argument)).await?
        };
        // A call whose result cannot be encoded is not run.
        write.check(&method.result)?;
        let result = begin(Arc::clone(&self.services)).await?;
        Ok(write.encode(&method.result, &result)?)
    }

    /// Whether a call is cancelled when its caller disconnects.
    pub(super) fn ends_with_its_caller(&self, call: &Call) -> bool {
        let Ok(name) = std::str::from_utf8(&call.method) else { return false };
        !is_centrifuge(&call.method)
            && self.table.get(name).is_some_and(|method| method.ends_with_its_caller())
    }
}

/// Bytes of an argument of an unknown method, at most.
const MAX_UNKNOWN: usize = 1 << 20;

/// Whether a call goes to Centrifugo.
pub(super) fn is_centrifuge(method: &[u8]) -> bool {
    method.strip_prefix(centrifuge::SERVICE.as_bytes()).is_some_and(|rest| rest.starts_with(b"."))
}

/// What a call costs the thread, in units of about ten microseconds.
pub(super) fn work(call: &Call) -> usize {
    let bytes = call.argument.len().min(offload::LONG);
    match (is_centrifuge(&call.method), Codec::of_argument(call.flags)) {
        // Its bytes pass through.
        (true, Some(Codec::Proto)) => 1,
        // Its types are looked up first, and those of each value.
        (true, _) => 8 + bytes / 128,
        (false, _) => 2 + bytes / 512,
    }
}

/// The codecs of the argument and of the result.
fn codecs(call: &Call) -> Result<(Codec, Codec), CallError> {
    let read = Codec::of_argument(call.flags).ok_or(CallError::NoCodec)?;
    Ok((read, Codec::of_reply(call.flags)))
}
