//! Who is affected when a worker misbehaves.
//!
//! Each test checks that the call that met the fault fails with its status, and no other call does. The call itself tells its worker how to
//! misbehave (`tests/workers`), while others go on calling (`Bystanders`). At the end the pool is whole again: every worker takes a call,
//! and the server has no more processes and descriptors than before (`Scene`).

mod answers;
mod boots;
mod callers;
mod cgroups;
mod deaths;
mod families;
mod output;
mod protocol;
