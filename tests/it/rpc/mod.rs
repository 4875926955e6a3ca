//! What callers of `rpc.listen` get: workers, operators, strangers.

mod centrifuge;
mod codecs;
mod lock;
mod misuse;
mod operations;
mod server;
