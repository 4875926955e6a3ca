//! Simulates Centrifugo nodes, bridges and workers under load: how many are enough, and where it breaks. docs/guide/scaling.md shows what
//! it prints, and how that compares with real runs.
//!
//! ```sh
//! cargo run --package causeway-fleet -- run --rate 300 --work 0.02 --bridges 2 --workers 4
//! cargo run --package causeway-fleet -- tables
//! ```

mod fleet;
mod plan;
mod random;
mod report;
mod tables;
#[cfg(test)]
mod tests;

use clap::{Parser, Subcommand};

use fleet::Fleet;
use plan::Plan;

/// Simulates Centrifugo nodes, bridges and workers under load.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Simulate one fleet
    Run(Plan),
    /// Print the tables of docs/guide/scaling.md
    Tables,
}

fn main() {
    match Cli::parse().command {
        Command::Run(plan) => print!("{}", Fleet::run(&plan)),
        Command::Tables => print!("{}", tables::all()),
    }
}
