//! Measures Causeway beside alternatives, on the same machine and in the same run.
//!
//! ```text
//!  for each row:  for each round:  for each contender:
//!      start it ─▶ check a sample of its answers ─▶ warm up ─▶ h2load ─▶ figures ─▶ stop it
//! ```
//!
//! *Contenders* are Causeway, with and without its fence, with classic workers and with one of protocol 2; a bare tonic server that answers
//! by itself, the lower bound for anything that speaks gRPC; what a team would write instead, a `grpc.aio` server, an application behind
//! uvicorn or behind nginx and php-fpm; RoadRunner, if `$RR` is its binary; and, for publishing, no bridge at all. Causeway and RoadRunner
//! run the same workers from the same `.rr.yaml`. In some rows a real Centrifugo is in front, and WebSocket clients in front of it.
//!
//! Rules:
//! - Only ratios between contenders of one row are meaningful: the load, the workers and the bridge share the machine, perhaps with other
//!   programs. So contenders take turns, each round measures all of them, and the table has the medians over the rounds, of figures and
//!   of ratios. The JSON has all rounds.
//! - CPU time is that of the bridge's own process, without its workers and the load, unless the table says otherwise.
//! - h2load does not understand gRPC. So a sample of answers is compared with the requests before and after each measurement, and the bytes
//!   of all answers are counted: a failed call has no message, so bytes are missing. Clients compare every answer with its request.
//! - A wrong answer aborts the benchmark. A slow one never does.
//!
//! The program runs as several of the contenders (see [`role`]), so that it needs only `h2load` and a C compiler beside it.

#![allow(clippy::cast_precision_loss, reason = "figures for people")]

mod answers;
mod callers;
mod check;
mod configure;
mod contender;
mod disturbed;
mod figures;
mod floor;
mod h2load;
mod http;
mod message;
mod needs;
mod picture;
mod plan;
mod process;
mod publish;
mod report;
mod role;
mod rpc;
mod run;
mod running;
mod scrapes;
mod setup;
mod soak;
mod spans;
mod streams;
mod websocket;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Measures Causeway beside alternatives and prints a table.
#[derive(Debug, Parser)]
#[command(name = "causeway-bench")]
pub(crate) struct Args {
    /// Run each row once for a moment: only checks for wrong answers
    #[arg(long)]
    short: bool,
    /// Rounds: how often each contender is measured in each row
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Length of one measurement, in seconds
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Instead of rows, apply one load for this time, to see whether the cost of a call grows
    #[arg(long, value_name = "MINUTES")]
    soak: Option<f64>,
    /// With --soak: half of the load, a death of a worker each second, a reset each minute, and the page open
    #[arg(long, requires = "soak")]
    disturb: bool,
    /// Only rows with this name, or whose name contains one of these
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// Only contenders whose name contains one of these
    #[arg(long, value_delimiter = ',')]
    contenders: Vec<String>,
    /// Print the table as markdown
    #[arg(long)]
    markdown: bool,
    /// Causeway's binary [default: the version that this program is linked with]
    #[arg(long, value_name = "FILE")]
    causeway: Option<PathBuf>,
    /// Another binary of Causeway, to measure a change
    #[arg(long, value_name = "FILE")]
    before: Option<PathBuf>,
    /// RoadRunner's binary
    #[arg(long, value_name = "FILE", env = "RR")]
    rr: Option<PathBuf>,
    /// Centrifugo's binary [default: target/bin/centrifugo for the rows through it, and a simulation for those that publish]
    #[arg(long, value_name = "FILE", env = "CENTRIFUGO")]
    centrifugo: Option<PathBuf>,
    /// A Python with protobuf, grpcio, uvicorn, uvloop and httptools
    #[arg(long, value_name = "FILE", env = "PYTHON", default_value = "python3")]
    python: PathBuf,
    /// The application of the PHP row [default: workers/php/examples/app.php]
    #[arg(long, value_name = "FILE", env = "PHP_APP")]
    php_app: Option<PathBuf>,
    /// The folder for results.json, the pictures and the C worker
    #[arg(long, value_name = "FOLDER", default_value = "target/bench")]
    out: PathBuf,
}

fn main() -> ExitCode {
    if let Some(code) = role::run() {
        return code;
    }
    match run::run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
