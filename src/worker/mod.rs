//! One worker process.
mod config;
pub use config::{Command, Config, OnInit, RelayAddress};
