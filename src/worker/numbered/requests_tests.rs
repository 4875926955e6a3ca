use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Wake;

use super::*;

fn body(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn cx() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// A request that was written.
fn begin(requests: &mut Requests, may_stream: bool) -> u32 {
    let id = requests.begin(may_stream, Tag::any()).unwrap();
    requests.begins(id, 0);
    id
}

/// A frame comes when all was written.
fn receive(requests: &mut Requests, id: u32, part: Part) -> Verdict {
    requests.receive(id, part, None, u64::MAX)
}

fn outcome(requests: &mut Requests, id: u32) -> Poll<Result<Outcome, Fault>> {
    requests.poll_outcome(id, &cx())
}

fn is_answer(outcome: &Poll<Result<Outcome, Fault>>, text: &'static str) -> bool {
    matches!(outcome, Poll::Ready(Ok(Outcome::Answer(body))) if *body == text)
}

#[test]
fn answers_in_any_order_go_to_their_requests() {
    let mut requests = Requests::default();
    let [one, two, three] = [(); 3].map(|()| begin(&mut requests, false));
    assert_eq!((one, two, three), (1, 2, 3));
    assert!(outcome(&mut requests, two).is_pending());
    assert_eq!(receive(&mut requests, three, Part::Answer(body("3"))), Verdict::Fine);
    assert_eq!(receive(&mut requests, one, Part::Error(body("no"))), Verdict::Fine);
    assert_eq!(receive(&mut requests, two, Part::Stop), Verdict::Fine);
    assert!(is_answer(&outcome(&mut requests, three), "3"));
    assert!(matches!(outcome(&mut requests, one), Poll::Ready(Ok(Outcome::Error(text))) if text == "no"));
    assert!(matches!(outcome(&mut requests, two), Poll::Ready(Ok(Outcome::Stop))));
    assert!(requests.entries.is_empty());
    assert_eq!(requests.unfinished(), 0);
}

#[test]
fn a_second_answer_and_one_to_nothing_are_told_apart_and_change_nothing() {
    let mut requests = Requests::default();
    let id = begin(&mut requests, false);
    for unknown in [0, 2, u32::MAX] {
        assert_eq!(receive(&mut requests, unknown, Part::Answer(body("x"))), Verdict::Unknown);
    }
    assert_eq!(receive(&mut requests, id, Part::Answer(body("right"))), Verdict::Fine);
    assert_eq!(receive(&mut requests, id, Part::Answer(body("wrong"))), Verdict::Repeated);
    assert!(is_answer(&outcome(&mut requests, id), "right"));
    assert_eq!(receive(&mut requests, id, Part::Chunk(body("wrong"))), Verdict::Repeated);
    assert_eq!(requests.unfinished(), 0);
}

#[test]
fn an_answer_to_a_request_that_was_not_written_is_one_to_nothing() {
    let mut requests = Requests::default();
    let [queued, taken] = [(); 2].map(|()| requests.begin(false, Tag::any()).unwrap());
    requests.begins(taken, 100);
    for id in [queued, taken] {
        assert_eq!(requests.receive(id, Part::Answer(body("guessed")), None, 100), Verdict::Unknown);
        assert!(outcome(&mut requests, id).is_pending());
    }
    assert_eq!(requests.receive(taken, Part::Answer(body("right")), None, 101), Verdict::Fine);
    assert!(is_answer(&outcome(&mut requests, taken), "right"));
    assert_eq!(requests.unfinished(), 1);
}

#[test]
fn a_cancelled_request_is_settled_when_the_worker_has_finished_it() {
    let mut requests = Requests::default();
    let id = begin(&mut requests, false);
    assert!(requests.cancel(id));
    assert!(!requests.cancel(id), "the worker is told once");
    assert!(requests.poll_settled(id, &cx()).is_pending());
    assert_eq!(requests.unfinished(), 1);
    assert_eq!(receive(&mut requests, id, Part::Answer(body("late"))), Verdict::Fine);
    assert!(requests.poll_settled(id, &cx()).is_ready());
    assert!(requests.entries.is_empty());
    assert!(!requests.cancel(id));
}

#[test]
fn an_answer_that_was_not_taken_is_dropped_with_its_request() {
    let mut requests = Requests::default();
    let id = begin(&mut requests, false);
    receive(&mut requests, id, Part::Answer(body("x")));
    assert!(!requests.cancel(id), "there is nothing to cancel");
    assert!(requests.poll_settled(id, &cx()).is_ready());
    assert!(requests.entries.is_empty());
}

#[test]
fn a_stream_that_has_to_be_one_message_is_refused_and_cancelled() {
    let mut requests = Requests::default();
    let id = begin(&mut requests, false);
    assert_eq!(receive(&mut requests, id, Part::Chunk(body("1"))), Verdict::Cancel);
    assert!(matches!(outcome(&mut requests, id), Poll::Ready(Ok(Outcome::Streamed))));
    assert_eq!(receive(&mut requests, id, Part::Chunk(body("2"))), Verdict::Fine, "it has crossed");
    assert!(requests.poll_settled(id, &cx()).is_pending());
    assert_eq!(receive(&mut requests, id, Part::Error(body("cancelled"))), Verdict::Fine);
    assert!(requests.poll_settled(id, &cx()).is_ready());
}

#[test]
fn the_messages_of_a_stream_come_in_their_order_and_then_its_end() {
    let mut requests = Requests::default();
    for end in [Part::Last(Bytes::new()), Part::Answer(Bytes::new()), Part::Last(body("3"))] {
        let id = begin(&mut requests, true);
        let has_three = end == Part::Last(body("3"));
        for part in [Part::Chunk(body("1")), Part::Chunk(body("2")), end] {
            assert_eq!(receive(&mut requests, id, part), Verdict::Fine);
        }
        assert_eq!(requests.unfinished(), 0);
        assert!(matches!(outcome(&mut requests, id), Poll::Ready(Ok(Outcome::Streaming))));
        let mut seen = Vec::new();
        while let Poll::Ready(Ok((Received::Message(message), None))) = requests.poll_message(id, &cx()) {
            seen.push(message);
        }
        assert_eq!(seen.len(), 2 + usize::from(has_three));
        assert!(matches!(requests.poll_message(id, &cx()), Poll::Ready(Ok((Received::End, None)))));
        assert!(requests.poll_settled(id, &cx()).is_ready());
    }
    assert_eq!((requests.entries.len(), requests.message_bytes), (0, 0));
}

#[test]
fn a_stream_that_sends_more_than_its_window_is_cancelled_and_keeps_what_came_before() {
    let mut requests = Requests::default();
    let id = begin(&mut requests, true);
    for _ in 0..64 {
        assert_eq!(receive(&mut requests, id, Part::Chunk(body("x"))), Verdict::Fine);
    }
    assert_eq!(requests.message_bytes, 64);
    assert_eq!(receive(&mut requests, id, Part::Chunk(body("x"))), Verdict::Cancel);
    assert_eq!(receive(&mut requests, id, Part::Chunk(body("x"))), Verdict::Fine, "it has crossed");
    assert!(outcome(&mut requests, id).is_ready());
    assert_eq!(receive(&mut requests, id, Part::Last(Bytes::new())), Verdict::Fine);
    assert!(matches!(requests.poll_message(id, &cx()), Poll::Ready(Ok((Received::Message(_), None)))));
    assert_eq!(requests.message_bytes, 63);
    assert!(requests.poll_settled(id, &cx()).is_ready());
    assert_eq!((requests.entries.len(), requests.message_bytes), (0, 0));
}

#[test]
fn a_client_s_messages_are_sent_as_far_as_the_worker_takes_them() {
    let mut requests = Requests::default();
    let id = begin(&mut requests, true);
    assert_eq!(requests.poll_send(id, true, &cx()), Poll::Ready(false), "it does not stream yet");
    receive(&mut requests, id, Part::Chunk(body("x")));
    assert!(requests.poll_send(id, false, &cx()).is_pending());
    for _ in 0..INPUT_WINDOW {
        assert_eq!(requests.poll_send(id, true, &cx()), Poll::Ready(true));
    }
    assert!(requests.poll_send(id, true, &cx()).is_pending());
    requests.widen(id, 1);
    assert_eq!(requests.poll_send(id, true, &cx()), Poll::Ready(true));
    receive(&mut requests, id, Part::Last(Bytes::new()));
    assert_eq!(requests.poll_send(id, true, &cx()), Poll::Ready(false));
}

#[test]
fn when_the_connection_ends_each_request_hears_what_that_means_for_it() {
    let mut requests = Requests::default();
    let [answered, read, unread, unwritten] = [(); 4].map(|()| requests.begin(false, Tag::any()).unwrap());
    for (id, position) in [(answered, 0), (read, 10), (unread, 20)] {
        requests.begins(id, position);
    }
    receive(&mut requests, answered, Part::Answer(body("x")));
    requests.end(|begins| {
        Some(if begins.is_some_and(|at| at < 20) { Fault::Closed(None) } else { Fault::Unsent })
    });
    assert!(is_answer(&outcome(&mut requests, answered), "x"));
    assert!(matches!(outcome(&mut requests, read), Poll::Ready(Err(Fault::Closed(None)))));
    for id in [unread, unwritten] {
        assert!(matches!(outcome(&mut requests, id), Poll::Ready(Err(Fault::Unsent))));
    }
    assert_eq!((requests.entries.len(), requests.unfinished()), (0, 0));
}

#[test]
fn numbers_are_never_used_twice() {
    let mut requests = Requests::after(LAST_NUMBERS - 2);
    assert!(requests.begin(false, Tag::any()).is_some() && !requests.are_numbers_used_up());
    assert!(requests.begin(false, Tag::any()).is_some() && requests.are_numbers_used_up());
    let mut requests = Requests::after(u32::MAX - 1);
    assert_eq!(requests.begin(false, Tag::any()), Some(u32::MAX));
    assert_eq!(requests.begin(false, Tag::any()), None);
}

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[test]
fn whoever_waits_is_woken() {
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&count));
    let cx = Context::from_waker(&waker);
    let mut requests = Requests::default();
    let woken = |requests: &mut Requests| {
        requests.woken().drain(..).for_each(Waker::wake);
        count.0.swap(0, Relaxed)
    };
    let id = begin(&mut requests, true);
    assert!(requests.poll_outcome(id, &cx).is_pending());
    receive(&mut requests, id, Part::Chunk(body("x")));
    assert_eq!(woken(&mut requests), 1);
    assert!(requests.poll_outcome(id, &cx).is_ready());
    assert!(requests.poll_message(id, &cx).is_ready() && requests.poll_message(id, &cx).is_pending());
    for _ in 0..=INPUT_WINDOW {
        let _ = requests.poll_send(id, true, &cx);
    }
    requests.widen(id, 1);
    assert_eq!(woken(&mut requests), 1);
    assert!(requests.poll_send(id, true, &cx).is_ready() && requests.poll_send(id, true, &cx).is_pending());
    requests.end(|_| Some(Fault::Closed(None)));
    assert_eq!(woken(&mut requests), 2, "the reader and the sender");
}

#[test]
fn the_types_of_the_last_requests_are_known_after_their_end() {
    let mut requests = Requests::default();
    let tag = |kind| Tag { kind: RequestType::of(kind), ..Tag::any() };
    let first = requests.begin(false, tag("connect")).unwrap();
    requests.begins(first, 0);
    assert_eq!(receive(&mut requests, first, Part::Answer(body("x"))), Verdict::Fine);
    assert!(outcome(&mut requests, first).is_ready());
    assert_eq!(requests.in_hand().oldest.map(|tag| tag.kind), None);
    assert_eq!(requests.type_of(first), Some(RequestType::of("connect")));
    for _ in 0..TYPES {
        requests.begin(false, tag("rpc")).unwrap();
    }
    assert_eq!([first, 2, 0].map(|id| requests.type_of(id)), [None, Some(RequestType::of("rpc")), None]);
    assert_eq!(requests.in_hand().oldest.map(|tag| tag.kind), Some(RequestType::of("rpc")));
}
