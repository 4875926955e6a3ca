//! The decisions as transcripts: each line is a time in milliseconds, an event, and its outcome.

use std::fmt::Write as _;
use std::time::Duration;

use super::core::{Core, Outcome};
use crate::compat::Compat;
use crate::rpc::locks::claim::{Claim, Mode, Moment, Ticket};
use crate::rpc::locks::limits::{ENTRY, LimitReached, MAX_BYTES, MAX_ENTRIES, MAX_NAME, MAX_OF_ONE};

pub(super) fn claim(id: &str, mode: Mode, wait: u64, ttl: Option<u64>) -> Claim {
    Claim {
        resource: "r".into(),
        id: id.into(),
        mode,
        ttl: ttl.map(Duration::from_millis),
        wait: Duration::from_millis(wait),
        is_fenced: false,
    }
}

/// The waiters that were answered, and whether they were granted the lock.
fn answers(core: &mut Core) -> Vec<(Ticket, bool)> {
    core.take_answers().into_iter().map(|(ticket, token)| (ticket, token.is_some())).collect()
}

/// Plays lines such as `10 write a wait=50 ttl=100`, `20 release a`, `30 leave b 2`, and records the answers.
fn transcript(script: &str) -> String {
    transcript_under(Compat::V2025, script)
}

fn transcript_under(rules: Compat, script: &str) -> String {
    let (mut core, mut text) = (Core::new(rules, 0), String::new());
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split(' ').collect();
        let now = Duration::from_millis(words[0].parse().unwrap());
        let number = |name: &str| -> Option<u64> {
            words.iter().find_map(|word| word.strip_prefix(name))?.parse().ok()
        };
        let (wait, ttl) = (number("wait=").unwrap_or(0), number("ttl="));
        let outcome = match words[1..] {
            ["read", id, ..] => format!("{:?}", core.claim(now, claim(id, Mode::Read, wait, ttl))),
            ["write", id, ..] => format!("{:?}", core.claim(now, claim(id, Mode::Write, wait, ttl))),
            ["release", id] => core.release(now, "r", id).to_string(),
            ["force"] => core.force_release(now, "r").to_string(),
            ["exists", id] => core.exists(now, "r", id).to_string(),
            ["update", id, ..] => core.update_ttl(now, "r", id, ttl.map(Duration::from_millis)).to_string(),
            ["leave", id, ticket] => {
                core.leave(now, "r", id, ticket.parse().unwrap());
                "left".into()
            }
            ["later"] => {
                core.advance(now);
                String::new()
            }
            _ => panic!("{line}"),
        };
        write!(text, "{line} -> {outcome}").unwrap();
        for (ticket, granted) in core.take_answers() {
            write!(text, " {ticket}:{}", if granted.is_some() { "granted" } else { "refused" }).unwrap();
        }
        text.push('\n');
    }
    let (resources, entries) = core.size();
    let alarm = core.next_alarm().map(|at| at.as_millis());
    writeln!(text, "left: {resources} resources, {entries} entries, next alarm {alarm:?}").unwrap();
    text
}

#[test]
fn one_owner_writes_while_others_are_refused_or_wait() {
    insta::assert_snapshot!(transcript("
        0 write a
        0 write b
        0 write a wait=50
        0 read c
        0 release b
        0 exists a
        0 exists b
        0 exists *
        0 write b wait=50
        20 release a
        20 release a
        20 exists b
        21 release b
        21 exists *
    "), @r"
    0 write a -> Granted
    0 write b -> Refused
    0 write a wait=50 -> Refused
    0 read c -> Refused
    0 release b -> false
    0 exists a -> true
    0 exists b -> false
    0 exists * -> true
    0 write b wait=50 -> Waiting(2)
    20 release a -> true 2:granted
    20 release a -> false
    20 exists b -> true
    21 release b -> true
    21 exists * -> false
    left: 0 resources, 0 entries, next alarm None
    ");
}

#[test]
fn readers_share_and_wait_behind_an_earlier_writer() {
    insta::assert_snapshot!(transcript("
        0 read a
        0 read b
        0 read b
        0 write w wait=100
        1 read c
        1 read d wait=100
        1 read e wait=100
        1 read a
        2 release b
        3 release a
        4 exists *
        5 release w
        6 release d
        7 release e
    "), @r"
    0 read a -> Granted
    0 read b -> Granted
    0 read b -> Granted
    0 write w wait=100 -> Waiting(4)
    1 read c -> Refused
    1 read d wait=100 -> Waiting(5)
    1 read e wait=100 -> Waiting(6)
    1 read a -> Granted
    2 release b -> true
    3 release a -> true 4:granted
    4 exists * -> true
    5 release w -> true 5:granted 6:granted
    6 release d -> true
    7 release e -> true
    left: 0 resources, 0 entries, next alarm None
    ");
}

#[test]
fn a_writer_that_gives_up_lets_the_readers_behind_it_in() {
    insta::assert_snapshot!(transcript("
        0 read a
        0 write w wait=50
        1 read b wait=100
        2 read c wait=100
        50 later
        51 write x wait=100
        52 read d wait=100
        53 leave x 5
    "), @r"
    0 read a -> Granted
    0 write w wait=50 -> Waiting(2)
    1 read b wait=100 -> Waiting(3)
    2 read c wait=100 -> Waiting(4)
    50 later ->  2:refused 3:granted 4:granted
    51 write x wait=100 -> Waiting(5)
    52 read d wait=100 -> Waiting(6)
    53 leave x 5 -> left 6:granted
    left: 1 resources, 4 entries, next alarm None
    ");
}

#[test]
fn a_lock_expires_with_its_time_to_live_which_can_be_changed() {
    insta::assert_snapshot!(transcript("
        0 write a ttl=100
        10 write b wait=1000 ttl=50
        10 write c wait=90
        100 later
        149 exists b
        150 exists b
        150 write d ttl=10
        155 update d ttl=100
        160 exists d
        160 update d
        9000 exists d
        9000 update d ttl=0
        9000 exists d
        9000 update d ttl=5
    "), @r"
    0 write a ttl=100 -> Granted
    10 write b wait=1000 ttl=50 -> Waiting(2)
    10 write c wait=90 -> Waiting(3)
    100 later ->  2:granted 3:refused
    149 exists b -> true
    150 exists b -> false
    150 write d ttl=10 -> Granted
    155 update d ttl=100 -> true
    160 exists d -> true
    160 update d -> true
    9000 exists d -> true
    9000 update d ttl=0 -> true
    9000 exists d -> false
    9000 update d ttl=5 -> false
    left: 0 resources, 0 entries, next alarm None
    ");
}

#[test]
fn a_reader_s_second_claim_restarts_its_time_to_live() {
    insta::assert_snapshot!(transcript("
        0 read a ttl=100
        50 read a ttl=100
        149 exists a
        150 exists a
    "), @r"
    0 read a ttl=100 -> Granted
    50 read a ttl=100 -> Granted
    149 exists a -> true
    150 exists a -> false
    left: 0 resources, 0 entries, next alarm None
    ");
}

#[test]
fn under_roadrunner_3_a_reader_reads_once_and_writes_when_it_is_alone() {
    insta::assert_snapshot!(transcript_under(Compat::V3, "
        0 read a ttl=100
        0 read a wait=50
        0 write a
        1 read a wait=50
        1 write a wait=50
        2 read b wait=50
        3 release a
        4 write b
    "), @r"
    0 read a ttl=100 -> Granted
    0 read a wait=50 -> Refused
    0 write a -> Granted
    1 read a wait=50 -> Refused
    1 write a wait=50 -> Refused
    2 read b wait=50 -> Waiting(3)
    3 release a -> true 3:granted
    4 write b -> Granted
    left: 1 resources, 1 entries, next alarm None
    ");
    insta::assert_snapshot!(transcript_under(Compat::V3, "
        0 read a
        0 read b
        0 write b
        1 write c wait=100
        2 write b wait=100
        3 release a
        4 read d wait=100
        5 release b
        6 release c
        7 release d
    "), @r"
    0 read a -> Granted
    0 read b -> Granted
    0 write b -> Refused
    1 write c wait=100 -> Waiting(3)
    2 write b wait=100 -> Waiting(4)
    3 release a -> true 4:granted
    4 read d wait=100 -> Waiting(5)
    5 release b -> true 3:granted
    6 release c -> true 5:granted
    7 release d -> true
    left: 0 resources, 0 entries, next alarm None
    ");
    insta::assert_snapshot!(transcript_under(Compat::V3, "
        0 write w
        0 read a wait=50
        0 read a wait=50
        0 read b wait=50
        1 release w
        2 write a wait=50
        3 release b
        4 leave a 5
        5 exists a
        6 release a
    "), @r"
    0 write w -> Granted
    0 read a wait=50 -> Waiting(2)
    0 read a wait=50 -> Waiting(3)
    0 read b wait=50 -> Waiting(4)
    1 release w -> true 2:granted 3:refused 4:granted
    2 write a wait=50 -> Waiting(5)
    3 release b -> true 5:granted
    4 leave a 5 -> left
    5 exists a -> true
    6 release a -> true
    left: 0 resources, 0 entries, next alarm None
    ");
}

#[test]
fn a_forced_release_ends_all_locks_and_grants_the_next() {
    insta::assert_snapshot!(transcript("
        0 force
        0 read a ttl=100
        0 read b
        0 write w wait=50
        1 read c wait=50
        2 force
        3 force
        3 exists c
        4 force
        5 release a
    "), @r"
    0 force -> false
    0 read a ttl=100 -> Granted
    0 read b -> Granted
    0 write w wait=50 -> Waiting(3)
    1 read c wait=50 -> Waiting(4)
    2 force -> true 3:granted
    3 force -> true 4:granted
    3 exists c -> true
    4 force -> true
    5 release a -> false
    left: 0 resources, 0 entries, next alarm None
    ");
}

#[test]
fn a_lock_granted_to_a_waiter_that_is_gone_goes_to_the_next_one() {
    insta::assert_snapshot!(transcript("
        0 write a
        0 write b wait=50
        0 write c wait=50
        0 write d wait=50
        1 leave c 3
        2 release a
        3 leave b 2
        4 leave b 2
        5 leave a 1
        6 exists d
    "), @r"
    0 write a -> Granted
    0 write b wait=50 -> Waiting(2)
    0 write c wait=50 -> Waiting(3)
    0 write d wait=50 -> Waiting(4)
    1 leave c 3 -> left
    2 release a -> true 2:granted
    3 leave b 2 -> left 4:granted
    4 leave b 2 -> left
    5 leave a 1 -> left
    6 exists d -> true
    left: 1 resources, 1 entries, next alarm None
    ");
}

#[test]
fn endless_times_do_not_overflow() {
    let mut core = Core::default();
    let now = Duration::from_secs(1);
    let mut endless = claim("a", Mode::Write, 0, None);
    endless.ttl = Some(Duration::MAX);
    assert_eq!(core.claim(now, endless.clone()), Outcome::Granted);
    let waiting = Claim { id: "b".into(), wait: Duration::MAX, ..endless };
    assert_eq!(core.claim(now, waiting), Outcome::Waiting(2));
    assert!(core.release(now, "r", "a"));
    assert_eq!(answers(&mut core), [(2, true)]);
    assert!(core.exists(Duration::from_secs(u64::MAX), "r", "b"));
}

fn read(resource: &str, id: &str) -> Claim {
    Claim { resource: resource.into(), ..claim(id, Mode::Read, 0, None) }
}

#[test]
fn locks_are_bounded_in_number_and_in_length() {
    let (mut core, now) = (Core::default(), Moment::ZERO);
    let long = read(&"x".repeat(MAX_NAME + 1), "a");
    assert_eq!(core.claim(now, long), Outcome::LimitReached(LimitReached::Name(MAX_NAME + 1)));
    for number in 0..MAX_ENTRIES {
        let name = (number / MAX_OF_ONE).to_string();
        assert_eq!(core.claim(now, read(&name, &number.to_string())), Outcome::Granted);
    }
    assert_eq!(core.claim(now, read("other", "a")), Outcome::LimitReached(LimitReached::Entries));
    assert!(core.force_release(now, "0"));
    assert_eq!(core.claim(now, read("other", "a")), Outcome::Granted);
    assert_eq!(core.size(), (MAX_ENTRIES / MAX_OF_ONE + 1, MAX_ENTRIES - MAX_OF_ONE + 1));
}

#[test]
fn holders_and_waiters_of_one_resource_are_bounded() {
    let (mut core, now) = (Core::default(), Moment::ZERO);
    assert_eq!(core.claim(now, claim("writer", Mode::Write, 0, None)), Outcome::Granted);
    for number in 1..MAX_OF_ONE {
        let outcome = core.claim(now, claim(&number.to_string(), Mode::Read, 1_000, None));
        assert!(matches!(outcome, Outcome::Waiting(_)));
    }
    let one_more = claim("one more", Mode::Read, 1_000, None);
    assert_eq!(core.claim(now, one_more.clone()), Outcome::LimitReached(LimitReached::OfOne));
    assert_eq!(core.claim(now, read("other", "a")), Outcome::Granted);
    assert!(core.release(now, "r", "writer"));
    assert_eq!(core.take_answers().len(), MAX_OF_ONE - 1);
    assert_eq!(core.claim(now, one_more), Outcome::Granted);
}

#[test]
fn the_bytes_of_names_are_bounded_and_released_locks_no_longer_count() {
    let (mut core, now) = (Core::default(), Moment::ZERO);
    let long = |number: usize| Claim {
        ttl: Some(Duration::from_millis(10)),
        ..read(&format!("{number:4096}"), "a")
    };
    let most = MAX_BYTES / (ENTRY + MAX_NAME + 1);
    for number in 0..most {
        assert_eq!(core.claim(now, long(number)), Outcome::Granted);
    }
    assert_eq!(core.claim(now, long(most)), Outcome::LimitReached(LimitReached::Bytes));
    let later = Duration::from_millis(10);
    while core.next_alarm().is_some_and(|next| next <= later) {
        core.advance(later);
    }
    assert_eq!(core.size(), (0, 0));
    assert_eq!(core.claim(later, long(most)), Outcome::Granted);
}

#[test]
fn an_expired_lock_is_free_though_thousands_expire_before_it() {
    let mut core = Core::default();
    let brief = |name: &str, millis| Claim { ttl: Some(Duration::from_millis(millis)), ..read(name, "a") };
    for number in 0..10_000 {
        assert_eq!(core.claim(Moment::ZERO, brief(&number.to_string(), 5)), Outcome::Granted);
    }
    assert_eq!(core.claim(Moment::ZERO, brief("last", 6)), Outcome::Granted);
    let waiting =
        Claim { mode: Mode::Write, wait: Duration::from_millis(100), id: "b".into(), ..brief("last", 50) };
    assert_eq!(core.claim(Moment::ZERO, waiting), Outcome::Waiting(10_002));
    let now = Duration::from_millis(7);
    assert!(!core.exists(now, "last", "a") && core.exists(now, "last", "b"));
    assert_eq!(answers(&mut core), [(10_002, true)]);
    let (_, left) = core.size();
    assert!(left > 9_000, "others are left to the timer: {left}");
}
