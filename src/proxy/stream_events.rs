//! The events of subscription streams, run by the pools.

use tracing::debug;

use super::{service, status};
use crate::pools::{Caller, Error, Request, RequestType, Timings, UpcomingPools};
use crate::streams::{Event, Failure, Handled, Handler};

/// Runs the events of streams on the workers of the pools.
#[derive(Debug)]
pub struct StreamEvents {
    pools: UpcomingPools,
    /// They take turns with the calls of connections, so that neither waits behind thousands of the other.
    caller: Caller,
}

impl StreamEvents {
    /// On these pools.
    pub fn new(pools: UpcomingPools) -> Self {
        Self { pools, caller: Caller::unique() }
    }
}

impl Handler for StreamEvents {
    fn handle(&self, event: Event) -> Handled {
        let (pools, caller) = (self.pools.clone(), self.caller);
        Box::pin(async move {
            let Event { pool, kind, context, body } = event;
            let running = pools.wait().await;
            let (label, context) = (RequestType::of(kind), &*context);
            let request = Request { pool, caller, kind, label, trace: None, context, body, deadline: None };
            let error = match running.exec(&request, &mut Timings::default()).await {
                Ok(answer) => return Ok(answer.body.clone()),
                Err(error) => error,
            };
            let is_refused =
                matches!(error, Error::QueueFull { .. } | Error::Busy { .. } | Error::NoWorkers { .. });
            let name = pools.numbers().label(pool);
            let status = if is_refused {
                debug!(target: "centrifuge", r#type = kind, pool = name, %error, "event not handled yet");
                status::of(&error)
            } else {
                service::failed(kind, name, &error)
            };
            Err(Failure { is_refused, status })
        })
    }
}
