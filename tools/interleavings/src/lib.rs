//! The structure of idle units and its queue, under many orders in which threads can run.
//!
//! `idle.rs`, `permits.rs` and `fair_queue.rs` of `src/pool/` are compiled here once more, with the primitives of `shuttle` in place of the
//! real ones: each access to memory that threads share is a point at which another thread may go on, and a scheduler tries thousands of
//! such orders. What it checks is the order of operations; the memory model's reorderings are not played.

#![cfg(test)]

#[path = "../../../src/pool/caller.rs"]
#[allow(unreachable_pub, reason = "it is public in the pool")]
mod caller;
#[path = "../../../src/pool/fair_queue.rs"]
#[allow(dead_code, reason = "the pool uses what the tests here do not")]
mod fair_queue;
#[path = "../../../src/pool/idle.rs"]
#[allow(dead_code, reason = "the pool uses what the tests here do not")]
mod idle;
#[path = "../../../src/pool/loads.rs"]
#[allow(dead_code, reason = "the pool uses what the tests here do not")]
mod loads;
#[path = "../../../src/pool/permits.rs"]
#[allow(dead_code, reason = "the pool uses what the tests here do not")]
mod permits;
mod sync;
mod tests;
