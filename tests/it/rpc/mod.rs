//! What callers of `rpc.listen` get: workers, operators, strangers.

mod app;
mod centrifuge;
mod codecs;
mod lock;
mod misuse;
mod operations;
mod server;
