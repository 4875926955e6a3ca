//! Subscription streams.

mod held;
mod limits;
mod opening;
mod owned;
mod real;
mod shutdown;
