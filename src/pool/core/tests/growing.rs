//! More workers than usual, and fewer again.

use super::*;

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
        Lend(2)
    Exited { id: 2, useful: false, how: "exit of 2" }
        Pause(200ms)
        Announce(Down("exit of 2"))
    PauseOver
        Spawn(3)
        Announce(Serving)
    Booted(3)
        Lend(3)
    Exited { id: 3, useful: true, how: "exit of 3" }
        Spawn(4)
    Booted(4)
        Lend(4)
    Exited { id: 4, useful: false, how: "exit of 4" }
        Pause(100ms)
        Announce(Down("exit of 4"))
    "#);
}

#[test]
fn an_abandoned_worker_is_substituted_only_while_requests_wait() {
    let text = after_start(
        2,
        [
            Event::Abandoned(1),
            waiting(2, 0),
            Event::Booted(3),
            waiting(1, 50),
            Event::CameBack(1),
            exited(3, true),
        ],
    );
    insta::assert_snapshot!(text, @r#"
    Abandoned(1)
    Waiting { requests: 2, now: 0ns }
        Spawn(3)
    Booted(3)
        Lend(3)
    Waiting { requests: 1, now: 50ms }
    CameBack(1)
        Retire(3, Surplus)
    Exited { id: 3, useful: true, how: "exit of 3" }
    "#);
}

#[test]
fn an_abandoned_worker_that_is_killed_leaves_its_substitute_in_its_place() {
    let text = after_start(
        1,
        [
            Event::Abandoned(1),
            waiting(1, 0),
            Event::Booted(2),
            Event::Retire(1, Reason::Abandoned),
            exited(1, true),
        ],
    );
    insta::assert_snapshot!(text, @r#"
    Abandoned(1)
    Waiting { requests: 1, now: 0ns }
        Spawn(2)
    Booted(2)
        Lend(2)
    Retire(1, Abandoned)
        Kill(1, Abandoned)
    Exited { id: 1, useful: true, how: "exit of 1" }
    "#);
}

#[test]
fn a_substitute_that_is_not_needed_any_more_is_called_off() {
    let text = after_start(1, [Event::Abandoned(1), waiting(1, 0), Event::CameBack(1), boot_failed(2)]);
    insta::assert_snapshot!(text, @r#"
    Abandoned(1)
    Waiting { requests: 1, now: 0ns }
        Spawn(2)
    CameBack(1)
        Retire(2, Surplus)
    BootFailed(2, "no boot of 2")
    "#);
}

#[test]
fn substitutes_are_at_most_as_many_as_workers() {
    let text = after_start(
        1,
        [
            Event::Abandoned(1),
            waiting(9, 0),
            Event::Booted(2),
            Event::Abandoned(2),
            waiting(9, 100),
            Event::CameBack(1),
        ],
    );
    insta::assert_snapshot!(text, @r"
    Abandoned(1)
    Waiting { requests: 9, now: 0ns }
        Spawn(2)
    Booted(2)
        Lend(2)
    Abandoned(2)
    Waiting { requests: 9, now: 100ms }
    CameBack(1)
    ");
}

#[test]
fn the_pool_grows_as_fast_as_it_may_and_no_further() {
    let text = after_scaling_start(
        1,
        SCALING,
        [waiting(9, 10_000), waiting(9, 10_100), Event::Booted(2), waiting(9, 11_000), waiting(9, 12_000)],
    );
    insta::assert_snapshot!(text, @r"
    Waiting { requests: 9, now: 10s }
        LookAgain(1s)
        Spawn(2)
        Spawn(3)
    Waiting { requests: 9, now: 10.1s }
        LookAgain(900ms)
    Booted(2)
        Lend(2)
    Waiting { requests: 9, now: 11s }
        Spawn(4)
    Waiting { requests: 9, now: 12s }
    ");
}

#[test]
fn requests_whose_workers_are_starting_make_the_pool_grow_no_more() {
    let text = after_scaling_start(1, SCALING, [waiting(1, 0), waiting(1, 20), waiting(2, 40)]);
    insta::assert_snapshot!(text, @r"
    Waiting { requests: 1, now: 0ns }
        Spawn(2)
    Waiting { requests: 1, now: 20ms }
    Waiting { requests: 2, now: 40ms }
        Spawn(3)
    ");
}

#[test]
fn a_start_that_fails_stops_the_growth_for_a_while() {
    let text = after_scaling_start(
        1,
        SCALING,
        [waiting(1, 0), boot_failed(2), waiting(3, 20), Event::PauseOver, Event::Booted(3), waiting(3, 2000)],
    );
    insta::assert_snapshot!(text, @r#"
    Waiting { requests: 1, now: 0ns }
        Spawn(2)
    BootFailed(2, "no boot of 2")
        Pause(100ms)
    Waiting { requests: 3, now: 20ms }
    PauseOver
        Spawn(3)
    Booted(3)
        Lend(3)
    Waiting { requests: 3, now: 2s }
        Spawn(4)
        Spawn(5)
    "#);
}

#[test]
fn workers_that_are_not_needed_leave_until_the_target_is_reached() {
    let text = after_scaling_start(
        1,
        SCALING,
        [
            waiting(2, 0),
            Event::Booted(2),
            Event::Booted(3),
            Event::Unneeded(1),
            Event::Unneeded(3),
            Event::Unneeded(2),
        ],
    );
    insta::assert_snapshot!(text, @r"
    Waiting { requests: 2, now: 0ns }
        Spawn(2)
        Spawn(3)
    Booted(2)
        Lend(2)
    Booted(3)
        Lend(3)
    Unneeded(1)
        Retire(1, Unneeded)
    Unneeded(3)
        Retire(3, Unneeded)
    Unneeded(2)
    ");
}

#[test]
fn the_target_can_be_moved_but_for_the_last_worker() {
    let text = after_start(1, [Event::Add, Event::Booted(2), Event::Remove, Event::Remove, exited(2, true)]);
    insta::assert_snapshot!(text, @r#"
    Add
        Spawn(2)
    Booted(2)
        Lend(2)
    Remove
        Retire(2, Surplus)
    Remove
    Exited { id: 2, useful: true, how: "exit of 2" }
    "#);
}

#[test]
fn a_worker_that_is_added_and_removed_before_it_is_ready_is_called_off() {
    let text = after_start(1, [Event::Add, Event::Remove, boot_failed(2)]);
    insta::assert_snapshot!(text, @r#"
    Add
        Spawn(2)
    Remove
        Retire(2, Surplus)
    BootFailed(2, "no boot of 2")
    "#);
}

#[test]
fn without_workers_of_its_own_a_pool_starts_one_per_request() {
    let text = transcript(
        0,
        [
            Event::Start,
            Event::OneShot,
            Event::OneShot,
            Event::Booted(1),
            boot_failed(2),
            Event::Add,
            Event::Reset,
            exited(1, true),
            Event::Shutdown,
            Event::OneShot,
        ],
    );
    insta::assert_snapshot!(text, @r#"
    Start
        FirstBoot(Ok(()))
    OneShot
        SpawnOneShot(1)
    OneShot
        SpawnOneShot(2)
    Booted(1)
    BootFailed(2, "no boot of 2")
    Add
    Reset
        ResetOver(Done)
    Exited { id: 1, useful: true, how: "exit of 1" }
    Shutdown
        Announce(Closed)
        Ended
    OneShot
    "#);
}
