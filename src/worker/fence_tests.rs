use super::*;

fn fence() -> Fence {
    Fence::new(Order::new(true))
}

#[test]
fn a_worker_is_settled_by_the_echo_and_not_by_the_answer() {
    let mut fence = fence();
    assert_eq!(fence.begin(), Placement { front: false, behind: true });
    assert_eq!(fence.on_response(), Verdict::Answer);
    assert!(!fence.is_settled());
    assert_eq!(fence.on_echo(), Verdict::Nothing);
    assert!(fence.is_settled());
}

#[test]
fn a_second_answer_is_surplus_and_puts_a_fence_in_front_of_later_requests() {
    let mut fence = fence();
    fence.begin();
    assert_eq!(fence.on_response(), Verdict::Answer);
    assert_eq!(fence.on_response(), Verdict::Surplus);
    fence.on_echo();
    assert_eq!(fence.begin(), Placement { front: true, behind: true });
    assert_eq!(fence.on_echo(), Verdict::Nothing);
    assert_eq!(fence.on_response(), Verdict::Answer);
    fence.on_echo();
    assert!(fence.is_settled());
}

#[test]
fn an_answer_while_idle_is_dropped_and_shows_that_these_workers_stray() {
    let mut fence = fence();
    assert_eq!(fence.on_response(), Verdict::Stray);
    assert_eq!(fence.on_response(), Verdict::Surplus, "reported once");
    assert!(fence.begin().front);
}

#[test]
fn a_frame_that_begins_before_a_request_and_ends_after_it_is_not_its_answer() {
    let mut fence = fence();
    assert_eq!(fence.begin_in_front(), Placement { front: true, behind: true });
    assert_eq!(fence.on_response(), Verdict::Stray);
    fence.on_echo();
    assert_eq!(fence.on_response(), Verdict::Hold);
    assert_eq!(fence.on_echo(), Verdict::Release);
}

#[test]
fn text_that_looks_like_the_beginning_of_a_frame_costs_one_fence() {
    let mut fence = fence();
    assert!(fence.begin_in_front().front);
    fence.on_echo();
    assert_eq!(fence.on_response(), Verdict::Answer);
    fence.on_echo();
    assert!(!fence.begin().front);
}

#[test]
fn once_one_worker_strayed_the_answers_of_all_are_held_until_their_echo() {
    let order = Order::new(true);
    let (mut stray, mut other) = (Fence::new(Arc::clone(&order)), Fence::new(order));
    assert_eq!(stray.on_response(), Verdict::Stray);
    assert_eq!(other.begin(), Placement { front: false, behind: true });
    assert_eq!(other.on_response(), Verdict::Hold);
    assert!(!other.is_settled());
    assert_eq!(other.on_echo(), Verdict::Release);
    assert!(other.is_settled());
}

#[test]
fn of_two_answers_from_a_worker_that_strays_neither_is_delivered() {
    let mut fence = fence();
    fence.on_response();
    fence.begin();
    assert_eq!(fence.on_response(), Verdict::Surplus, "left over from earlier");
    fence.on_echo();
    assert_eq!(fence.on_response(), Verdict::Hold);
    assert_eq!(fence.on_response(), Verdict::Ambiguous);
}

#[test]
fn an_answer_behind_an_early_echo_is_not_believed_of_workers_that_stray() {
    let mut fence = fence();
    fence.on_response();
    fence.begin();
    fence.on_echo();
    assert_eq!(fence.on_echo(), Verdict::EarlyEcho);
    assert_eq!(fence.on_response(), Verdict::Ambiguous);
}

#[test]
fn two_answers_before_their_echo_are_no_straying() {
    let mut fence = fence();
    for _ in 0..3 {
        let front = fence.begin().front;
        if front {
            fence.on_echo();
        }
        assert_eq!(fence.on_response(), Verdict::Answer);
        assert_eq!(fence.on_response(), Verdict::Surplus);
        fence.on_echo();
    }
}

#[test]
fn an_echo_without_an_answer_ends_the_request_once_given_up() {
    let mut fence = fence();
    fence.begin();
    assert_eq!(fence.on_echo(), Verdict::EarlyEcho);
    assert!(!fence.is_settled());
    fence.give_up();
    assert!(fence.is_settled());
    assert_eq!(fence.begin(), Placement { front: true, behind: true });
}

#[test]
fn an_answer_behind_its_echo_is_taken_and_turns_the_fence_off_for_all_workers() {
    let order = Order::new(true);
    let (mut ahead, mut other) = (Fence::new(Arc::clone(&order)), Fence::new(order));
    ahead.begin();
    ahead.on_echo();
    assert_eq!(ahead.on_response(), Verdict::AnswerAfterEcho);
    assert!(ahead.is_settled());
    assert_eq!(other.begin(), Placement { front: false, behind: false });
    assert_eq!(other.on_response(), Verdict::Answer);
    assert!(other.is_settled());
}

/// The echo came without an answer, and the request was given up.
fn given_up() -> Fence {
    let mut fence = fence();
    fence.begin();
    fence.on_echo();
    fence.give_up();
    fence
}

#[test]
fn an_answer_after_its_request_was_given_up_is_dropped_and_turns_the_fence_off() {
    let mut fence = given_up();
    assert_eq!(fence.on_response(), Verdict::LateAnswer);
    assert_eq!(fence.begin(), Placement { front: false, behind: false });
}

#[test]
fn a_made_up_echo_in_front_of_an_answer_turns_the_fence_off_only_until_the_real_one_comes() {
    let order = Order::new(true);
    let (mut liar, mut other) = (Fence::new(Arc::clone(&order)), Fence::new(order));
    liar.begin();
    assert_eq!(liar.on_echo(), Verdict::EarlyEcho);
    assert_eq!(liar.on_response(), Verdict::AnswerAfterEcho);
    assert!(!other.begin().behind);
    other.on_response();
    assert_eq!(liar.on_echo(), Verdict::FencedAgain);
    assert_eq!(other.begin(), Placement { front: false, behind: true });
    assert_eq!(liar.begin(), Placement { front: true, behind: true });
}

#[test]
fn the_real_echo_may_come_when_the_next_request_is_already_in_hand() {
    let mut fence = fence();
    fence.begin();
    fence.on_echo();
    fence.on_response();
    assert!(!fence.begin().behind);
    assert_eq!(fence.on_echo(), Verdict::FencedAgain);
    assert_eq!(fence.on_response(), Verdict::Answer);
    assert!(fence.begin().front);
}

#[test]
fn a_late_answer_behind_a_made_up_echo_turns_the_fence_off_only_until_the_real_one_comes() {
    let mut fence = given_up();
    assert_eq!(fence.on_response(), Verdict::LateAnswer);
    assert_eq!(fence.on_echo(), Verdict::FencedAgain);
    assert!(fence.begin().behind);
}

#[test]
fn two_echoes_for_one_before_an_answer_are_made_up() {
    let mut fence = fence();
    fence.begin();
    assert_eq!(fence.on_echo(), Verdict::EarlyEcho);
    assert_eq!(fence.on_echo(), Verdict::MadeUp);
}

#[test]
fn an_unrequested_echo_while_idle_does_no_harm_and_turns_on_no_fence_that_was_off() {
    let mut fence = Fence::new(Order::new(false));
    assert_eq!(fence.on_echo(), Verdict::Nothing);
    assert!(!fence.begin().behind);
    assert_eq!(fence.on_echo(), Verdict::Nothing);
    assert_eq!(fence.on_response(), Verdict::Answer);
}

#[test]
fn after_a_request_that_was_given_up_an_answer_behind_an_early_echo_is_ambiguous() {
    let mut fence = given_up();
    fence.begin();
    assert_eq!(fence.on_echo(), Verdict::Nothing);
    assert_eq!(fence.on_echo(), Verdict::EarlyEcho);
    assert_eq!(fence.on_response(), Verdict::Ambiguous);
}

#[test]
fn without_a_fence_the_first_answer_settles() {
    let mut fence = Fence::new(Order::new(false));
    assert_eq!(fence.begin(), Placement { front: false, behind: false });
    assert_eq!(fence.on_response(), Verdict::Answer);
    assert!(fence.is_settled());
    assert_eq!(fence.on_response(), Verdict::Surplus);
}
