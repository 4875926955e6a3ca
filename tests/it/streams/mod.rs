//! Subscription streams.

mod limits;
mod opening;
mod owned;
mod shutdown;
