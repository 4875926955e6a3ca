//! Subscription streams.

mod limits;
mod opening;
mod owned;
mod real;
mod shutdown;
