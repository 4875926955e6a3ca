//! From a call to its result.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;

use super::codec::Codec;
use super::envelope::Call;
use super::method::Method;
use super::methods::{Table, centrifuge, table};
use super::services::Services;

/// All methods, and what they work on.
#[derive(Debug)]
pub(super) struct Router {
    /// Made by the first call that is not for Centrifugo: many workers make no other, and it takes half a megabyte.
    table: LazyLock<Table>,
    services: Arc<Services>,
}

impl Router {
    pub(super) fn new(services: Arc<Services>) -> Self {
        Self { table: LazyLock::new(table), services }
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
            Some(method) => self.run(method, call).await,
            None if self.table.keys().any(|known| known.split('.').next() == Some(service)) => {
                Err(format!("rpc: can't find method {name}"))
            }
            None => Err(format!("rpc: can't find service {name}")),
        }
    }

    async fn run(&self, method: &Method, call: &Call) -> Result<Bytes, String> {
        let (read, write) = codecs(call)?;
        let argument = read.decode(&method.argument, &call.argument)?;
        // A call whose result cannot be written is not run.
        write.check(&method.result)?;
        let result = method.call(Arc::clone(&self.services), argument).await?;
        write.encode(&method.result, &result)
    }

    /// Whether a call is of no use to a caller who has hung up: it waits, and what it waits for others may want.
    pub(super) fn ends_with_its_caller(&self, call: &Call) -> bool {
        let Ok(name) = std::str::from_utf8(&call.method) else { return false };
        !name.starts_with(centrifuge::SERVICE)
            && self.table.get(name).is_some_and(Method::ends_with_its_caller)
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
