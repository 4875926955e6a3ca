//! Limits and resets: who is replaced, when, and by whom.

use super::*;

#[test]
fn a_due_worker_stays_until_its_successor_is_ready() {
    let text = after_start(1, [Event::Due(1, Reason::Ttl), Event::Booted(2), exited(1, true)]);
    insta::assert_snapshot!(text, @r#"
    Due(1, Ttl)
        Spawn(2)
    Booted(2)
        Lend(2)
        Retire(1, Ttl)
    Exited { id: 1, useful: true, how: "exit of 1" }
    "#);
}

#[test]
fn at_most_a_quarter_is_replaced_at_a_time() {
    let text = after_start(
        8,
        (1..=4).map(|id| Event::Due(id, Reason::Ttl)).chain([
            Event::Booted(9),
            Event::Booted(10),
            Event::Booted(11),
        ]),
    );
    insta::assert_snapshot!(text, @r"
    Due(1, Ttl)
        Spawn(9)
    Due(2, Ttl)
        Spawn(10)
    Due(3, Ttl)
    Due(4, Ttl)
    Booted(9)
        Lend(9)
        Retire(1, Ttl)
        Spawn(11)
    Booted(10)
        Lend(10)
        Retire(2, Ttl)
        Spawn(12)
    Booted(11)
        Lend(11)
        Retire(3, Ttl)
    ");
}

#[test]
fn a_due_worker_that_dies_needs_no_successor_of_its_own() {
    let text = after_start(2, [Event::Due(1, Reason::IdleTtl), exited(1, true), Event::Booted(3)]);
    insta::assert_snapshot!(text, @r#"
    Due(1, IdleTtl)
        Spawn(3)
    Exited { id: 1, useful: true, how: "exit of 1" }
    Booted(3)
        Lend(3)
    "#);
}

#[test]
fn a_due_worker_stays_while_its_successor_cannot_be_started() {
    let text = after_start(
        1,
        [Event::Due(1, Reason::MaxMemory), boot_failed(2), Event::PauseOver, Event::Booted(3)],
    );
    insta::assert_snapshot!(text, @r#"
    Due(1, MaxMemory)
        Spawn(2)
    BootFailed(2, "no boot of 2")
        Pause(100ms)
    PauseOver
        Spawn(3)
    Booted(3)
        Lend(3)
        Retire(1, MaxMemory)
    "#);
}

#[test]
fn a_reset_replaces_one_after_the_other_and_is_over_when_none_is_left_to_replace() {
    let text =
        after_start(2, [Event::Reset, Event::Booted(3), Event::Booted(4), exited(1, true), exited(2, true)]);
    insta::assert_snapshot!(text, @r#"
    Reset
        Spawn(3)
    Booted(3)
        Lend(3)
        Retire(1, Reset)
        Spawn(4)
    Booted(4)
        Lend(4)
        Retire(2, Reset)
        ResetOver(Done)
    Exited { id: 1, useful: true, how: "exit of 1" }
    Exited { id: 2, useful: true, how: "exit of 2" }
    "#);
}

#[test]
fn a_reset_during_a_reset_replaces_what_that_one_has_started() {
    let text = after_start(
        2,
        [Event::Reset, Event::Booted(3), Event::Reset, boot_failed(4), Event::Booted(5), Event::Booted(6)],
    );
    insta::assert_snapshot!(text, @r#"
    Reset
        Spawn(3)
    Booted(3)
        Lend(3)
        Retire(1, Reset)
        Spawn(4)
    Reset
        Retire(4, Reset)
        Spawn(5)
    BootFailed(4, "no boot of 4")
    Booted(5)
        Lend(5)
        Retire(2, Reset)
        Spawn(6)
    Booted(6)
        Lend(6)
        Retire(3, Reset)
        ResetOver(Done)
    "#);
}

#[test]
fn a_reset_whose_worker_does_not_boot_keeps_the_old_ones() {
    let text = after_start(8, [Event::Reset, boot_failed(9), boot_failed(10)]);
    insta::assert_snapshot!(text, @r#"
    Reset
        Spawn(9)
        Spawn(10)
    BootFailed(9, "no boot of 9")
        ResetOver(BootFailed("no boot of 9"))
        Retire(10, Surplus)
        Pause(100ms)
    BootFailed(10, "no boot of 10")
    "#);
}

#[test]
fn a_reset_that_fails_later_calls_off_the_other_starts() {
    let text = after_start(8, [Event::Reset, Event::Booted(9), boot_failed(10), boot_failed(11)]);
    insta::assert_snapshot!(text, @r#"
    Reset
        Spawn(9)
        Spawn(10)
    Booted(9)
        Lend(9)
        Retire(1, Reset)
        Spawn(11)
    BootFailed(10, "no boot of 10")
        ResetOver(BootFailed("no boot of 10"))
        Retire(11, Surplus)
        Pause(100ms)
    BootFailed(11, "no boot of 11")
    "#);
}

#[test]
fn a_reset_after_one_that_failed_replaces_workers_of_every_older_generation() {
    let text = after_start(
        2,
        [Event::Reset, Event::Booted(3), boot_failed(4), Event::Reset, Event::Booted(5), Event::Booted(6)],
    );
    insta::assert_snapshot!(text, @r#"
    Reset
        Spawn(3)
    Booted(3)
        Lend(3)
        Retire(1, Reset)
        Spawn(4)
    BootFailed(4, "no boot of 4")
        ResetOver(BootFailed("no boot of 4"))
        Pause(100ms)
    Reset
        Spawn(5)
    Booted(5)
        Lend(5)
        Retire(2, Reset)
        Spawn(6)
    Booted(6)
        Lend(6)
        Retire(3, Reset)
        ResetOver(Done)
    "#);
}

#[test]
fn a_reset_that_takes_too_long_keeps_the_old_ones() {
    let text = after_start(1, [Event::Reset, Event::ResetTimeout, boot_failed(2)]);
    insta::assert_snapshot!(text, @r#"
    Reset
        Spawn(2)
    ResetTimeout
        ResetOver(TimedOut)
        Retire(2, Surplus)
    BootFailed(2, "no boot of 2")
    "#);
}

#[test]
fn a_reset_calls_off_starts_from_before_and_does_not_wait_for_a_pause() {
    let text = after_start(
        3,
        [
            exited(1, true),
            boot_failed(4),
            Event::Reset,
            Event::Booted(5),
            exited(2, true),
            Event::Booted(6),
            Event::Booted(7),
        ],
    );
    insta::assert_snapshot!(text, @r#"
    Exited { id: 1, useful: true, how: "exit of 1" }
        Spawn(4)
    BootFailed(4, "no boot of 4")
        Pause(100ms)
    Reset
        Spawn(5)
        Spawn(6)
    Booted(5)
        Lend(5)
    Exited { id: 2, useful: true, how: "exit of 2" }
        Spawn(7)
    Booted(6)
        Lend(6)
    Booted(7)
        Lend(7)
        Retire(3, Reset)
        ResetOver(Done)
    "#);
}

#[test]
fn a_reset_replaces_what_was_starting_before_it() {
    let text =
        after_start(2, [exited(1, true), Event::Reset, boot_failed(3), Event::Booted(4), Event::Booted(5)]);
    insta::assert_snapshot!(text, @r#"
    Exited { id: 1, useful: true, how: "exit of 1" }
        Spawn(3)
    Reset
        Retire(3, Reset)
        Spawn(4)
        Spawn(5)
    BootFailed(3, "no boot of 3")
    Booted(4)
        Lend(4)
    Booted(5)
        Lend(5)
        Retire(2, Reset)
        ResetOver(Done)
    "#);
}

#[test]
fn a_reset_ends_with_the_pool() {
    let text = after_start(1, [Event::Reset, Event::Shutdown, Event::Reset]);
    insta::assert_snapshot!(text, @r"
    Reset
        Spawn(2)
    Shutdown
        ResetOver(Closed)
        Retire(1, Shutdown)
        Retire(2, Shutdown)
        Announce(Closed)
    Reset
        ResetOver(Closed)
    ");
}

#[test]
fn a_worker_that_comes_back_during_a_reset_makes_an_old_one_surplus() {
    let text = after_start(
        2,
        [
            Event::Abandoned(1),
            waiting(1, 0),
            Event::Booted(3),
            Event::Reset,
            Event::CameBack(1),
            Event::Booted(4),
            Event::Booted(5),
        ],
    );
    insta::assert_snapshot!(text, @r"
    Abandoned(1)
    Waiting { requests: 1, now: 0ns }
        Spawn(3)
    Booted(3)
        Lend(3)
    Reset
        Spawn(4)
    CameBack(1)
        Retire(1, Reset)
    Booted(4)
        Lend(4)
        Retire(2, Reset)
        Spawn(5)
    Booted(5)
        Lend(5)
        Retire(3, Reset)
        ResetOver(Done)
    ");
}

#[test]
fn a_removed_pool_starts_no_worker_and_lets_each_finish() {
    let text = after_start(
        2,
        [
            Event::Due(1, Reason::Ttl),
            Event::OneShot,
            Event::Drain,
            Event::Drain,
            boot_failed(3),
            exited(1, true),
            Event::Reset,
            Event::Booted(4),
            exited(2, true),
            exited(4, true),
        ],
    );
    insta::assert_snapshot!(text, @r#"
    Due(1, Ttl)
        Spawn(3)
    OneShot
        SpawnOneShot(4)
    Drain
        Retire(1, Removed)
        Retire(2, Removed)
        Retire(3, Removed)
        Announce(Closed)
    Drain
    BootFailed(3, "no boot of 3")
    Exited { id: 1, useful: true, how: "exit of 1" }
    Reset
        ResetOver(Closed)
    Booted(4)
    Exited { id: 2, useful: true, how: "exit of 2" }
    Exited { id: 4, useful: true, how: "exit of 4" }
        Ended
    "#);
}

#[test]
fn a_shutdown_hurries_a_removed_pool() {
    let text = after_start(1, [Event::Drain, Event::Shutdown, Event::Shutdown, exited(1, true)]);
    insta::assert_snapshot!(text, @r#"
    Drain
        Retire(1, Removed)
        Announce(Closed)
    Shutdown
        Retire(1, Shutdown)
    Shutdown
    Exited { id: 1, useful: true, how: "exit of 1" }
        Ended
    "#);
}

#[test]
fn another_size_takes_effect_at_once() {
    let configured = |target, most| {
        let scaling = Some(Scaling { most, per_second: 2 });
        Event::Configured { target, scaling }
    };
    let events = [
        configured(Some(3), 1),
        Event::Booted(2),
        Event::Booted(3),
        waiting(5, 0),
        Event::Booted(4),
        configured(None, 0),
        configured(Some(1), 0),
    ];
    let text = after_scaling_start(1, SCALING, events);
    insta::assert_snapshot!(text, @r"
    Configured { target: Some(3), scaling: Some(Scaling { most: 1, per_second: 2 }) }
        Spawn(2)
        Spawn(3)
    Booted(2)
        Lend(2)
    Booted(3)
        Lend(3)
    Waiting { requests: 5, now: 0ns }
        Spawn(4)
    Booted(4)
        Lend(4)
    Configured { target: None, scaling: Some(Scaling { most: 0, per_second: 2 }) }
        Retire(4, Surplus)
    Configured { target: Some(1), scaling: Some(Scaling { most: 0, per_second: 2 }) }
        Retire(3, Surplus)
        Retire(2, Surplus)
    ");
}
