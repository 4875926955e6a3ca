//! The table of methods.

use std::collections::HashMap;
use std::sync::Arc;

use super::{app, causeway, informer, lock, metrics, resetter, rpc, status, stream};
use crate::rpc::method::Method;

/// Methods by full name, such as `informer.Workers`.
pub(crate) type Table = HashMap<&'static str, Arc<Method>>;

/// All methods except those of `centrifuge`, and `stream.Publish`.
pub(crate) fn table() -> Table {
    [
        app::methods(),
        causeway::methods(),
        informer::methods(),
        lock::methods(),
        metrics::methods(),
        resetter::methods(),
        rpc::methods(),
        status::methods(),
        stream::methods(),
    ]
    .into_iter()
    .flatten()
    .map(|(name, method)| (name, Arc::new(method)))
    .collect()
}
