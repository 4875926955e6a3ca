//! The core's decisions as transcripts: each event, and below it its effects.

mod exhausted;
mod growing;
mod replacing;

use std::fmt::Write as _;

use super::*;

const SCALING: Option<Scaling> = Some(Scaling { most: 3, per_second: 2 });

/// Runs events against a pool of `target` and writes down what comes of each.
fn transcript(target: usize, events: impl IntoIterator<Item = Event>) -> String {
    scaling_transcript(target, None, events)
}

fn scaling_transcript(
    target: usize,
    scaling: Option<Scaling>,
    events: impl IntoIterator<Item = Event>,
) -> String {
    let mut core = Core::new(target, scaling);
    let mut text = String::new();
    for event in events {
        let mut effects = Vec::new();
        writeln!(text, "{event:?}").unwrap();
        core.handle(event, &mut effects);
        for effect in effects {
            writeln!(text, "    {effect:?}").unwrap();
        }
    }
    text
}

fn exited(id: WorkerId, useful: bool) -> Event {
    Event::Exited { id, useful, how: format!("exit of {id}") }
}

fn boot_failed(id: WorkerId) -> Event {
    Event::BootFailed(id, format!("no boot of {id}"))
}

fn started(target: usize) -> Vec<Event> {
    let mut events = vec![Event::Start];
    events.extend((1..=target as u64).map(Event::Booted));
    events
}

fn after_start(target: usize, more: impl IntoIterator<Item = Event>) -> String {
    after_scaling_start(target, None, more)
}

fn after_scaling_start(
    target: usize,
    scaling: Option<Scaling>,
    more: impl IntoIterator<Item = Event>,
) -> String {
    let begin = scaling_transcript(target, scaling, started(target));
    let mut events = started(target);
    events.extend(more);
    scaling_transcript(target, scaling, events).strip_prefix(&begin).unwrap().to_owned()
}

fn waiting(requests: usize, millis: u64) -> Event {
    Event::Waiting { requests, now: Duration::from_millis(millis) }
}

#[test]
fn the_first_boot_is_over_when_all_are_ready() {
    insta::assert_snapshot!(transcript(2, started(2)), @r"
    Start
        Spawn(1)
        Spawn(2)
    Booted(1)
        Lend(1)
    Booted(2)
        Lend(2)
        FirstBoot(Ok(()))
    ");
}

#[test]
fn a_first_boot_that_fails_ends_the_pool() {
    insta::assert_snapshot!(transcript(2, [Event::Start, Event::Booted(1), boot_failed(2), exited(1, false)]), @r#"
    Start
        Spawn(1)
        Spawn(2)
    Booted(1)
        Lend(1)
    BootFailed(2, "no boot of 2")
        FirstBoot(Err("no boot of 2"))
        Retire(1, Shutdown)
        Announce(Closed)
    Exited { id: 1, useful: false, how: "exit of 1" }
        Ended
    "#);
}

#[test]
fn a_worker_that_dies_after_work_is_replaced_at_once() {
    insta::assert_snapshot!(after_start(2, [exited(1, true), Event::Booted(3)]), @r#"
    Exited { id: 1, useful: true, how: "exit of 1" }
        Spawn(3)
    Booted(3)
        Lend(3)
    "#);
}

#[test]
fn boot_failures_pause_and_are_tried_one_by_one_until_one_works() {
    let events = [
        exited(1, true),
        exited(2, true),
        boot_failed(4),
        boot_failed(5),
        Event::PauseOver,
        boot_failed(6),
        Event::PauseOver,
        Event::Booted(7),
    ];
    insta::assert_snapshot!(after_start(3, events), @r#"
    Exited { id: 1, useful: true, how: "exit of 1" }
        Spawn(4)
    Exited { id: 2, useful: true, how: "exit of 2" }
        Spawn(5)
    BootFailed(4, "no boot of 4")
        Pause(100ms)
    BootFailed(5, "no boot of 5")
    PauseOver
        Spawn(6)
    BootFailed(6, "no boot of 6")
        Pause(200ms)
    PauseOver
        Spawn(7)
    Booted(7)
        Lend(7)
        Spawn(8)
    "#);
}

#[test]
fn failures_of_workers_that_were_started_together_count_once_however_far_apart() {
    let events = [
        exited(1, true),
        exited(2, true),
        exited(3, true),
        boot_failed(4),
        Event::PauseOver,
        boot_failed(5),
        boot_failed(6),
        boot_failed(7),
        Event::PauseOver,
        Event::Booted(8),
        exited(8, false),
        Event::PauseOver,
    ];
    insta::assert_snapshot!(after_start(3, events), @r#"
    Exited { id: 1, useful: true, how: "exit of 1" }
        Spawn(4)
    Exited { id: 2, useful: true, how: "exit of 2" }
        Spawn(5)
    Exited { id: 3, useful: true, how: "exit of 3" }
        Spawn(6)
    BootFailed(4, "no boot of 4")
        Pause(100ms)
    PauseOver
    BootFailed(5, "no boot of 5")
    BootFailed(6, "no boot of 6")
        Spawn(7)
    BootFailed(7, "no boot of 7")
        Pause(200ms)
        Announce(Down("no boot of 7"))
    PauseOver
        Spawn(8)
        Announce(Serving)
    Booted(8)
        Lend(8)
        Spawn(9)
        Spawn(10)
    Exited { id: 8, useful: false, how: "exit of 8" }
        Pause(100ms)
    PauseOver
        Spawn(11)
    "#);
}

#[test]
fn a_worker_that_asks_to_be_replaced_has_its_successor_started_first() {
    insta::assert_snapshot!(after_start(1, [Event::Retire(1, Reason::Requested), exited(1, true), Event::Booted(2)]), @r#"
    Retire(1, Requested)
        Retire(1, Requested)
        Spawn(2)
    Exited { id: 1, useful: true, how: "exit of 1" }
    Booted(2)
        Lend(2)
    "#);
}

#[test]
fn a_faulty_worker_is_killed_and_replaced() {
    insta::assert_snapshot!(after_start(1, [Event::Retire(1, Reason::Faulty), Event::Retire(1, Reason::Faulty)]), @r"
    Retire(1, Faulty)
        Kill(1, Faulty)
        Spawn(2)
    Retire(1, Faulty)
    ");
}

#[test]
fn shutdown_waits_for_workers_that_are_starting_too() {
    let events = [exited(1, true), Event::Shutdown, Event::Shutdown, exited(2, true), boot_failed(3)];
    insta::assert_snapshot!(after_start(2, events), @r#"
    Exited { id: 1, useful: true, how: "exit of 1" }
        Spawn(3)
    Shutdown
        Retire(2, Shutdown)
        Retire(3, Shutdown)
        Announce(Closed)
    Shutdown
    Exited { id: 2, useful: true, how: "exit of 2" }
    BootFailed(3, "no boot of 3")
        Ended
    "#);
}

#[test]
fn the_pause_doubles_up_to_ten_seconds() {
    let pauses: Vec<u128> = [1, 2, 3, 7, 8, 40, u32::MAX].map(|streak| pause(streak).as_millis()).to_vec();
    assert_eq!(pauses, [100, 200, 400, 6400, 10_000, 10_000, 10_000]);
}

#[test]
fn a_worker_that_breaks_while_it_leaves_is_killed() {
    let text = after_start(
        1,
        [
            Event::Retire(1, Reason::Requested),
            Event::Retire(1, Reason::Faulty),
            Event::Retire(1, Reason::Faulty),
        ],
    );
    insta::assert_snapshot!(text, @r"
    Retire(1, Requested)
        Retire(1, Requested)
        Spawn(2)
    Retire(1, Faulty)
        Kill(1, Faulty)
    Retire(1, Faulty)
    ");
}

#[test]
fn at_shutdown_workers_that_are_leaving_are_asked_again() {
    let text = after_start(
        2,
        [Event::Retire(1, Reason::Requested), Event::Retire(2, Reason::Faulty), Event::Shutdown],
    );
    insta::assert_snapshot!(text, @r"
    Retire(1, Requested)
        Retire(1, Requested)
        Spawn(3)
    Retire(2, Faulty)
        Kill(2, Faulty)
        Spawn(4)
    Shutdown
        Retire(1, Shutdown)
        Retire(3, Shutdown)
        Retire(4, Shutdown)
        Announce(Closed)
    ");
}

#[test]
fn events_of_workers_that_are_gone_change_nothing() {
    let text = after_start(
        1,
        [
            exited(9, false),
            Event::Booted(9),
            boot_failed(9),
            Event::Retire(9, Reason::Faulty),
            Event::Due(9, Reason::Ttl),
            Event::Abandoned(9),
            Event::CameBack(9),
            Event::Unneeded(1),
            waiting(5, 0),
            Event::PauseOver,
            Event::ResetTimeout,
        ],
    );
    insta::assert_snapshot!(text, @r#"
    Exited { id: 9, useful: false, how: "exit of 9" }
    Booted(9)
    BootFailed(9, "no boot of 9")
    Retire(9, Faulty)
    Due(9, Ttl)
    Abandoned(9)
    CameBack(9)
    Unneeded(1)
    Waiting { requests: 5, now: 0ns }
    PauseOver
    ResetTimeout
    "#);
}

#[test]
fn a_pool_that_need_not_be_ready_waits_between_attempts_and_says_why_it_serves_nothing() {
    let events = [
        Event::StartOptional,
        boot_failed(1),
        Event::PauseOver,
        boot_failed(2),
        Event::PauseOver,
        Event::Booted(3),
    ];
    insta::assert_snapshot!(transcript(1, events), @r#"
    StartOptional
        FirstBoot(Ok(()))
        Spawn(1)
    BootFailed(1, "no boot of 1")
        Pause(100ms)
        Announce(Down("no boot of 1"))
    PauseOver
        Spawn(2)
        Announce(Serving)
    BootFailed(2, "no boot of 2")
        Pause(200ms)
        Announce(Down("no boot of 2"))
    PauseOver
        Spawn(3)
        Announce(Serving)
    Booted(3)
        Lend(3)
    "#);
}
