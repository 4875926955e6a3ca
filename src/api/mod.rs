//! Calls to Centrifugo's server API, which workers make through `rpc`. Its settings are read and checked already; the calls are to come.

mod config;

pub use config::{ApiKey, Config, Tls};
