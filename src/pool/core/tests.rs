//! The pool's decisions as transcripts: each line is an event and the effects that it has.

use std::fmt::Write as _;

use super::*;

/// Runs events against a pool of `target` and writes down what comes of each.
fn transcript(target: usize, events: impl IntoIterator<Item = Event>) -> String {
    let mut core = Core::new(target, None);
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
    let begin = transcript(target, started(target));
    let mut events = started(target);
    events.extend(more);
    transcript(target, events).strip_prefix(&begin).unwrap().to_owned()
}

#[test]
fn the_first_boot_is_over_when_all_are_ready() {
    insta::assert_snapshot!(transcript(2, started(2)), @r"
    Start
        Spawn(1)
        Spawn(2)
    Booted(1)
    Booted(2)
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
    "#);
}

#[test]
fn workers_that_die_unused_are_replaced_after_a_growing_pause() {
    let events = [
        exited(1, false),
        Event::PauseOver,
        Event::Booted(2),
        exited(2, false),
        Event::PauseOver,
        Event::Booted(3),
        exited(3, true),
        Event::Booted(4),
        exited(4, false),
    ];
    insta::assert_snapshot!(after_start(1, events), @r#"
    Exited { id: 1, useful: false, how: "exit of 1" }
        Pause(100ms)
        Announce(Down("exit of 1"))
    PauseOver
        Spawn(2)
        Announce(Serving)
    Booted(2)
    Exited { id: 2, useful: false, how: "exit of 2" }
        Pause(200ms)
        Announce(Down("exit of 2"))
    PauseOver
        Spawn(3)
        Announce(Serving)
    Booted(3)
    Exited { id: 3, useful: true, how: "exit of 3" }
        Spawn(4)
    Booted(4)
    Exited { id: 4, useful: false, how: "exit of 4" }
        Pause(100ms)
        Announce(Down("exit of 4"))
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
        Spawn(8)
    "#);
}

#[test]
fn a_worker_that_wishes_to_leave_has_its_successor_started_first() {
    insta::assert_snapshot!(after_start(1, [Event::Retire(1, Reason::OwnWish), exited(1, true), Event::Booted(2)]), @r#"
    Retire(1, OwnWish)
        Retire(1, OwnWish)
        Spawn(2)
    Exited { id: 1, useful: true, how: "exit of 1" }
    Booted(2)
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
fn the_end_waits_for_workers_that_are_starting_too() {
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
