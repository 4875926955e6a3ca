//! A well-behaved caller beside an attack, and what the attack cost it.
//!
//! The caller has its own thread, runtime and connection, so that it measures the server and not the attack's tasks. It asks for an echo
//! every [`EVERY`], and counts the server's descriptors as often.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Server, Setup, worker};

/// How often the caller calls.
pub const EVERY: Duration = Duration::from_millis(10);

/// How long its slowest call may take on a busy machine; on a quiet one half of it is promised.
pub const SLOWEST: Duration = Duration::from_millis(100);

/// How many times as long as that of a server without an attack its slowest call may take, on a machine on which that is more than
/// [`SLOWEST`].
const FACTOR: u32 = 4;

/// How often an attack is repeated until it affects no caller: a machine with other work stalls every program now and then, a fault of
/// the server does so each time.
pub const ATTEMPTS: usize = 3;

/// How long the caller calls before and after the attack, to be sure that there is something to measure.
const MARGIN: Duration = Duration::from_millis(200);

/// What an attack cost.
#[derive(Debug, Clone, Default)]
pub struct Cost {
    /// Calls of the well-behaved caller.
    pub calls: usize,
    /// Those that failed, or got another's answer.
    pub failed: Vec<String>,
    /// The slowest of them.
    pub slowest: Duration,
    /// Those that took longer than [`SLOWEST`], with the time at which they ended.
    pub slow: Vec<(Instant, Duration)>,
    /// What the server held in memory at most, in MB; its workers do not count.
    pub memory: u64,
    /// How many descriptors it had open at most.
    pub descriptors: usize,
    /// How many threads it had at most.
    pub threads: usize,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { calls, failed, slowest, slow: _, memory, descriptors, threads } = self;
        let failed = failed.len();
        write!(
            f,
            "{calls} calls, {failed} failed, slowest {slowest:.1?}; {memory} MB, {descriptors} descriptors, {threads} threads at most"
        )
    }
}

/// A caller at work.
pub struct Neighbour {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Cost>,
}

impl Neighbour {
    /// Begins to call; its first call has been answered when this returns.
    pub async fn begin(server: &Server) -> Self {
        let (address, pid) = (server.address().to_owned(), server.pid());
        let stop = Arc::new(AtomicBool::new(false));
        let (first_answer, is_calling) = tokio::sync::oneshot::channel();
        // The peak of earlier times does not count.
        std::fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
        let thread = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(call(&address, pid, &stop, first_answer))
            }
        });
        is_calling.await.expect("the first call of the well-behaved caller is answered");
        Self { stop, thread }
    }

    /// Ends the calls, and says how they went.
    pub async fn end(self) -> Cost {
        self.stop.store(true, Relaxed);
        tokio::task::spawn_blocking(|| self.thread.join().unwrap()).await.unwrap()
    }
}

async fn call(
    address: &str,
    pid: u32,
    stop: &AtomicBool,
    first_answer: tokio::sync::oneshot::Sender<()>,
) -> Cost {
    let client = Server::client_of(address).await;
    let (mut cost, mut first_answer) = (Cost::default(), Some(first_answer));
    let mut next = tokio::time::interval(EVERY);
    next.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !stop.load(Relaxed) {
        next.tick().await;
        let (token, begin) = (format!("\"neighbour {}\"", cost.calls), Instant::now());
        match client.rpc("echo", &token).await {
            Ok(answer) if answer == token => {}
            other => cost.failed.push(format!("{token}: {other:?}")),
        }
        let took = begin.elapsed();
        cost.slowest = cost.slowest.max(took);
        if took > SLOWEST {
            cost.slow.push((Instant::now(), took));
        }
        cost.calls += 1;
        let open = std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
        cost.descriptors = cost.descriptors.max(open);
        cost.threads = cost.threads.max(in_status(pid, "Threads:").unwrap_or_default().try_into().unwrap());
        if let Some(first_answer) = first_answer.take() {
            let _ = first_answer.send(());
        }
    }
    cost.memory = in_status(pid, "VmHWM:").unwrap_or_default() / 1024;
    cost
}

/// A number of `/proc/PID/status`.
fn in_status(pid: u32, name: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

thread_local! {
    /// The server of the storm, which attacks of this thread use instead of their own.
    static STAGE: RefCell<Option<Arc<Server>>> = const { RefCell::new(None) };
}

/// Plays a test of attacks against `server`, in a thread of its own. Whom they cost what is the caller's to measure.
pub fn on_stage(server: &Arc<Server>, test: fn()) -> JoinHandle<()> {
    let server = Arc::clone(server);
    std::thread::spawn(move || {
        STAGE.set(Some(server));
        test();
    })
}

/// A server that nobody attacks. The calls of a caller of it say how slow the machine was at the same time.
pub fn unattacked() -> Server {
    worker().pool("num_workers: 1").start()
}

/// How long the slowest call may take beside these calls to the server that nobody attacks.
pub fn allowed(without: &Cost) -> Duration {
    let allowed = without.slowest * FACTOR;
    if allowed > SLOWEST {
        println!("of the server without an attack, the slowest call took {:.1?}", without.slowest);
    }
    SLOWEST.max(allowed)
}

/// Attacks wait for each other: what one does to the machine is not the next one's cost.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Starts a server, plays `attack` against it beside a well-behaved caller, and fails unless no call of that caller failed or took longer
/// than [`allowed`], and the server never held more than `memory` MB. Gives what it cost, for further checks.
pub async fn is_unharmed(
    what: &str,
    memory: u64,
    setup: impl Fn() -> Setup,
    attack: impl AsyncFn(&Server),
) -> Cost {
    if let Some(server) = STAGE.with_borrow(Option::clone) {
        attack(&server).await;
        return Cost::default();
    }
    let _turn = ONE_AT_A_TIME.lock().await;
    let unattacked = unattacked();
    for attempt in 1..=ATTEMPTS {
        let server = setup().start();
        let neighbour = Neighbour::begin(&server).await;
        let without = Neighbour::begin(&unattacked).await;
        tokio::time::sleep(MARGIN).await;
        attack(&server).await;
        tokio::time::sleep(MARGIN).await;
        let (cost, allowed) = (neighbour.end().await, allowed(&without.end().await));
        println!("{what}: {cost}");
        assert!(cost.failed.is_empty(), "{what}: {:#?}", cost.failed);
        assert!(cost.memory <= memory, "{what}: {} MB are more than {memory}", cost.memory);
        if cost.slowest <= allowed {
            return cost;
        }
        assert!(attempt < ATTEMPTS, "{what}: the slowest call took {:?} each time", cost.slowest);
    }
    unreachable!("the last attempt returns or fails")
}
