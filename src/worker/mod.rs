//! Workers: one process each, from its start to its last line.
//!
//! ```text
//! Launcher ──spawn (Spawner's threads)──▶ process ◀── owner task: waits, stops, kills, reports the Exit
//!     │                                     └── stderr (and stdout on sockets) ──▶ Output: whole lines to the log
//!     └──handshake over the relay──▶ Connection ──▶ Exchange: lent to one request at a time
//!                                    Driver, with many ──▶ Exchanges, one for each request (`numbered`)
//! ```
//!
//! A worker consists of two halves. The `Process` is its life: one task owns the child, and only that task signals or reaps it. An
//! `Exchange` is the right to run one request on it: only its holder can talk to the worker. The pool lends exchanges to requests;
//! processes stay where they are.
//!
//! Invariants:
//! - A process never outlives its `Process` handle, nor the supervisor (parent-death signal, and the guard of `os`).
//! - An exchange holds at most one request, and is *settled* when its worker is done with it: see `fence` for what that means where only the
//!   order of frames says so.
//! - What a worker prints is never an error: it goes to the log with its pid, wherever it was printed. It is dropped only beyond the
//!   worker's `allowance`, and the log says so.
//! - No worker keeps the runtime's thread busy for long, whatever it sends (`work`), and none makes the server hold more than a part of a
//!   common `budget`.
//!
//! Deliberately absent: any decision when a worker starts or ends, and the bookkeeping for it, which are the pool's.

mod allowance;
mod backtrace;
mod boot;
mod budget;
mod command;
mod config;
mod connection;
#[cfg(test)]
mod connection_tests;
mod doing;
mod exchange;
mod fence;
mod in_hand;
mod incoming;
mod lines;
mod marks;
mod memory;
mod numbered;
mod offer;
mod on_init;
mod outcome;
mod outgoing;
mod output;
mod process;
mod program;
mod scalar;
mod spawner;
mod stall;
mod status;
mod streamed;
mod waste;
mod work;

pub(crate) use crate::goridge::Cancel;
pub use crate::goridge::Codec;
pub use crate::relay::{RelayAddress, Relays};
pub use boot::Environment;
pub(crate) use boot::{BootError, Booted, Launch, Launcher, Terms};
pub use command::Command;
pub use config::{Config, OnInit};
pub(crate) use doing::Doing;
pub(crate) use exchange::Exchange;
pub(crate) use in_hand::Tag;
pub use memory::{Usage, usage_by_group};
pub(crate) use numbered::{Driver, Input, Notice};
pub use on_init::OnInitError;
pub(crate) use on_init::run as run_on_init;
pub(crate) use outcome::{Fault, Outcome, Received};
pub(crate) use process::Process;
pub(crate) use program::find as find_program;
pub(crate) use scalar::SCALAR;
pub use status::State;
pub(crate) use status::{Exit, Status};
pub(crate) use waste::{Dropped, Waste};
