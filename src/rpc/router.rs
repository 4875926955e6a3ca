//! From a call to its result.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::yield_now;

use super::codec::Codec;
use super::envelope::Call;
use super::memory::Memory;
use super::method::Method;
use super::methods::{Table, centrifuge, table};
use super::services::Services;
use crate::offload;

/// Bytes of an argument for Centrifugo, at most. Centrifugo itself takes 4 MB unless told otherwise; this leaves room. Other methods take
/// less.
pub(super) const MAX_CALL: usize = 64 << 20;

/// All methods, and what they work on.
#[derive(Debug)]
pub(super) struct Router {
    /// Made by the first call that is not for Centrifugo: many workers make no other, and it takes half a megabyte.
    table: LazyLock<Table>,
    services: Arc<Services>,
    memory: Arc<Memory>,
    /// One for each thread of the runtime.
    turns: Semaphore,
}

impl Router {
    pub(super) fn new(services: Arc<Services>) -> Self {
        let threads = Handle::try_current().map_or(1, |runtime| runtime.metrics().num_workers());
        let turns = Semaphore::new(threads);
        Self { table: LazyLock::new(table), services, memory: Arc::default(), turns }
    }

    /// Resolves when a connection that has kept a thread busy may go on: after everybody else had a turn, and one such connection per
    /// thread at a time.
    pub(super) async fn turn(&self) {
        let _turn = self.turns.acquire().await;
        yield_now().await;
    }

    /// What all connections may hold together.
    pub(super) fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// Whether `method` takes an argument of so many bytes; asked before it is read.
    ///
    /// # Errors
    /// The text for the caller.
    pub(super) fn admit(&self, method: &[u8], argument: usize) -> Result<(), String> {
        let name = String::from_utf8_lossy(method);
        let most = match name.rsplit_once('.') {
            Some((centrifuge::SERVICE, _)) => MAX_CALL,
            // A method that does not exist is told so by `answer`, if its argument is such as others take.
            _ => self.table.get(&*name).map_or(MAX_UNKNOWN, |method| method.max_argument()),
        };
        if argument <= most {
            return Ok(());
        }
        Err(format!(
            "rpc: the argument of {name} has {argument} bytes, more than the {most} that it may have"
        ))
    }

    /// Runs a call; the result is written in the codec of its reply.
    ///
    /// # Errors
    /// The text for the caller.
    pub(super) async fn answer(&self, call: &Call) -> Result<Bytes, String> {
        let name = String::from_utf8_lossy(&call.method);
        let Some((service, method)) = name.rsplit_once('.') else {
            return Err(format!("rpc: service/method request ill-formed: {name}"));
        };
        if service == centrifuge::SERVICE {
            let (read, write) = codecs(call)?;
            return centrifuge::answer(&self.services.api, method, read, write, call.argument.clone()).await;
        }
        match self.table.get(&*name) {
            Some(method) => Box::pin(self.run(method, call)).await,
            None if self.table.keys().any(|known| known.split('.').next() == Some(service)) => {
                Err(format!("rpc: can't find method {name}"))
            }
            None => Err(format!("rpc: can't find service {name}")),
        }
    }

    async fn run(&self, method: &Arc<Method>, call: &Call) -> Result<Bytes, String> {
        let (read, write) = codecs(call)?;
        let begin = {
            let (method, argument) = (Arc::clone(method), call.argument.clone());
            offload::try_run(argument.len(), move || method.read(read, &argument)).await?
        };
        // A call whose result cannot be written is not run.
        write.check(&method.result)?;
        let result = begin(Arc::clone(&self.services)).await?;
        write.encode(&method.result, &result)
    }

    /// Whether a call is of no use to a caller who has hung up: it waits, and what it waits for others may want.
    pub(super) fn ends_with_its_caller(&self, call: &Call) -> bool {
        let Ok(name) = std::str::from_utf8(&call.method) else { return false };
        !is_centrifuge(&call.method)
            && self.table.get(name).is_some_and(|method| method.ends_with_its_caller())
    }
}

/// Bytes of an argument of a method that does not exist, at most.
const MAX_UNKNOWN: usize = 1 << 20;

/// Whether Centrifugo answers a call.
pub(super) fn is_centrifuge(method: &[u8]) -> bool {
    method.strip_prefix(centrifuge::SERVICE.as_bytes()).is_some_and(|rest| rest.starts_with(b"."))
}

/// What a call costs the thread, by about ten microseconds.
pub(super) fn work(call: &Call) -> usize {
    let bytes = call.argument.len().min(offload::LONG) / (2 << 10);
    match (is_centrifuge(&call.method), Codec::of_argument(call.flags)) {
        // Its bytes pass.
        (true, Some(Codec::Proto)) => 1,
        // Its types are looked at first.
        (true, _) => 8 + bytes,
        (false, _) => 2 + bytes,
    }
}

/// How the argument is written, and the result.
fn codecs(call: &Call) -> Result<(Codec, Codec), String> {
    match Codec::of_argument(call.flags) {
        Some(read) => Ok((read, Codec::of_reply(call.flags))),
        // The words are RoadRunner's.
        None => Err("goridge_read_request_body: unknown decoder used in frame".into()),
    }
}
