//! Workers that have had as many requests as they may, and their successors.

use super::*;

fn exhausted(id: WorkerId) -> Event {
    Event::Retire(id, Reason::MaxJobs)
}

#[test]
fn a_standby_waits_until_the_nearly_exhausted_worker_has_had_its_last_request() {
    let text = after_start(1, [Event::NearlyExhausted(1), Event::Booted(2), exhausted(1), exited(1, true)]);
    insta::assert_snapshot!(text, @r#"
    NearlyExhausted(1)
        Spawn(2)
    Booted(2)
        WatchStandbys
    Retire(1, MaxJobs)
        Retire(1, MaxJobs)
        Lend(2)
    Exited { id: 1, useful: true, how: "exit of 1" }
    "#);
}

#[test]
fn an_exhausted_worker_leaves_at_once_and_the_request_that_comes_then_waits_for_a_boot() {
    let text = after_start(1, [exhausted(1), exited(1, true), Event::Booted(2)]);
    insta::assert_snapshot!(text, @r#"
    Retire(1, MaxJobs)
        Retire(1, MaxJobs)
        Spawn(2)
    Exited { id: 1, useful: true, how: "exit of 1" }
    Booted(2)
        Lend(2)
    "#);
}

#[test]
fn workers_that_are_nearly_exhausted_at_the_same_time_all_have_standbys() {
    let events = (1..=4)
        .map(Event::NearlyExhausted)
        .chain((5..=8).map(Event::Booted))
        .chain((1..=4).map(exhausted))
        .chain([Event::NearlyExhausted(5), exited(1, true)]);
    insta::assert_snapshot!(after_start(4, events), @r#"
    NearlyExhausted(1)
        Spawn(5)
    NearlyExhausted(2)
        Spawn(6)
    NearlyExhausted(3)
        Spawn(7)
    NearlyExhausted(4)
        Spawn(8)
    Booted(5)
        WatchStandbys
    Booted(6)
    Booted(7)
    Booted(8)
    Retire(1, MaxJobs)
        Retire(1, MaxJobs)
        Lend(5)
    Retire(2, MaxJobs)
        Retire(2, MaxJobs)
        Lend(6)
    Retire(3, MaxJobs)
        Retire(3, MaxJobs)
        Lend(7)
    Retire(4, MaxJobs)
        Retire(4, MaxJobs)
        Lend(8)
    NearlyExhausted(5)
    Exited { id: 1, useful: true, how: "exit of 1" }
        Spawn(9)
    "#);
}

#[test]
fn a_pool_whose_exhausted_workers_do_not_exit_starts_no_more_than_it_has() {
    let events = [exhausted(1), Event::Booted(2), exhausted(2), exited(1, true), Event::Booted(3)];
    insta::assert_snapshot!(after_start(1, events), @r#"
    Retire(1, MaxJobs)
        Retire(1, MaxJobs)
        Spawn(2)
    Booted(2)
        Lend(2)
    Retire(2, MaxJobs)
        Retire(2, MaxJobs)
        Announce(Exhausted)
    Exited { id: 1, useful: true, how: "exit of 1" }
        Spawn(3)
        Announce(Serving)
    Booted(3)
        Lend(3)
    "#);
}

#[test]
fn a_standby_takes_the_place_of_a_worker_that_dies() {
    let text =
        after_start(2, [Event::NearlyExhausted(1), Event::Booted(3), exited(2, true), Event::Booted(4)]);
    insta::assert_snapshot!(text, @r#"
    NearlyExhausted(1)
        Spawn(3)
    Booted(3)
        WatchStandbys
    Exited { id: 2, useful: true, how: "exit of 2" }
        Lend(3)
        Spawn(4)
    Booted(4)
    "#);
}

#[test]
fn a_nearly_exhausted_worker_that_dies_is_replaced_by_its_standby() {
    let text = after_start(1, [Event::NearlyExhausted(1), Event::Booted(2), exited(1, true)]);
    insta::assert_snapshot!(text, @r#"
    NearlyExhausted(1)
        Spawn(2)
    Booted(2)
        WatchStandbys
    Exited { id: 1, useful: true, how: "exit of 1" }
        Lend(2)
    "#);
}

/// A standby waits for long.
fn standby_waits() -> [Event; 4] {
    [Event::NearlyExhausted(1), Event::Booted(2), Event::StandbysWaited, Event::StandbysWaited]
}

#[test]
fn a_standby_that_waits_for_long_takes_the_place_of_a_worker_with_few_requests_left() {
    let text =
        after_start(1, standby_waits().into_iter().chain([Event::Due(1, Reason::MaxJobs), exited(1, true)]));
    insta::assert_snapshot!(text, @r#"
    NearlyExhausted(1)
        Spawn(2)
    Booted(2)
        WatchStandbys
    StandbysWaited
        WatchStandbys
    StandbysWaited
        Reconsider(1)
        WatchStandbys
    Due(1, MaxJobs)
        Lend(2)
        Retire(1, MaxJobs)
    Exited { id: 1, useful: true, how: "exit of 1" }
    "#);
}

#[test]
fn a_standby_that_waits_for_long_leaves_if_its_worker_has_many_requests_left() {
    let more = [Event::FarFromExhausted(1), exited(2, false), Event::NearlyExhausted(1)];
    let text = after_start(1, standby_waits().into_iter().chain(more));
    insta::assert_snapshot!(text, @r#"
    NearlyExhausted(1)
        Spawn(2)
    Booted(2)
        WatchStandbys
    StandbysWaited
        WatchStandbys
    StandbysWaited
        Reconsider(1)
        WatchStandbys
    FarFromExhausted(1)
        Retire(2, Surplus)
    Exited { id: 2, useful: false, how: "exit of 2" }
    NearlyExhausted(1)
        Spawn(3)
    "#);
}

#[test]
fn whether_requests_wait_depends_on_the_last_worker_that_was_ready_and_not_on_the_order_of_exits() {
    let killed = Event::Retire(1, Reason::Faulty);
    let events = [killed.clone(), boot_failed(3), exhausted(2), exited(2, true), exited(1, true)];
    insta::assert_snapshot!(after_start(2, events), @r#"
    Retire(1, Faulty)
        Kill(1, Faulty)
        Spawn(3)
    BootFailed(3, "no boot of 3")
        Pause(100ms)
    Retire(2, MaxJobs)
        Retire(2, MaxJobs)
        Announce(Exhausted)
    Exited { id: 2, useful: true, how: "exit of 2" }
    Exited { id: 1, useful: true, how: "exit of 1" }
    "#);
    let events = [exhausted(2), boot_failed(3), killed, exited(1, true), exited(2, true)];
    insta::assert_snapshot!(after_start(2, events), @r#"
    Retire(2, MaxJobs)
        Retire(2, MaxJobs)
        Spawn(3)
    BootFailed(3, "no boot of 3")
        Pause(100ms)
    Retire(1, Faulty)
        Kill(1, Faulty)
        Announce(Down("no boot of 3"))
    Exited { id: 1, useful: true, how: "exit of 1" }
    Exited { id: 2, useful: true, how: "exit of 2" }
    "#);
}

#[test]
fn requests_wait_until_starts_have_failed_six_times() {
    let failures = (2..8).flat_map(|id| [boot_failed(id), Event::PauseOver]);
    let text = after_start(1, [exhausted(1)].into_iter().chain(failures).chain([Event::Booted(8)]));
    insta::assert_snapshot!(text, @r#"
    Retire(1, MaxJobs)
        Retire(1, MaxJobs)
        Spawn(2)
    BootFailed(2, "no boot of 2")
        Pause(100ms)
        Announce(Exhausted)
    PauseOver
        Spawn(3)
        Announce(Serving)
    BootFailed(3, "no boot of 3")
        Pause(200ms)
        Announce(Exhausted)
    PauseOver
        Spawn(4)
        Announce(Serving)
    BootFailed(4, "no boot of 4")
        Pause(400ms)
        Announce(Exhausted)
    PauseOver
        Spawn(5)
        Announce(Serving)
    BootFailed(5, "no boot of 5")
        Pause(800ms)
        Announce(Exhausted)
    PauseOver
        Spawn(6)
        Announce(Serving)
    BootFailed(6, "no boot of 6")
        Pause(1.6s)
        Announce(Exhausted)
    PauseOver
        Spawn(7)
        Announce(Serving)
    BootFailed(7, "no boot of 7")
        Pause(3.2s)
        Announce(Down("no boot of 7"))
    PauseOver
        Spawn(8)
        Announce(Serving)
    Booted(8)
        Lend(8)
    "#);
}

#[test]
fn a_reset_starts_standbys_anew() {
    let events = [
        Event::NearlyExhausted(1),
        Event::Booted(2),
        Event::Reset,
        Event::Booted(3),
        exited(2, false),
        exited(1, true),
    ];
    insta::assert_snapshot!(after_start(1, events), @r#"
    NearlyExhausted(1)
        Spawn(2)
    Booted(2)
        WatchStandbys
    Reset
        Retire(2, Reset)
        Spawn(3)
    Booted(3)
        Lend(3)
        Retire(1, Reset)
        ResetOver(Done)
    Exited { id: 2, useful: false, how: "exit of 2" }
    Exited { id: 1, useful: true, how: "exit of 1" }
    "#);
}

#[test]
fn a_failed_start_of_a_standby_is_repeated_while_the_worker_goes_on() {
    let events =
        [Event::NearlyExhausted(1), boot_failed(2), Event::PauseOver, Event::Booted(3), exhausted(1)];
    insta::assert_snapshot!(after_start(1, events), @r#"
    NearlyExhausted(1)
        Spawn(2)
    BootFailed(2, "no boot of 2")
        Pause(100ms)
    PauseOver
        Spawn(3)
    Booted(3)
        WatchStandbys
    Retire(1, MaxJobs)
        Retire(1, MaxJobs)
        Lend(3)
    "#);
}

#[test]
fn a_pool_made_smaller_needs_no_standby_for_the_worker_that_goes() {
    let events = [Event::NearlyExhausted(2), Event::Booted(3), Event::Remove];
    insta::assert_snapshot!(after_start(2, events), @r"
    NearlyExhausted(2)
        Spawn(3)
    Booted(3)
        WatchStandbys
    Remove
        Retire(2, Surplus)
        Retire(3, Surplus)
    ");
}

#[test]
fn standbys_end_with_the_pool() {
    let events =
        [Event::NearlyExhausted(1), Event::Booted(2), Event::Shutdown, exited(1, true), exited(2, false)];
    insta::assert_snapshot!(after_start(1, events), @r#"
    NearlyExhausted(1)
        Spawn(2)
    Booted(2)
        WatchStandbys
    Shutdown
        Retire(1, Shutdown)
        Retire(2, Shutdown)
        Announce(Closed)
    Exited { id: 1, useful: true, how: "exit of 1" }
    Exited { id: 2, useful: false, how: "exit of 2" }
        Ended
    "#);
}

#[test]
fn a_reset_ends_though_each_new_worker_is_exhausted_before_the_next_one_is_ready() {
    let events = [
        exhausted(1),
        Event::Reset,
        boot_failed(3),
        exhausted(2),
        Event::Booted(4),
        exhausted(4),
        exited(1, true),
        Event::Booted(5),
    ];
    insta::assert_snapshot!(after_start(2, events), @r#"
    Retire(1, MaxJobs)
        Retire(1, MaxJobs)
        Spawn(3)
    Reset
        Retire(3, Reset)
        Spawn(4)
        Spawn(5)
    BootFailed(3, "no boot of 3")
    Retire(2, MaxJobs)
        Retire(2, MaxJobs)
    Booted(4)
        Lend(4)
    Retire(4, MaxJobs)
        Retire(4, MaxJobs)
    Exited { id: 1, useful: true, how: "exit of 1" }
        Spawn(6)
    Booted(5)
        Lend(5)
        ResetOver(Done)
    "#);
}

#[test]
fn a_reset_replaces_a_worker_in_a_long_request_though_new_workers_are_exhausted_at_once() {
    let events = [Event::Reset, exhausted(2), Event::Booted(3), exhausted(3), Event::Booted(4)];
    insta::assert_snapshot!(after_start(2, events), @r"
    Reset
        Spawn(3)
    Retire(2, MaxJobs)
        Retire(2, MaxJobs)
        Spawn(4)
    Booted(3)
        Lend(3)
    Retire(3, MaxJobs)
        Retire(3, MaxJobs)
    Booted(4)
        Lend(4)
        Retire(1, Reset)
        Spawn(5)
        ResetOver(Done)
    ");
}
