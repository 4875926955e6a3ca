//! Measures Causeway beside others that do the same, on the same machine and in the same run.
//!
//! ```text
//!  for each row:  for each round:  for each contender:
//!      start it ─▶ check a sample of its answers ─▶ warm up ─▶ h2load ─▶ figures ─▶ stop it
//! ```
//!
//! *Contenders* are Causeway, with and without its fence; a bare tonic server that answers by itself, which is the floor for anything
//! that speaks gRPC; a `grpc.aio` server, which a Python team would write instead; RoadRunner, where `$RR` names its binary; and, for what
//! publishes, no bridge at all. Causeway and RoadRunner run the same workers from the same `.rr.yaml`.
//!
//! Rules:
//! - Only ratios between contenders of one row mean anything: the load, the workers and the bridge share the machine, and others may as
//!   well. So contenders take turns, each round measures them all, and what is shown is the median over the rounds, of figures as of
//!   ratios. All rounds are in the JSON.
//! - CPU time is that of the bridge's own process: neither of its workers nor of the load.
//! - h2load does not look into gRPC. So a sample of answers is compared with what was sent before each measurement, and afterwards the
//!   bytes of all answers are counted: a failed call has no message, and would be missed.
//! - A wrong answer ends the benchmark. A slow one never does.
//!
//! The program plays several parts under several names (see [`role`]), so that it needs nothing beside it but `h2load` and a C compiler.

#![allow(clippy::cast_precision_loss, reason = "figures to be looked at")]

mod answers;
mod check;
mod contender;
mod figures;
mod floor;
mod h2load;
mod message;
mod picture;
mod plan;
mod process;
mod publish;
mod report;
mod role;
mod run;
mod setup;
mod soak;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Measures Causeway beside others that do the same, and prints one table.
#[derive(Debug, Parser)]
#[command(name = "causeway-bench")]
pub(crate) struct Args {
    /// Each row for a very short time, once: looks for wrong answers only
    #[arg(long)]
    short: bool,
    /// How often each contender is measured in each row
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long one measurement takes, in seconds
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// No rows: one load for so many minutes, to see whether the cost of a call grows
    #[arg(long, value_name = "MINUTES")]
    soak: Option<f64>,
    /// Only rows of this name, or whose name holds one of these
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// Only contenders whose name holds one of these
    #[arg(long, value_delimiter = ',')]
    contenders: Vec<String>,
    /// Print the table as markdown
    #[arg(long)]
    markdown: bool,
    /// Causeway's binary; what this program was linked with unless given
    #[arg(long, value_name = "FILE")]
    causeway: Option<PathBuf>,
    /// Another one, to see what a change has brought
    #[arg(long, value_name = "FILE")]
    before: Option<PathBuf>,
    /// RoadRunner's binary
    #[arg(long, value_name = "FILE", env = "RR")]
    rr: Option<PathBuf>,
    /// Centrifugo's binary, for the rows that publish; its API is played unless given
    #[arg(long, value_name = "FILE", env = "CENTRIFUGO")]
    centrifugo: Option<PathBuf>,
    /// The Python that has protobuf and grpcio
    #[arg(long, value_name = "FILE", env = "PYTHON", default_value = "python3")]
    python: PathBuf,
    /// The application of the PHP row
    #[arg(long, value_name = "FILE", env = "PHP_APP")]
    php_app: Option<PathBuf>,
    /// Where results.json, latency.svg and the C worker go
    #[arg(long, value_name = "FOLDER", default_value = "target/bench")]
    out: PathBuf,
}

fn main() -> ExitCode {
    if let Some(code) = role::play() {
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
