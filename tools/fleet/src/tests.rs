//! The simulation against theory, and against itself.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::fleet::Fleet;
use crate::plan::Plan;

/// One bridge with these workers, each of which takes a second on average.
fn queue(workers: usize, utilization: f64) -> Plan {
    let plan =
        Plan { work: 1.0, nodes: 1, bridges: 1, workers, timeout: 1e6, seconds: 50_000.0, ..Plan::default() };
    plan.with_utilization(utilization)
}

/// The mean wait in a queue of workers that take a second on average: Erlang's formula C.
fn erlang(workers: u32, utilization: f64) -> f64 {
    let load = f64::from(workers) * utilization;
    let (mut term, mut sum) = (1.0, 0.0);
    for n in 0..workers {
        sum += term;
        term *= load / f64::from(n + 1);
    }
    let all_busy = term / (1.0 - utilization);
    all_busy / (sum + all_busy) / (f64::from(workers) - load)
}

#[test]
fn waits_are_those_of_queueing_theory() {
    for (workers, utilization) in [(1, 0.5), (1, 0.8), (4, 0.7), (16, 0.9)] {
        let report = Fleet::run(&queue(workers, utilization));
        let (seen, expected) = (report.mean_wait(), erlang(workers.try_into().unwrap(), utilization));
        assert!((seen / expected - 1.0).abs() < 0.1, "{workers} at {utilization}: {seen}, not {expected}");
        assert!((report.utilization - utilization).abs() < 0.02);
        assert_eq!(report.failed(), 0);
    }
}

#[test]
fn even_times_halve_the_wait_of_one_worker() {
    // Pollaczek and Khinchine.
    let report = Fleet::run(&Plan { even: true, ..queue(1, 0.8) });
    assert!((report.mean_wait() - 2.0).abs() < 0.2, "{}", report.mean_wait());
}

#[test]
fn the_same_seed_gives_the_same_result() {
    let plan = Plan { kill: Some(10.0), again: 0.5, ..Plan::default() }.with_utilization(0.9);
    assert_eq!(Fleet::run(&plan), Fleet::run(&plan));
    assert_ne!(Fleet::run(&plan), Fleet::run(&Plan { seed: 2, ..plan.clone() }));
}

#[test]
fn every_call_ends_once() {
    let lost = Some(vec![5.0, 500.0, 1.0]);
    let plan = Plan { queue: 8, kill: Some(10.0), lost, again: 0.5, ..Plan::default() }.with_utilization(1.2);
    let report = Fleet::run(&plan);
    assert!(report.late + report.full > 0);
    assert_eq!(report.answered + report.failed(), report.offered);
}

#[test]
fn a_kill_fails_no_more_than_was_in_flight_and_with_the_policy_nothing() {
    let plan = Plan { kill: Some(10.0), seconds: 30.0, ..Plan::default() }.with_utilization(0.4);
    let report = Fleet::run(&plan);
    assert_eq!(report.failed(), 0);
    assert!(report.twice <= plan.workers);
    let report = Fleet::run(&Plan { attempts: 1, ..plan });
    assert!(report.failed() <= 16 && report.twice == 0, "{report:?}");
}

#[test]
fn calls_of_pick_first_wait_for_one_bridge() {
    let plan = Plan { bridges: 2, ..Plan::default() }.with_utilization(0.4);
    let [balanced, first] = [false, true].map(|pick_first| Fleet::run(&Plan { pick_first, ..plan.clone() }));
    assert!(first.mean_wait() > 5.0 * balanced.mean_wait(), "{} {}", first.mean_wait(), balanced.mean_wait());
}
