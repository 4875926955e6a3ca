//! What callers of `rpc.listen` get: workers, operators, strangers.

mod centrifuge;
mod misuse;
mod operations;
mod server;
