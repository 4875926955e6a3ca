//! All attacks at random beside eight well-behaved callers.
//!
//! `STORM_SECONDS` (20), `STORM_LANES` (1: the number of concurrent attacks) and `STORM_SEED` change the run; what is played follows from the
//! seed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::chance::{Chance, setting};
use crate::support::holdings::Holdings;
use crate::support::neighbour::{ATTEMPTS, Cost, Neighbour, allowed, on_stage, unattacked};
use crate::support::{Server, Setup, worker};

/// Well-behaved callers.
const CALLERS: usize = 8;

/// What the server may hold at most, in MB, whatever happens to it: docs/reference/limits.md.
const MEMORY: u64 = 768;

/// The attacks that leave the server unchanged, whatever else runs against it.
fn attacks() -> Vec<(&'static str, fn())> {
    macro_rules! attacks {
        ($($room:ident::$name:ident),* $(,)?) => {
            vec![$((stringify!($name), super::$room::$name as fn())),*]
        };
    }
    attacks![
        control::a_method_with_a_long_name_gets_a_short_reply_and_its_connection_stays_open,
        control::a_thousand_requests_for_statistics_cause_few_samples_of_proc,
        control::arguments_of_a_million_tiny_values_are_refused_at_little_cost,
        control::floods_of_small_calls_do_not_starve_others,
        control::unfinished_frames_on_many_connections_are_bounded_in_total,
        control::large_arguments_in_json_do_not_delay_other_calls,
        control::no_calls_are_read_ahead_for_callers_that_read_their_replies_slowly,
        control::unread_replies_are_bounded_in_total,
        http2::a_caller_that_reads_nothing,
        http2::unread_answers,
        http2::calls_cancelled_at_once,
        http2::calls_cancelled_on_many_connections,
        http2::calls_that_the_server_is_made_to_reset,
        http2::compressed_messages_of_many_empty_members,
        http2::compressed_messages_that_are_large,
        http2::frames_that_cost_the_server_more_than_the_caller,
        http2::headers_without_an_end,
        http2::large_contexts_of_calls_that_become_complete_at_once,
        http2::messages_that_claim_to_be_large,
        http2::messages_that_never_come_or_never_end,
        http2::one_large_header_that_many_calls_refer_to,
        limits::a_flood_of_cancelled_calls_ends_with_its_connection,
        limits::a_flood_of_tls_handshakes_does_not_delay_others,
        limits::answers_that_are_read_byte_by_byte,
        limits::calls_beyond_what_a_connection_may_have_open_are_refused,
        limits::connections_of_one_address_cost_another_address_none,
        limits::handshakes_that_are_never_complete_do_not_lock_out_callers,
        limits::header_lists_that_are_too_long,
        limits::messages_that_are_held_on_many_connections_are_bounded_in_total,
        limits::readers_of_single_bytes_on_each_listener,
        output::a_flood_of_unexpected_answers_does_not_affect_others_and_is_logged_in_few_lines,
        output::floods_of_long_records_do_not_affect_others,
        output::floods_of_short_lines_do_not_affect_others_and_lost_lines_are_reported,
        output::floods_from_idle_workers_do_not_affect_others,
        output::noise_that_could_start_a_frame_does_not_affect_others,
        output::repeated_pieces_of_headers_do_not_affect_others,
        queue::callers_with_thousands_of_calls_in_flight_do_not_delay_others,
        strangers::a_probe_is_answered_at_once_beside_silent_connections,
        strangers::idle_connections_to_the_proxy_do_not_lock_out_callers,
        strangers::idle_rpc_clients_do_not_lock_out_operators,
        strangers::scrapers_that_read_nothing_do_not_lock_out_others,
        strangers::silent_rpc_clients_do_not_lock_out_operators,
        strangers::waiting_rpc_clients_do_not_lock_out_operators,
    ]
}

fn setup() -> Setup {
    super::limits::rpc_with_tls(worker())
        .pool("num_workers: 16, abandon_ttl: 2s, destroy_timeout: 2s")
        .more("status: {address: '127.0.0.1:0'}\nmetrics: {address: '127.0.0.1:0'}\n")
}

/// An attack that has run.
struct Played {
    name: &'static str,
    begin: Instant,
    end: Instant,
    /// Whether something else happened than the attack expects: attackers get into each other's way.
    failed: bool,
}

/// How often an attack was played, and how often it failed.
#[derive(Debug, Default)]
struct Times {
    played: usize,
    failed: usize,
}

/// Plays one attack after the other until the time is up.
fn play(server: &Arc<Server>, mut chance: Chance, until: Instant) -> Vec<Played> {
    let mut played = Vec::new();
    while Instant::now() < until {
        let (name, attack) = *chance.pick(&attacks()).unwrap();
        let begin = Instant::now();
        let failed = on_stage(server, attack).join().is_err();
        played.push(Played { name, begin, end: Instant::now(), failed });
    }
    played
}

async fn storm(seed: u64, seconds: u64) -> (Duration, Vec<Cost>) {
    let server = Arc::new(setup().start());
    let before = Holdings::of(&server).await;
    let unattacked = unattacked();
    let without = Neighbour::begin(&unattacked).await;
    let mut callers = Vec::new();
    for _ in 0..CALLERS {
        callers.push(Neighbour::begin(&server).await);
    }
    let until = Instant::now() + Duration::from_secs(seconds);
    let lanes: Vec<_> = (0..setting("STORM_LANES", 1))
        .map(|lane| {
            let (server, chance) = (Arc::clone(&server), Chance(seed.wrapping_add(lane)));
            tokio::task::spawn_blocking(move || play(&server, chance, until))
        })
        .collect();
    let mut played = Vec::new();
    for lane in lanes {
        played.extend(lane.await.unwrap());
    }
    let mut costs = Vec::new();
    for caller in callers {
        costs.push(caller.end().await);
    }
    let allowed = allowed(&without.end().await);
    before.are_all_that_is_left(&server).await;
    let mut times = BTreeMap::<&str, Times>::new();
    for attack in &played {
        let times = times.entry(attack.name).or_default();
        times.played += 1;
        times.failed += usize::from(attack.failed);
    }
    println!("{times:#?}");
    for cost in &costs {
        println!("{cost}");
        for (at, took) in &cost.slow {
            let at_work = |attack: &&Played| attack.begin <= *at && attack.end + *took >= *at;
            let names: Vec<_> = played.iter().filter(at_work).map(|attack| attack.name).collect();
            println!("  {took:.1?} beside {names:?}");
        }
    }
    (allowed, costs)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_storm_of_attacks_does_not_affect_others() {
    let (seed, seconds) = (setting("STORM_SEED", 1), setting("STORM_SECONDS", 20));
    for attempt in 1..=ATTEMPTS {
        println!("STORM_SEED={seed} STORM_SECONDS={seconds}, attempt {attempt}");
        let (allowed, costs) = storm(seed, seconds).await;
        let failed: Vec<_> = costs.iter().flat_map(|cost| &cost.failed).collect();
        assert!(failed.is_empty(), "{failed:#?}");
        let memory = costs.iter().map(|cost| cost.memory).max().unwrap();
        assert!(memory <= MEMORY, "{memory} MB");
        let slowest = costs.iter().map(|cost| cost.slowest).max().unwrap();
        if slowest <= allowed {
            return;
        }
        assert!(attempt < ATTEMPTS, "the slowest call took {slowest:?} each time");
    }
}
