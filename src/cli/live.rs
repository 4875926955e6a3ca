//! `causeway workers -i`: what is wrong, and each pool's statistics, its last fifteen minutes and its workers, refreshed every second.
//!
//! In a pipe, tables follow one another. On a terminal, each replaces the last one on the alternate screen, and the terminal is restored on
//! any exit. If the server goes away, this retries until it is back, so that one can watch it restart.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::future::pending;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use crossterm::event::{Event, EventStream, KeyCode, KeyEventKind, KeyModifiers};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;
use tokio_stream::StreamExt as _;

use super::format::{age, count, latency, one_line};
use super::graph;
use super::overview::{Overview, Pool, Problem};
use super::reach::Server;
use super::screen::Screen;
use super::snapshot::{Plugin, Snapshot, Stats};
use super::table::{self, Style};

/// The width of what is written to a pipe, in columns.
const DEFAULT_WIDTH: usize = 100;

const EVERY: Duration = Duration::from_secs(1);

/// Shows the workers of these plugins until the user quits.
pub(super) async fn run(server: Server, plugins: Vec<String>) -> anyhow::Result<ExitCode> {
    let on_terminal = io::stdout().is_terminal();
    let mut screen = on_terminal.then(Screen::enter).transpose().context("cannot draw on this terminal")?;
    let mut view = View { server, plugins, before: HashMap::new(), overview: Overview::default() };
    let drawing = async {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match &mut screen {
                Some(screen) => {
                    let style = Style { width: Screen::width(), ..Style::of_stdout() };
                    screen.draw(&view.next(style).await)?;
                }
                None => write!(io::stdout(), "{}", view.next(Style::default()).await)?,
            }
        }
    };
    tokio::select! {
        result = drawing => result,
        result = quit(on_terminal) => result.map(|()| ExitCode::SUCCESS),
    }
}

/// Resolves when the user quits, by a key or a signal.
async fn quit(on_terminal: bool) -> anyhow::Result<()> {
    let (mut interrupt, mut terminate, mut hangup) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
    let key = async {
        let mut events = EventStream::new();
        while let Some(Ok(event)) = events.next().await {
            if is_quit(&event) {
                return;
            }
        }
        // Without key events, signals still work.
        pending::<()>().await;
    };
    tokio::select! {
        () = key, if on_terminal => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}

/// In raw mode Ctrl-C is a key like any other.
fn is_quit(event: &Event) -> bool {
    let Event::Key(key) = event else { return false };
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind != KeyEventKind::Release
        && match key.code {
            KeyCode::Char('q' | 'Q') | KeyCode::Esc => true,
            KeyCode::Char('c' | 'd') => control,
            _ => false,
        }
}

/// What is shown, and when each pool had served how many requests at the last refresh.
struct View {
    server: Server,
    plugins: Vec<String>,
    before: HashMap<String, (SystemTime, u64)>,
    overview: Overview,
}

impl View {
    /// Returns the next picture. Reconnects if the server does not answer.
    async fn next(&mut self, style: Style) -> String {
        let snapshot = match self.take().await {
            Ok(snapshot) => Ok(snapshot),
            Err(_) => match self.server.again().await {
                Ok(server) => {
                    self.server = server;
                    self.take().await
                }
                Err(error) => Err(error.into()),
            },
        };
        match snapshot {
            Ok(snapshot) => {
                let rates: Vec<_> =
                    snapshot.plugins.iter().map(|plugin| self.rate(plugin, snapshot.taken)).collect();
                picture(&snapshot, &rates, &self.overview, style)
            }
            Err(error) => {
                self.before.clear();
                format!("{}; retrying\n", one_line(&format!("{error:#}")))
            }
        }
    }

    async fn take(&mut self) -> anyhow::Result<Snapshot> {
        let snapshot = Snapshot::take(&mut self.server, &self.plugins).await?;
        self.overview.refresh(&mut self.server).await?;
        Ok(snapshot)
    }

    /// Returns a pool's requests per second since the last refresh.
    fn rate(&mut self, plugin: &Plugin, now: SystemTime) -> Option<f64> {
        let requests = plugin.stats()?.requests;
        let (then, before) = self.before.insert(plugin.name.clone(), (now, requests))?;
        let seconds = now.duration_since(then).ok()?.as_secs_f64();
        // A server that was restarted counts from zero.
        let since = u32::try_from(requests.checked_sub(before)?).ok()?;
        (seconds > 0.0).then(|| f64::from(since) / seconds)
    }
}

fn picture(snapshot: &Snapshot, rates: &[Option<f64>], overview: &Overview, style: Style) -> String {
    let mut text = problems(overview, style);
    for (plugin, rate) in snapshot.plugins.iter().zip(rates) {
        if let Some(stats) = plugin.stats() {
            text.push_str(&summary(&stats, *rate));
        }
        if let Some(pool) = overview.pool(&plugin.name) {
            text.push_str(&stages(pool));
        }
        text.push_str(&graphs(overview, &plugin.name, style));
        text.push_str(&table::show(plugin, snapshot.taken, style));
    }
    text
}

/// One line for each problem.
fn problems(overview: &Overview, style: Style) -> String {
    let line = |(problem, lasted): (&Problem, f64)| {
        let is_critical = problem.severity == "critical";
        let (mark, colour) = if is_critical { ("✕", "\u{1b}[1;91m") } else { ("▲", "\u{1b}[93m") };
        let lasted = age(Duration::try_from_secs_f64(lasted).unwrap_or_default());
        let text = format!("{mark} {}, for {lasted}", one_line(&problem.text));
        if style.colours { format!("{colour}{text}\u{1b}[0m\n") } else { format!("{text}\n") }
    };
    overview.problems().map(line).collect()
}

/// How long requests waited and were worked on, and why workers are missing.
fn stages(pool: &Pool) -> String {
    let mut text = String::new();
    if let (Some(wait), Some(worker)) = (pool.wait, pool.worker) {
        let [wait, half, most] = [wait.p99, worker.p50, worker.p99].map(percentile);
        let _ = writeln!(text, "queue wait p99 {wait}; worker time p50 / p99 {half} / {most}");
    }
    if let Some(reason) = pool.failed_start() {
        let _ = writeln!(text, "last failed start: {}", one_line(reason));
    }
    text
}

/// A time from a histogram, whose last bound is 10 s.
fn percentile(seconds: f64) -> String {
    if seconds >= 10.0 { "over 10 s".into() } else { latency(seconds) }
}

/// The name of a graph and of its series, and how its values are shown.
type Graph<'a> = (&'a str, &'a str, &'a dyn Fn(f64) -> String);

/// The last fifteen minutes of a pool.
fn graphs(overview: &Overview, pool: &str, style: Style) -> String {
    let width = style.width.map_or(DEFAULT_WIDTH, usize::from);
    let number = |value: f64| if value < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") };
    let whole = |value: f64| format!("{value:.0}");
    let graphs: [Graph<'_>; 4] = [
        ("requests/s", "requests", &number),
        ("worker p99", "worker_p99", &percentile),
        ("in hand", "in_hand", &whole),
        ("waiting", "waiting", &whole),
    ];
    let line = |(name, series, format): Graph<'_>| {
        let values = overview.series(pool, series).filter(|values| !values.is_empty())?;
        Some(graph::line(name, values, overview.points(), width, format))
    };
    graphs.into_iter().filter_map(line).collect()
}

fn summary(stats: &Stats, rate: Option<f64>) -> String {
    let rate = rate.map_or_else(|| "–".into(), |rate| format!("{rate:.1}"));
    let Stats { requests, failures, waiting, target, latency: times, restarts, .. } = stats;
    let mut text = format!(
        "{rate} requests/s, {} waiting, {} workers wanted; {} requests in total, {} failed\n",
        count(*waiting),
        count(*target),
        count(*requests),
        count(*failures)
    );
    let [p50, p90, p99, max] = [times.p50, times.p90, times.p99, times.max].map(latency);
    let _ = writeln!(text, "recent latency: p50 {p50}, p90 {p90}, p99 {p99}, max {max}");
    if !restarts.is_empty() {
        let reasons: Vec<String> = restarts
            .iter()
            .map(|(reason, times)| format!("{} {}", one_line(reason), count(*times)))
            .collect();
        let _ = writeln!(text, "workers replaced: {}", reasons.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use crossterm::event::KeyEvent;
    use serde_json::json;

    use super::*;
    use crate::cli::snapshot::Worker;

    fn snapshot(stats: Option<serde_json::Value>) -> Snapshot {
        let worker = Worker { pid: 7, status: "ready".into(), ..Worker::default() };
        let plugin = Plugin { name: "centrifuge".into(), workers: vec![worker], stats };
        Snapshot { taken: UNIX_EPOCH, plugins: vec![plugin] }
    }

    #[test]
    fn the_pool_s_statistics_stand_above_the_table() {
        let stats = json!({
            "requests": 12345, "failures": 2, "waiting": 3, "target": 4, "tasks": 50,
            "latency": {"p50": 0.0012, "p90": 0.0034, "p99": 0.01, "max": 1.25},
            "restarts": {"died": 1, "max_jobs": 1000},
        });
        insta::assert_snapshot!(picture(&snapshot(Some(stats)), &[Some(210.25)], &Overview::default(), Style::default()), @"
        210.2 requests/s, 3 waiting, 4 workers wanted; 12,345 requests in total, 2 failed
        recent latency: p50 1.2 ms, p90 3.4 ms, p99 10 ms, max 1.2 s
        workers replaced: died 1, max_jobs 1,000
        Workers of [centrifuge]:
        ┌─────┬────────┬───────┬────────┬───────┬─────┬─────────┐
        │ PID │ STATUS │ EXECS │ MEMORY │ CPU % │ AGE │ COMMAND │
        ├─────┼────────┼───────┼────────┼───────┼─────┼─────────┤
        │   7 │ ready  │     0 │    0 B │  0.00 │  0s │         │
        └─────┴────────┴───────┴────────┴───────┴─────┴─────────┘
        ");
    }

    #[test]
    fn a_server_without_statistics_has_its_table_alone() {
        let shown = picture(&snapshot(None), &[None], &Overview::default(), Style::default());
        assert!(shown.starts_with("Workers of [centrifuge]:\n"), "{shown}");
    }

    #[test]
    fn q_and_control_c_quit() {
        let key = |code, modifiers| Event::Key(KeyEvent::new(code, modifiers));
        assert!(is_quit(&key(KeyCode::Char('q'), KeyModifiers::NONE)));
        assert!(is_quit(&key(KeyCode::Char('c'), KeyModifiers::CONTROL)));
        assert!(!is_quit(&key(KeyCode::Char('c'), KeyModifiers::NONE)));
        assert!(!is_quit(&Event::Resize(1, 1)));
    }
}
