//! All methods by their names.

use std::collections::HashMap;
use std::sync::Arc;

use super::{app, causeway, informer, lock, metrics, resetter, rpc, status};
use crate::rpc::method::Method;

/// Methods by their full names, such as `informer.Workers`.
pub(crate) type Table = HashMap<&'static str, Arc<Method>>;

/// All methods but those of `centrifuge`.
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
    ]
    .into_iter()
    .flatten()
    .map(|(name, method)| (name, Arc::new(method)))
    .collect()
}
