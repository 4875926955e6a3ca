//! Runs rows, rounds and contenders in their order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::runtime::Runtime;

use crate::Args;
use crate::check;
use crate::contender::Contender;
use crate::figures::{Figure, Measured, QUANTILES, RowResult, Series, quantile};
use crate::h2load::{Load, Outcome};
use crate::message::Message;
use crate::plan::{ROWS, Row, Work};
use crate::publish::Publisher;
use crate::running::Running;
use crate::scrapes::Scrapes;
use crate::setup::Setup;
use crate::streams::Streams;
use crate::websocket::Clients;
use crate::{configure, disturbed, picture, report, soak, spans};

/// How long an idle contender is left alone before its memory is read.
const REST: Duration = Duration::from_millis(500);

/// Calls of a row in the short version; fewer if messages are large.
const FEW: usize = 64;

/// How long a run of the warm-up lasts at least, in seconds.
const WARM_UP: f64 = 0.3;

/// Runs of the warm-up at most.
const WARM_UPS: usize = 8;

/// Runs the rows that `args` selects, and reports.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let mut setup = Setup::new(args)?;
    // Everything but the checks runs on the first thread, since children die with the thread that started them.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    if let Some(minutes) = args.soak {
        return if args.disturb {
            disturbed::run(&setup, &runtime, minutes, args.markdown)
        } else {
            soak::run(&setup, &runtime, minutes)
        };
    }
    setup.try_binaries(&runtime);
    let mut bench = Bench { args, setup: &setup, runtime: &runtime, reported: BTreeSet::new() };
    let mut results = Vec::new();
    let exact: Vec<&Row> = ROWS.iter().filter(|row| args.rows.iter().any(|name| name == row.name)).collect();
    let selected = if exact.is_empty() {
        ROWS.iter().filter(|row| is_selected(&args.rows, row.name)).collect()
    } else {
        exact
    };
    for row in selected {
        if let Some(result) = bench.row(row)? {
            results.push(result);
        }
    }
    let rounds = bench.rounds();
    report::print(&results, args.markdown, rounds);
    report::write(&setup.out.join("results.json"), &results, rounds)?;
    let path = setup.out.join("latency.svg");
    std::fs::write(&path, picture::draw(&results))
        .with_context(|| format!("cannot write {}", path.display()))?;
    eprintln!("all rounds: {0}/results.json, latencies: {0}/latency.svg", setup.out.display());
    Ok(())
}

/// Whether the name contains one of the words; without words, everything is selected.
fn is_selected(words: &[String], name: &str) -> bool {
    let name = name.to_lowercase();
    words.is_empty() || words.iter().any(|word| name.contains(&word.to_lowercase()))
}

struct Bench<'a> {
    args: &'a Args,
    setup: &'a Setup,
    runtime: &'a Runtime,
    /// What is reported as missing already.
    reported: BTreeSet<&'static str>,
}

impl Bench<'_> {
    fn rounds(&self) -> usize {
        if self.args.short { 1 } else { self.args.rounds.max(1) }
    }

    /// The contenders that can be measured in a row; reports those that cannot.
    fn contenders(&mut self, row: &Row) -> Vec<Contender> {
        let mut found = Vec::new();
        for contender in row.contenders.iter().filter(|c| is_selected(&self.args.contenders, c.name())) {
            match self.setup.lacks(row, *contender) {
                None => found.push(*contender),
                Some(reason) => self.report_missing(reason),
            }
            if let Some(before) = contender.before().filter(|_| self.setup.before.is_some()) {
                match self.setup.lacks(row, before) {
                    None => found.push(before),
                    Some(reason) => self.report_missing(reason),
                }
            }
        }
        if matches!(row.work, Work::Publish { .. }) && self.setup.api.is_none() {
            self.report_missing(
                "a real Centrifugo: its API is simulated; set $CENTRIFUGO to its binary to publish into it",
            );
        }
        found
    }

    /// Reports once what is missing.
    fn report_missing(&mut self, missing: &'static str) {
        if self.reported.insert(missing) {
            eprintln!("skipped: {missing}");
        }
    }

    /// Measures the available contenders of a row; `None` if there are none.
    fn row(&mut self, row: &Row) -> anyhow::Result<Option<RowResult>> {
        let contenders = self.contenders(row);
        let mut series: Vec<Series> = contenders
            .iter()
            .map(|contender| Series {
                contender: contender.name(),
                colour: contender.colour(),
                rounds: Vec::new(),
            })
            .collect();
        for round in 1..=self.rounds() {
            for (contender, series) in contenders.iter().zip(&mut series) {
                let what = format!("{}, {}", row.name, contender.name());
                let measured = self.measure(row, *contender).with_context(|| what.clone())?;
                eprintln!("{round}/{} {what}: {}", self.rounds(), report::line(&measured, row.table));
                series.rounds.push(measured);
            }
        }
        Ok((!series.is_empty()).then_some(RowResult { row: row.name, table: row.table, series }))
    }

    /// Starts a contender, measures it, and stops it.
    fn measure(&self, row: &Row, contender: Contender) -> anyhow::Result<Measured> {
        let mut running = Running::start(self.setup, self.runtime, row, contender)?;
        // More of them than there are workers.
        let slow = Load::new(&running.address, (1, 64), Message::Slow, 0)?;
        let _slow = contender.has_slow_calls().then(|| slow.begin()).transpose()?;
        let mut measured = match row.work {
            Work::Calls { connections, streams, message } => self
                .calls(&running, (connections, streams), message)
                .and_then(|measured| self.with_spans(&running, contender, measured)),
            Work::Clients { clients, in_flight, message } => {
                self.clients(&running, (clients, in_flight), message)
            }
            Work::Publish { connections } if contender == Contender::Direct => {
                self.calls(&running, (1, connections), Message::Publish).map(Measured::without_the_process)
            }
            Work::Publish { connections } => self.publish(&running, connections),
            Work::Streams { streams } => self.streams(&mut running, streams),
            Work::Scrapes { number } => {
                let number = if self.args.short { 3 } else { number };
                let scrapes = Scrapes { number, is_scraped: contender == Contender::Scraped };
                self.runtime.block_on(scrapes.measure(&running))
            }
            Work::Idle => idle(&running, if self.args.short { Duration::ZERO } else { REST }),
        };
        if let (Ok(measured), Some(ideal)) = (&mut measured, row.ideal()) {
            let part = measured.figures.get(&Figure::Rate).map(|rate| 100.0 * rate / ideal);
            measured.figures.extend(part.map(|part| (Figure::Ideal, part)));
        }
        measured.with_context(|| format!("its output ends with: {:?}", running.process.last_words()))
    }

    fn calls(&self, running: &Running, shape: (usize, usize), message: Message) -> anyhow::Result<Measured> {
        let check = || self.runtime.block_on(check::sample(&running.address, message));
        let answer = check()?;
        let load = Load::new(&running.address, shape, message, answer)?;
        let few = few(shape, message).min((8 << 20) / answer).max(shape.0);
        let measured = self.under_load(running, few, |requests| load.run(requests))?;
        // Its answers are still right after the load.
        check()?;
        Ok(measured)
    }

    /// Adds how many spans were exported. Of a few calls, perhaps none is traced.
    fn with_spans(
        &self,
        running: &Running,
        contender: Contender,
        mut measured: Measured,
    ) -> anyhow::Result<Measured> {
        let is_sure = contender == Contender::Traced || !self.args.short;
        if contender.is_traced() && is_sure {
            let exported = self.runtime.block_on(spans::exported(running))?;
            measured.figures.insert(Figure::ExportedSpans, exported);
        }
        Ok(measured)
    }

    fn clients(
        &self,
        running: &Running,
        shape: (usize, usize),
        message: Message,
    ) -> anyhow::Result<Measured> {
        let front = running.front.as_ref().context("there is no Centrifugo")?.address;
        let (number, in_flight) = shape;
        let mut clients = self.runtime.block_on(Clients::connect(front, number, message))?;
        self.under_load(running, few(shape, message), |calls| {
            self.runtime.block_on(clients.run(calls, in_flight))
        })
    }

    fn publish(&self, running: &Running, connections: usize) -> anyhow::Result<Measured> {
        let is_simulated = self.setup.api.is_none();
        let publisher = Publisher { socket: running.rpc(), connections, is_simulated };
        self.runtime.block_on(publisher.wait())?;
        self.under_load(running, FEW.max(connections), |calls| self.runtime.block_on(publisher.run(calls)))
    }

    fn streams(&self, running: &mut Running, number: usize) -> anyhow::Result<Measured> {
        let number = if self.args.short { FEW } else { number };
        let before = running.process.memory("VmRSS")?;
        let begin = Instant::now();
        let opening = Streams::open(&running.address, running.rpc(), number);
        let mut streams = self.runtime.block_on(opening)?;
        let opened = begin.elapsed().as_secs_f64();
        let memory = running.process.memory("VmRSS")? - before;
        let publish = |messages| self.runtime.block_on(streams.publish(messages));
        let mut measured = self.under_load(running, number, publish)?;
        let reset = self.runtime.block_on(streams.reset())?;
        let stop = running.process.stop(2 * configure::GRACE_PERIOD)?;
        self.runtime.block_on(streams.ended())?;
        measured.figures.extend([
            (Figure::OpenRate, number as f64 / opened),
            (Figure::StreamKb, memory * 1e3 / number as f64),
            (Figure::ResetMs, reset.as_secs_f64() * 1e3),
            (Figure::StopMs, stop.as_secs_f64() * 1e3),
        ]);
        Ok(measured)
    }

    /// Warms up, then measures. Each run of the warm-up tells how many calls the next one takes. The short version makes only `few` calls.
    fn under_load(
        &self,
        running: &Running,
        few: usize,
        mut load: impl FnMut(usize) -> anyhow::Result<Outcome>,
    ) -> anyhow::Result<Measured> {
        let mut warm = load(few)?;
        let mut requests = few;
        if !self.args.short {
            for _ in 0..WARM_UPS {
                let calls = warm.calls_within(WARM_UP);
                warm = load(calls)?;
                // Few calls keep fewer workers busy than many.
                if calls as f64 >= 0.5 * WARM_UP * warm.requests_per_second {
                    break;
                }
            }
            requests = warm.calls_within(self.args.seconds);
        }
        let before = running.used()?;
        let outcome = load(requests)?;
        let used = running.used()?.since(&before);
        let latency = |part| quantile(&outcome.latencies, part);
        let calls = outcome.latencies.len() as f64;
        let per_call = |cpu: Duration| cpu.as_secs_f64() * 1e6 / calls;
        let mut measured = Measured {
            figures: BTreeMap::from([
                (Figure::Rate, outcome.requests_per_second),
                (Figure::ServerUs, per_call(used.bridge + used.workers)),
                (Figure::CpuUs, per_call(used.own)),
                (Figure::BridgeUs, per_call(used.bridge)),
                (Figure::WorkersUs, per_call(used.workers)),
                (Figure::LoadUs, per_call(used.load)),
                (Figure::WorkerSleeps, used.sleeps as f64 / calls),
                (Figure::P50Us, latency(0.5)),
                (Figure::P99Us, latency(0.99)),
                (Figure::P999Us, latency(0.999)),
                (Figure::PeakMb, running.process.memory("VmHWM")?),
            ]),
            latencies_us: QUANTILES.into_iter().map(latency).collect(),
        };
        let centrifugo = used.centrifugo.map(|cpu| (Figure::CentrifugoUs, per_call(cpu)));
        measured.figures.extend(centrifugo);
        Ok(measured)
    }
}

/// How many calls are few for a load of this shape. Of those that wait, a classic worker answers fewer.
fn few((connections, streams): (usize, usize), message: Message) -> usize {
    if message.waits().is_some() { FEW / 4 } else { FEW.max(connections * streams) }
}

fn idle(running: &Running, rest: Duration) -> anyhow::Result<Measured> {
    std::thread::sleep(rest);
    let figures = BTreeMap::from([
        (Figure::PeakMb, running.process.memory("VmHWM")?),
        (Figure::IdleMb, running.process.memory("VmRSS")?),
        (Figure::StartMs, running.start.as_secs_f64() * 1e3),
    ]);
    Ok(Measured { figures, latencies_us: Vec::new() })
}
