//! One method that can be called over `rpc.listen`.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::codec::Shape;
use super::services::Services;

/// What a call comes to, or the text for the caller.
pub(super) type Reply<T> = Result<T, String>;

type Running = Pin<Box<dyn Future<Output = Reply<Value>> + Send>>;

/// A method with its types. It knows nothing of codecs, frames and connections; its future is dropped when the caller is gone.
pub(super) struct Method {
    pub(super) argument: Shape,
    pub(super) result: Shape,
    run: Box<dyn Fn(Arc<Services>, Value) -> Running + Send + Sync>,
    ends_with_its_caller: bool,
}

impl Method {
    /// A method whose argument and result have these shapes; what is left out of an argument is the default of `A`.
    pub(super) fn new<A, R, F>(
        argument: Shape,
        result: Shape,
        run: impl Fn(Arc<Services>, A) -> F + Send + Sync + 'static,
    ) -> Self
    where
        A: DeserializeOwned,
        R: Serialize,
        F: Future<Output = Reply<R>> + Send + 'static,
    {
        let run = move |services: Arc<Services>, value: Value| -> Running {
            match serde_json::from_value(value) {
                Ok(argument) => {
                    let reply = run(services, argument);
                    Box::pin(
                        async move { serde_json::to_value(reply.await?).map_err(|error| error.to_string()) },
                    )
                }
                Err(error) => Box::pin(async move { Err(error.to_string()) }),
            }
        };
        Self { argument, result, run: Box::new(run), ends_with_its_caller: false }
    }

    /// The same method, which ends as soon as its caller hangs up. Others are finished: a caller may close its sending side as soon as
    /// it has asked, and what was begun is to be done.
    pub(super) fn until_hangup(self) -> Self {
        Self { ends_with_its_caller: true, ..self }
    }

    pub(super) fn ends_with_its_caller(&self) -> bool {
        self.ends_with_its_caller
    }

    /// Runs it.
    ///
    /// # Errors
    /// The text for the caller.
    pub(super) async fn call(&self, services: Arc<Services>, argument: Value) -> Reply<Value> {
        (self.run)(services, argument).await
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Method")
            .field("argument", &self.argument)
            .field("result", &self.result)
            .finish_non_exhaustive()
    }
}
