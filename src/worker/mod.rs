//! Workers: one process each, from its start to its last line.
//!
//! ```text
//! Launcher ──spawn (Spawner's threads)──▶ process ◀── owner task: waits, stops, kills, reports the Exit
//!     │                                     │
//!     └──handshake over the relay──▶ Connection   └── stderr (and stdout on sockets) ──▶ Output: whole lines to the log
//!                                     │
//!                    lent to one request at a time
//! ```
//!
//! A worker consists of two halves. The `Process` is its life: one task owns the child, and only that task signals or reaps it. The
//! `Connection` is its voice: whoever holds it may talk to the worker, and nobody else can. The pool lends connections to requests; processes
//! stay where they are.
//!
//! Invariants:
//! - A process never outlives its `Process` handle, nor the supervisor (parent-death signal, and the guard of `os`).
//! - A connection holds at most one request, and is *settled* when its worker is done with it: see `fence` for what that means.
//! - What a worker prints is never an error: it goes to the log with its pid, wherever it was printed. It is lost only when it is more than
//!   the worker's `allowance`, which is told.
//! - No worker keeps the runtime's thread busy for long, whatever it sends (`work`).
//!
//! Deliberately absent: any decision when a worker starts or ends, which is the pool's.

mod allowance;
mod boot;
mod config;
mod connection;
#[cfg(test)]
mod connection_tests;
pub(crate) mod fence;
mod lines;
mod memory;
mod on_init;
mod outcome;
mod outgoing;
mod output;
mod process;
mod program;
mod slots;
mod spawner;
mod work;

pub use crate::relay::RelayAddress;
pub(crate) use boot::Launcher;
pub use boot::{BootError, Environment};
pub use config::{Command, Config, OnInit};
pub(crate) use connection::Connection;
pub(crate) use fence::Order;
pub use memory::{Usage, usage_by_group};
pub(crate) use on_init::run as run_on_init;
pub(crate) use outcome::{Fault, Outcome};
pub(crate) use output::dropped_lines;
pub(crate) use process::Process;
pub use process::{Exit, State, Status};
pub(crate) use program::find as find_program;
pub(crate) use slots::Slots;
