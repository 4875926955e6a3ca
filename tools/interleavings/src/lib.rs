//! The structure of idle units, under every order in which threads can run.
//!
//! `src/pool/idle.rs` is compiled here once more, with the primitives of `shuttle` in place of the real ones: each access to memory that
//! threads share is a point at which another thread may go on, and a scheduler tries thousands of such orders. What it checks is the
//! order of operations; the memory model's reorderings are not played.

#![cfg(test)]

#[path = "../../../src/pool/idle.rs"]
#[allow(dead_code, reason = "the pool uses what the tests here do not")]
mod idle;
mod sync;
mod tests;
