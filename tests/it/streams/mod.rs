//! Subscription streams.

mod command;
mod held;
mod kits;
mod limits;
mod opening;
mod owned;
mod real;
mod shutdown;
