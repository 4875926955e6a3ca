//! Everything at once: callers with a token in each request, workers that misbehave on command, are killed and stopped at random, resets
//! and scaling. In the end every call is accounted for, and nothing is left.
//!
//! `CHAOS_SECONDS` (60) and `CHAOS_SEED` change the run; what the callers ask and what is done to whom follows from the seed, when it
//! happens does not.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use causeway::goridge::Flags;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tonic::{Code, Status};

use crate::support::chance::{Chance, setting};
use crate::support::inventory::{Scene, processes};
use crate::support::{Client, Setup, eventually, worker};

const CALLERS: u64 = 6;

/// The deadline of callers who have time: far beyond any delay that the chaos makes.
const LONG: Duration = Duration::from_mins(1);

/// What a behaviour of the worker means for its own caller.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Means {
    /// The caller gets its token.
    Answer,
    /// The caller gets an answer of another kind.
    Child,
    /// The worker's own words, which are the token.
    Words,
    /// INTERNAL.
    Fault,
    /// UNAVAILABLE.
    Death,
    /// Nothing until the deadline.
    Silence,
}

/// A behaviour of the worker, how often it is asked for in a thousand calls, and what it means.
type Behaviour = (&'static str, u64, Means);

/// Behaviours of workers that have one request at a time.
const BEHAVIOURS: [Behaviour; 29] = [
    ("echo", 600, Means::Answer),
    ("sleep:0.01", 120, Means::Answer),
    ("sleep:0.3", 10, Means::Answer),
    ("noise", 30, Means::Answer),
    ("binary", 20, Means::Answer),
    ("flood", 5, Means::Answer),
    ("half:7", 20, Means::Answer),
    ("twice", 40, Means::Answer),
    ("together", 40, Means::Answer),
    ("error:", 40, Means::Words),
    ("nothing", 20, Means::Fault),
    ("child", 4, Means::Child),
    ("child:quiet", 4, Means::Child),
    ("grow:10", 3, Means::Answer),
    ("broken", 3, Means::Fault),
    ("huge", 2, Means::Fault),
    ("options:0", 2, Means::Fault),
    ("options:10", 2, Means::Fault),
    ("beyond", 2, Means::Fault),
    ("one_chunk", 2, Means::Fault),
    ("exit:1", 3, Means::Death),
    ("kill:9", 3, Means::Death),
    ("partial", 3, Means::Death),
    ("closeout", 3, Means::Death),
    ("after:0", 3, Means::Answer),
    ("closein", 3, Means::Answer),
    ("fork", 3, Means::Answer),
    ("stubborn", 3, Means::Answer),
    ("hang", 7, Means::Silence),
];

/// Those of workers with several requests in hand, each in a thread of its own.
const OF_MANY: [Behaviour; 27] = [
    ("echo", 600, Means::Answer),
    ("sleep:0.01", 120, Means::Answer),
    ("sleep:0.3", 20, Means::Answer),
    ("noise", 30, Means::Answer),
    ("binary", 20, Means::Answer),
    ("flood", 5, Means::Answer),
    ("half:7", 20, Means::Answer),
    ("twice", 10, Means::Answer),
    ("together", 10, Means::Answer),
    ("wrong:4000000", 10, Means::Answer),
    ("error:", 40, Means::Words),
    ("late", 10, Means::Silence),
    ("obey", 10, Means::Silence),
    ("credit:1", 5, Means::Answer),
    ("credit:100", 20, Means::Answer),
    ("child", 2, Means::Child),
    ("grow:10", 3, Means::Answer),
    ("broken", 2, Means::Fault),
    ("huge", 1, Means::Fault),
    ("unnumbered", 1, Means::Fault),
    ("pid_of_another", 1, Means::Fault),
    ("chunks:3", 2, Means::Fault),
    ("exit:1", 2, Means::Death),
    ("kill:9", 2, Means::Death),
    ("partial", 2, Means::Death),
    ("closeout", 2, Means::Death),
    ("hang", 7, Means::Silence),
];

/// The workers of a run.
#[derive(Clone, Copy)]
struct Cast {
    behaviours: &'static [Behaviour],
    /// Requests that one worker may have in hand.
    in_hand: u64,
}

/// What became of all calls.
#[derive(Debug, Default)]
struct Ledger {
    sent: u64,
    right: u64,
    /// Failures that had to be, by status.
    caused: BTreeMap<String, u64>,
    /// Calls whose worker died, though they had not asked for it.
    killed: u64,
    wrong: Vec<String>,
}

/// One call, and its possible results.
struct Call {
    method: String,
    token: String,
    means: Means,
    hurry: bool,
    /// Whether its worker may have other requests in hand.
    has_company: bool,
}

impl Call {
    fn new(cast: Cast, chance: &mut Chance, token: String) -> Self {
        let mut number = chance.below(cast.behaviours.iter().map(|(_, weight, _)| weight).sum());
        let (name, _, means) = cast
            .behaviours
            .iter()
            .find(|(_, weight, _)| {
                let found = number < *weight;
                number = number.saturating_sub(*weight);
                found
            })
            .unwrap();
        let method = if *means == Means::Words { format!("{name}{token}") } else { (*name).into() };
        // Some callers give up though nothing is wrong.
        let hurry = *means == Means::Silence || chance.below(50) == 0;
        Self { method, token, means: *means, hurry, has_company: cast.in_hand > 1 }
    }

    async fn run(&self, client: &Client) -> Result<String, Status> {
        let time = if self.hurry { Duration::from_millis(150) } else { LONG };
        client.rpc_within(&self.method, &self.token, time).await
    }

    fn settle(&self, result: Result<String, Status>, ledger: &mut Ledger) {
        match result {
            Ok(data) if self.means == Means::Answer && data == self.token => ledger.right += 1,
            Ok(data) if self.means == Means::Child && data.starts_with("{\"child\"") => ledger.right += 1,
            Err(status) if self.is_own_words(&status) => ledger.right += 1,
            Err(status) if self.is_caused(&status) => {
                if self.is_of_another(&status)
                    || status.message().contains("the worker died") && self.means != Means::Death
                {
                    ledger.killed += 1;
                }
                *ledger.caused.entry(format!("{:?}", status.code())).or_default() += 1;
            }
            other => ledger.wrong.push(format!("{} of {}: {other:?}", self.method, self.token)),
        }
    }

    fn is_own_words(&self, status: &Status) -> bool {
        self.means == Means::Words && status.code() == Code::Internal && status.message() == self.token
    }

    /// Another request of its worker broke the protocol.
    fn is_of_another(&self, status: &Status) -> bool {
        let is_broken = status.message().contains("the worker broke the protocol");
        self.has_company && self.means != Means::Fault && status.code() == Code::Internal && is_broken
    }

    fn is_caused(&self, status: &Status) -> bool {
        match status.code() {
            Code::Internal => self.means == Means::Fault || self.is_of_another(status),
            Code::DeadlineExceeded => self.hurry,
            Code::Unavailable => {
                let reasons = ["the worker died before it answered", "no worker is running"];
                reasons.iter().any(|reason| status.message().contains(reason))
            }
            _ => false,
        }
    }
}

/// The callers of one part of the run.
async fn call_until(cast: Cast, end: Instant, client: &Client, seed: u64, ledger: &Arc<Mutex<Ledger>>) {
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (client, ledger) = (client.clone(), Arc::clone(ledger));
            let mut chance = Chance(seed ^ (caller + 1).wrapping_mul(0x5851_f42d_4c95_7f2d));
            tokio::spawn(async move {
                let mut number = 0_u64;
                while Instant::now() < end {
                    // Now and then many at once, so that the pool has to grow.
                    let burst = if chance.below(200) == 0 { 12 } else { 1 };
                    let calls: Vec<_> = (0..burst)
                        .map(|_| {
                            number += 1;
                            let call = Call::new(cast, &mut chance, format!("\"{seed}-{caller}-{number}\""));
                            let (client, ledger) = (client.clone(), Arc::clone(&ledger));
                            ledger.lock().unwrap().sent += 1;
                            tokio::spawn(async move {
                                // A call that is never answered is lost; the ledger will lack it.
                                if let Ok(result) = tokio::time::timeout(2 * LONG, call.run(&client)).await {
                                    call.settle(result, &mut ledger.lock().unwrap());
                                }
                            })
                        })
                        .collect();
                    for call in calls {
                        call.await.unwrap();
                    }
                    tokio::time::sleep(Duration::from_millis(10 + chance.below(20))).await;
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
}

/// Kills, stops and continues workers, resets the pool and changes its size, until `stop` is set. Returns the number of workers that it
/// killed.
async fn harm(scene: &Scene, mut chance: Chance, stop: Arc<AtomicBool>) -> u64 {
    let mut killed = 0;
    let mut stopped = Vec::new();
    let mut operator = scene.server.caller().await;
    // A reset may fail, since its workers are killed as well, but no call may fail because of it.
    let mut waits_for_reset = false;
    for round in 0_u64.. {
        if stop.load(Relaxed) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(150 + chance.below(300))).await;
        for pid in stopped.drain(..) {
            let _ = kill(pid, Signal::SIGCONT);
        }
        let victim = chance.pick(&workers(scene)).map(|pid| Pid::from_raw(pid.cast_signed()));
        match (chance.below(16), victim) {
            (0..4, Some(pid)) => killed += u64::from(kill(pid, Signal::SIGKILL).is_ok()),
            (4..8, Some(pid)) if kill(pid, Signal::SIGSTOP).is_ok() => stopped.push(pid),
            (8, _) => std::fs::write(scene.path("watched/code"), round.to_string()).unwrap(),
            (9, _) => {
                if std::mem::take(&mut waits_for_reset) {
                    assert!(operator.next().await.is_some());
                }
                operator.begin(Flags::JSON, "resetter.Reset", b"\"centrifuge\"").await;
                waits_for_reset = true;
            }
            (10, _) => {
                let mut other = scene.server.caller().await;
                for method in ["informer.AddWorker", "informer.RemoveWorker"] {
                    other.json(method, &"centrifuge".into()).await.unwrap();
                }
            }
            _ => {}
        }
    }
    for pid in stopped {
        let _ = kill(pid, Signal::SIGCONT);
    }
    if waits_for_reset {
        assert!(operator.next().await.is_some());
    }
    killed
}

/// The workers and their forks, but not the server, its guard and what workers started.
fn workers(scene: &Scene) -> Vec<u32> {
    let is_worker = |pid: &u32| {
        std::fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| line.windows(9).any(|part| part == b"worker.py"))
    };
    let mut found: Vec<u32> = processes(&scene.server).into_iter().filter(is_worker).collect();
    found.sort_unstable();
    found
}

/// The server's own memory, in kB.
fn memory(scene: &Scene) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", scene.server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// The same once it is within a tenth of `warm`, or when it has not come down in time: a thread for blocking work that has nothing to do
/// leaves after ten seconds, and keeps its stack until then.
async fn settled_memory(scene: &Scene, warm: u64) -> u64 {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let now = memory(scene);
        if now * 10 <= warm * 11 || Instant::now() > deadline {
            return now;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// One part of the run; the pool is whole again after it. Gives the number of workers that it killed, to which `killed` earlier ones are
/// added.
async fn part(
    cast: Cast,
    scene: &Scene,
    seed: u64,
    time: Duration,
    ledger: &Arc<Mutex<Ledger>>,
    killed: u64,
) -> u64 {
    let stop = Arc::new(AtomicBool::new(false));
    let calls = async {
        call_until(cast, Instant::now() + time, &scene.client, seed, ledger).await;
        stop.store(true, Relaxed);
    };
    let ((), now_killed) = tokio::join!(calls, harm(scene, Chance(seed), Arc::clone(&stop)));
    // A killed worker had so many requests at most. Those that the server killed, and those that died, are reported, too.
    let killed = killed + now_killed;
    let count = |line| scene.server.count_output(line) as u64;
    let all_killed =
        || cast.in_hand * (killed + count("killing worker") + count("worker killed") + count("worker died"));
    let lost_theirs = ledger.lock().unwrap().killed;
    eventually(&format!("{lost_theirs} workers were killed"), || lost_theirs <= all_killed()).await;
    // Workers that have had children and live on would be left. The first reset may be one with another that began before the last call
    // ended; and each may find that one of its workers was killed just now.
    let deadline = Instant::now() + 3 * LONG;
    for _ in 0..2 {
        while let Err(reason) = scene.server.caller().await.json("resetter.Reset", &"centrifuge".into()).await
        {
            assert!(Instant::now() < deadline, "the pool does not heal: {reason}");
        }
    }
    scene.is_whole_again().await;
    killed
}

#[tokio::test(flavor = "multi_thread")]
async fn under_chaos_every_call_gets_its_own_answer_or_a_reason_and_nothing_leaks() {
    under_chaos(Cast { behaviours: &BEHAVIOURS, in_hand: 1 }, worker()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_is_with_many_requests_in_hand() {
    let setup = worker().env("OFFERS", r#"{"protocol":2,"concurrency":8}"#);
    under_chaos(Cast { behaviours: &OF_MANY, in_hand: 8 }, setup).await;
}

async fn under_chaos(cast: Cast, setup: Setup) {
    let (seed, seconds) = (setting("CHAOS_SEED", 1), setting("CHAOS_SECONDS", 60));
    println!("CHAOS_SEED={seed} CHAOS_SECONDS={seconds}");
    std::fs::create_dir(setup.path("watched")).unwrap();
    let pool = "watch: ['watched/*'], reset_timeout: 20s, abandon_ttl: 2s, destroy_timeout: 2s, max_jobs: 300, \
        dynamic_allocator: {max_workers: 3, spawn_rate: 3, idle_timeout: 1s}";
    let scene = Scene::begin(setup, 4, pool).await;
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let half = Duration::from_secs(seconds) / 2;
    let killed = part(cast, &scene, seed, half, &ledger, 0).await;
    let warm = memory(&scene);
    part(cast, &scene, seed.wrapping_add(1), half, &ledger, killed).await;
    let end = settled_memory(&scene, warm).await;
    scene.stops_soon().await;
    let ledger = ledger.lock().unwrap();
    let caused: u64 = ledger.caused.values().sum();
    let lost = ledger.sent - ledger.right - caused - ledger.wrong.len() as u64;
    println!(
        "sent {}, answered rightly {}, failed with a cause {caused} {:?}, lost {lost}, wrong {}; memory {warm} kB, then {end} kB",
        ledger.sent,
        ledger.right,
        ledger.caused,
        ledger.wrong.len()
    );
    assert!(ledger.wrong.is_empty(), "{:#?}", ledger.wrong);
    assert_eq!(lost, 0);
    assert!(ledger.right > ledger.sent / 2, "most calls ask for nothing bad");
    assert!(end * 10 <= warm * 11, "memory grew from {warm} kB to {end} kB");
}
