//! The soak test: whether calls cost more after hours under load.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::runtime::Runtime;

use crate::check;
use crate::contender::Contender;
use crate::figures::median;
use crate::h2load::Load;
use crate::plan::{ROWS, Row, Work};
use crate::report::number;
use crate::running::Running;
use crate::setup::Setup;

/// The load: four workers, one connection, 32 calls in flight.
pub(crate) const ROW: &str = "1 x 32";

/// How long one measurement takes, in seconds, but no more than a tenth of the whole. The next one follows at once.
const SLICE: f64 = 10.0;

/// Calls of the first, short measurement, which shows how many fill a slice.
const FIRST: usize = 2000;

/// One measurement.
struct Slice {
    calls: usize,
    cpu_us: f64,
    resident_mb: f64,
}

/// Keeps Causeway under load for `minutes`. Prints the CPU time of a call and the resident memory in the first and the last tenth.
pub(crate) fn run(setup: &Setup, runtime: &Runtime, minutes: f64) -> anyhow::Result<()> {
    let time = Duration::try_from_secs_f64(minutes * 60.0).context("--soak takes minutes")?;
    let row = ROWS.iter().find(|row| row.name == ROW).context("the row of the load is missing")?;
    let running = Running::start(setup, runtime, row, Contender::Causeway)?;
    let load = load(runtime, &running, row)?;
    let mut outcome = load.run(FIRST)?;
    let seconds = SLICE.min(time.as_secs_f64() / 10.0);
    let begin = Instant::now();
    let mut slices = Vec::new();
    while slices.is_empty() || begin.elapsed() < time {
        let calls = outcome.calls_within(seconds);
        let before = running.process.cpu()?;
        outcome = load.run(calls)?;
        let cpu = running.process.cpu()?.saturating_sub(before);
        let slice = Slice {
            calls,
            cpu_us: cpu.as_secs_f64() * 1e6 / calls as f64,
            resident_mb: running.process.memory("VmRSS")?,
        };
        eprintln!(
            "{} requests/s, {} CPU µs, {} MB",
            number(outcome.requests_per_second),
            number(slice.cpu_us),
            number(slice.resident_mb)
        );
        slices.push(slice);
    }
    report(&slices, minutes);
    Ok(())
}

fn load(runtime: &Runtime, running: &Running, row: &Row) -> anyhow::Result<Load> {
    let Work::Calls { connections, streams, message } = row.work else {
        anyhow::bail!("the row of the load makes no calls");
    };
    let answer = runtime.block_on(check::sample(&running.address, message))?;
    Load::new(&running.address, (connections, streams), message, answer)
}

fn report(slices: &[Slice], minutes: f64) {
    let tenth = slices.len().div_ceil(10);
    let calls: usize = slices.iter().map(|slice| slice.calls).sum();
    println!("{} calls in {minutes} minutes", number(calls as f64));
    let cpu: fn(&Slice) -> f64 = |slice| slice.cpu_us;
    let resident: fn(&Slice) -> f64 = |slice| slice.resident_mb;
    for (name, figure) in [("CPU µs per call", cpu), ("resident MB", resident)] {
        let of = |part: &[Slice]| median(part.iter().map(figure).collect()).unwrap_or(f64::NAN);
        let (first, last) = (of(&slices[..tenth]), of(&slices[slices.len() - tenth..]));
        println!(
            "{name}: {} in the first tenth, {} in the last: x {:.2}",
            number(first),
            number(last),
            last / first
        );
    }
}
