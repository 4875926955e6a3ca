//! The tables of docs/guide/scaling.md: what breaks a fleet.

use std::fmt::Write as _;

use crate::fleet::Fleet;
use crate::plan::Plan;
use crate::report::Report;

/// All of them, in Markdown.
pub(crate) fn all() -> String {
    [workers(), bridges(), nodes(), storms()].join("\n")
}

fn millis(seconds: f64) -> String {
    format!("{:.0}", seconds * 1e3)
}

#[expect(clippy::cast_precision_loss, reason = "a number of calls")]
fn failures(report: &Report) -> String {
    format!("{:.2} %", report.failed() as f64 / report.offered as f64 * 100.0)
}

/// The wait for a worker by utilization and number of workers.
fn workers() -> String {
    let mut table = String::from(
        "| utilization | 1 worker | 4 workers | 16 workers | 64 workers |\n| --: | --: | --: | --: | --: |\n",
    );
    for utilization in [0.5, 0.7, 0.8, 0.9, 0.95, 1.05] {
        let _ = write!(table, "| {:.0} %", utilization * 100.0);
        for workers in [1, 4, 16, 64] {
            let plan =
                Plan { work: 0.1, bridges: 1, workers, timeout: 5.0, seconds: 600.0, ..Plan::default() };
            let report = Fleet::run(&plan.with_utilization(utilization));
            let failed =
                if report.failed() > 0 { format!(", {} fail", failures(&report)) } else { String::new() };
            let _ = write!(table, " | {}{failed}", millis(report.wait(0.99)));
        }
        table.push_str(" |\n");
    }
    table
}

/// One of several bridges is killed for a while.
fn bridges() -> String {
    let mut table =
        String::from("| bridges | utilization | calls that fail | wait, p99 |\n| --: | --: | --: | --: |\n");
    for bridges in [2, 3, 4, 8] {
        for utilization in [0.5, 0.7, 0.8] {
            let plan = Plan {
                work: 0.1,
                bridges,
                workers: 16,
                kill: Some(20.0),
                away: 30.0,
                seconds: 80.0,
                ..Plan::default()
            };
            let report = Fleet::run(&plan.with_utilization(utilization));
            let _ = writeln!(
                table,
                "| {bridges} | {:.0} % | {} | {} ms |",
                utilization * 100.0,
                failures(&report),
                millis(report.wait(0.99))
            );
        }
    }
    table
}

/// A node is lost, and its clients connect again.
fn nodes() -> String {
    let mut table = String::from(
        "| clients connect again within | queue | calls that fail | wait, p99 | last failure |\n| --: | --: | --: | --: | --: |\n",
    );
    for within in [10.0, 30.0, 60.0] {
        for queue in [0, 64, 16] {
            let lost = Some(vec![20.0, 20_000.0, within]);
            let plan =
                Plan { bridges: 2, workers: 8, queue, lost, again: 1.0, seconds: 120.0, ..Plan::default() };
            let plan = plan.with_utilization(0.5);
            let report = Fleet::run(&plan);
            let _ = writeln!(table, "| {within:.0} s | {}", row(&plan, &report, 20.0));
        }
    }
    table
}

/// Users repeat what fails while a bridge is away.
fn storms() -> String {
    let mut table = String::from(
        "| users repeat | queue | calls that fail | wait, p99 | last failure |\n| --: | --: | --: | --: | --: |\n",
    );
    for again in [0.0, 0.9, 1.0] {
        for queue in [0, 64, 8] {
            let plan = Plan {
                work: 0.1,
                bridges: 2,
                workers: 8,
                queue,
                again,
                kill: Some(20.0),
                away: 10.0,
                seconds: 120.0,
                ..Plan::default()
            };
            let plan = plan.with_utilization(0.8);
            let report = Fleet::run(&plan);
            let _ = writeln!(table, "| {:.0} % | {}", again * 100.0, row(&plan, &report, 30.0));
        }
    }
    table
}

/// The columns of a table by the queue's limit; the last failure counts from a time.
fn row(plan: &Plan, report: &Report, from: f64) -> String {
    let queue = if plan.queue == 0 { "no limit".into() } else { plan.queue.to_string() };
    let last = match report.last_failure {
        None => "none".into(),
        Some(time) if time > plan.seconds => "never".into(),
        Some(time) => format!("{:.0} s", time - from),
    };
    format!("{queue} | {} | {} ms | {last} |", failures(report), millis(report.wait(0.99)))
}
