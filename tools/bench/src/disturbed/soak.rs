//! The order of events.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::harm::Harm;
use super::page::OpenPage;
use super::slice::Slice;
use super::{graph, tenths};
use crate::callers::{Callers, Tally};
use crate::contender::Contender;
use crate::plan::ROWS;
use crate::report::number;
use crate::running::Running;
use crate::setup::Setup;
use crate::soak::ROW;

/// How long the machine's throughput is measured.
const CALIBRATION: Duration = Duration::from_secs(5);

/// Callers with one call at a time.
const CALLERS: u32 = 32;

/// The part of the throughput that the load is.
const LOAD: f64 = 0.5;

/// Reasons of failures that are shown.
const REASONS: usize = 5;

/// When things happen.
#[derive(Debug, Clone, Copy)]
struct Schedule {
    calibration: Duration,
    /// Between two samples, and between two deaths.
    second: Duration,
    seconds: u32,
    /// Seconds between two resets.
    minute: u32,
}

impl Schedule {
    /// A short soak has shorter seconds and minutes.
    fn new(minutes: f64) -> anyhow::Result<Self> {
        let total = Duration::try_from_secs_f64(minutes * 60.0).context("--soak takes minutes")?;
        let second = Duration::from_secs(1).min(total / 10);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive")]
        let seconds = total.div_duration_f64(second).round() as u32;
        Ok(Self { calibration: CALIBRATION.min(total / 10), second, seconds, minute: 60.min(seconds / 3) })
    }
}

/// What was seen, whether or not the soak came to its end.
#[derive(Debug, Default)]
struct Seen {
    rate: f64,
    slices: Vec<Slice>,
    resets: usize,
    /// Why calls failed, the first times.
    reasons: Vec<String>,
    /// The longest time between two events of the page.
    longest_gap: Duration,
    is_interrupted: bool,
}

/// Keeps Causeway under half load for `minutes` while its workers die. Prints a table, and writes `soak.svg` and `soak.json`.
pub(crate) fn run(setup: &Setup, runtime: &Runtime, minutes: f64, is_markdown: bool) -> anyhow::Result<()> {
    let schedule = Schedule::new(minutes)?;
    let row = ROWS.iter().find(|row| row.name == ROW).context("the row of the load is missing")?;
    let running = Running::start(setup, runtime, row, Contender::Observed)?;
    let mut seen = Seen::default();
    let result = runtime.block_on(soak(setup, &running, schedule, &mut seen));
    let result = result.with_context(|| format!("its output ends with: {:?}", running.process.last_words()));
    report(&seen, is_markdown, &setup.out)?;
    result?;
    judge(&seen)
}

async fn soak(setup: &Setup, running: &Running, schedule: Schedule, seen: &mut Seen) -> anyhow::Result<()> {
    let mut interrupts = [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
    let throughput = throughput(running, schedule.calibration).await?;
    seen.rate = LOAD * throughput;
    eprintln!("throughput: {} requests/s; load: {}", number(throughput), number(seen.rate));
    let mut harm = Harm::new(running, &setup.worker).await?;
    let page = OpenPage::open(&running.admin).await?;
    let load = Callers::start(&running.address, CALLERS, Some(seen.rate)).await?;
    let begin = Instant::now();
    let mut end = begin;
    for second in 0..schedule.seconds {
        let start = end;
        let mut disturbance = harm.kill().await?;
        if second > 0 && second.is_multiple_of(schedule.minute) {
            seen.resets += 1;
            disturbance.reset = Some(harm.reset().await?);
        }
        let next = begin + schedule.second * (second + 1);
        seen.is_interrupted = is_interrupted(&mut interrupts, next).await;
        if seen.is_interrupted {
            break;
        }
        end = Instant::now();
        let mut tally = load.take();
        seen.reasons.extend(tally.reasons.drain(..).take(REASONS.saturating_sub(seen.reasons.len())));
        let slice = Slice::new(&running.process, (start - begin, end - start), tally, disturbance)?;
        eprintln!("{}", slice.line());
        seen.slices.push(slice);
        seen.longest_gap = page.longest_gap()?;
    }
    Ok(())
}

/// Calls per second with as many in flight as there are callers.
async fn throughput(running: &Running, time: Duration) -> anyhow::Result<f64> {
    let load = Callers::start(&running.address, CALLERS, None).await?;
    // The first calls open the connection, and warm caches.
    tokio::time::sleep(time / 5).await;
    let (begin, _) = (Instant::now(), load.take());
    tokio::time::sleep(time).await;
    let Tally { latencies, failed, reasons, .. } = load.take();
    if failed > 0 || latencies.is_empty() {
        bail!("{failed} calls failed before any worker was harmed: {reasons:?}");
    }
    Ok(latencies.len() as f64 / begin.elapsed().as_secs_f64())
}

/// Waits until `time`. Returns true at once if the soak is interrupted.
async fn is_interrupted([interrupt, terminate]: &mut [Signal; 2], time: Instant) -> bool {
    tokio::select! {
        () = tokio::time::sleep_until(time.into()) => false,
        _ = interrupt.recv() => true,
        _ = terminate.recv() => true,
    }
}

fn report(seen: &Seen, is_markdown: bool, out: &Path) -> anyhow::Result<()> {
    let Some(last) = seen.slices.last() else { return Ok(()) };
    let (calls, deaths) = seen
        .slices
        .iter()
        .fold((0, 0), |(calls, deaths), slice| (calls + slice.calls, deaths + slice.killed + slice.asked));
    println!(
        "{} calls at {} a second in {:.1} minutes; {deaths} workers died, {} resets; the page had an event each {:.2} s at the longest{}",
        number(calls as f64),
        number(seen.rate),
        last.end() / 60.0,
        seen.resets,
        seen.longest_gap.as_secs_f64(),
        if seen.is_interrupted { "; interrupted" } else { "" }
    );
    tenths::print(&seen.slices, is_markdown);
    let graph = out.join("soak.svg");
    std::fs::write(&graph, graph::draw(&seen.slices))
        .with_context(|| format!("cannot write {}", graph.display()))?;
    let all = out.join("soak.json");
    std::fs::write(&all, serde_json::to_vec(&seen.slices)?)
        .with_context(|| format!("cannot write {}", all.display()))?;
    eprintln!("all samples: {}, graph: {}", all.display(), graph.display());
    Ok(())
}

/// Whether deaths have failed nothing but their own requests.
fn judge(seen: &Seen) -> anyhow::Result<()> {
    let sum = |figure: fn(&Slice) -> usize| seen.slices.iter().map(figure).sum::<usize>();
    let (failed, died, killed) =
        (sum(|slice| slice.failed), sum(|slice| slice.died), sum(|slice| slice.killed));
    if failed > 0 {
        bail!("{failed} calls failed though their worker had not died: {:#?}", seen.reasons);
    }
    if died > killed {
        bail!("{died} calls failed for {killed} workers that were killed");
    }
    Ok(())
}
