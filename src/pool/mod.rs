//! The pool.
mod config;
mod error;
pub use config::{Config, DynamicAllocator, Supervisor};
pub use error::Error;
