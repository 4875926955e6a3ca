//! `rpc.listen`: goridge calls from workers and from the command line. Its settings are read and checked already; the methods are begun, the server is to come.

mod config;
pub mod methods;

pub use config::{Config, Network};
