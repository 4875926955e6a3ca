//! `rpc.listen`: goridge calls from workers and from the command line.

mod codec;
mod config;
mod method;
pub mod methods;
mod services;

pub use config::{Config, Network};
pub use services::{Services, Stop};
