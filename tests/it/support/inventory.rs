//! What a fault may not change: the processes, descriptors and tasks of a server, and the answers of everybody else.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tonic::{Code, Status};

use super::rpc::Caller;
use super::{Client, MARK, PATIENCE, Server, Setup, eventually};

/// What a server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inventory {
    /// The server, its guard, and all their descendants.
    pub processes: usize,
    /// Its open descriptors.
    pub descriptors: usize,
    /// Its tasks, of tokio.
    pub tasks: u64,
}

impl Inventory {
    async fn of(server: &Server, caller: &mut Caller) -> Self {
        let folder = format!("/proc/{}/fd", server.pid());
        let stats = caller.json("causeway.Stats", &"centrifuge".into()).await.unwrap();
        Self {
            processes: processes(server).len(),
            descriptors: std::fs::read_dir(folder).map_or(0, Iterator::count),
            tasks: stats["tasks"].as_u64().unwrap(),
        }
    }

    fn has_no_more_than(self, before: Self) -> bool {
        self.processes == before.processes
            && self.descriptors <= before.descriptors
            && self.tasks <= before.tasks
    }
}

/// The processes that have a server's mark in their environment, which they inherit; and zombies, which have none, of the server itself.
pub fn processes(server: &Server) -> Vec<u32> {
    let mark = format!("{MARK}={}", server.folder.path().display());
    let has_mark = |pid: u32| {
        std::fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes()))
    };
    let is_zombie_of_server = |pid: u32| {
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
            let mut fields = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace();
            fields.next() == Some("Z") && fields.next() == Some(&server.pid().to_string())
        })
    };
    let all = std::fs::read_dir("/proc").unwrap();
    let pids = all.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    pids.filter(|pid| has_mark(*pid) || is_zombie_of_server(*pid)).collect()
}

/// State, parent, group and command of each.
fn describe(pids: &[u32]) -> String {
    let line = |pid: &u32| {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let stat = read("stat");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().take(3).collect();
        format!("{pid} {} {}", fields.join(" "), read("cmdline").replace('\0', " "))
    };
    pids.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A server with some workers at its full strength, before something goes wrong.
pub struct Scene {
    pub server: Server,
    pub client: Client,
    workers: usize,
    caller: tokio::sync::Mutex<Caller>,
    /// Held by bystanders while they call.
    calls: Arc<tokio::sync::RwLock<()>>,
    before: Inventory,
    meetings: Cell<usize>,
}

impl Scene {
    /// Starts a server with this number of workers; `pool` is the rest of its settings.
    pub async fn begin(setup: Setup, workers: usize, pool: &str) -> Self {
        let pool = [format!("num_workers: {workers}"), pool.into()];
        let pool: Vec<_> = pool.into_iter().filter(|part| !part.is_empty()).collect();
        let server = setup.pool(&pool.join(", ")).rpc().start();
        let client = server.client().await;
        let caller = tokio::sync::Mutex::new(server.caller().await);
        let before = Inventory { processes: 0, descriptors: 0, tasks: 0 };
        let (calls, meetings) = (Arc::default(), Cell::new(0));
        let mut scene = Self { server, client, workers, caller, calls, before, meetings };
        // From now on connections are open, and each worker has done something.
        scene.meet().await;
        scene.before = scene.inventory().await;
        // What follows an answer may take a moment.
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let now = scene.inventory().await;
            scene.before.tasks = scene.before.tasks.min(now.tasks);
            scene.before.descriptors = scene.before.descriptors.min(now.descriptors);
        }
        scene
    }

    async fn inventory(&self) -> Inventory {
        Inventory::of(&self.server, &mut *self.caller.lock().await).await
    }

    /// A path in the server's folder.
    pub fn path(&self, name: &str) -> String {
        self.server.folder.path().join(name).display().to_string()
    }

    /// Makes a file for which a worker waits, and waits until a worker has acted on it.
    pub async fn let_act(&self, file: &str) {
        std::fs::write(file, "").unwrap();
        let done = format!("{file}.done");
        eventually("the worker has acted", || std::path::Path::new(&done).exists()).await;
    }

    /// The pids of its workers.
    pub async fn pids(&self) -> BTreeSet<u64> {
        let mut caller = self.caller.lock().await;
        let list = caller.json("informer.Workers", &serde_json::json!("centrifuge")).await.unwrap();
        list["workers"].as_array().unwrap().iter().map(|worker| worker["pid"].as_u64().unwrap()).collect()
    }

    /// Waits until no worker is at anything any more, its echo included.
    pub async fn rests(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut caller = self.caller.lock().await;
        loop {
            let list = caller.json("informer.Workers", &serde_json::json!("centrifuge")).await.unwrap();
            if list["workers"].as_array().unwrap().iter().all(|worker| worker["statusStr"] == "ready") {
                return;
            }
            assert!(Instant::now() < deadline, "{list}");
        }
    }

    /// A call that has to fail with this status.
    pub async fn fails(&self, method: &str, code: Code, words: &str) -> Status {
        let status = self.client.rpc(method, "").await.unwrap_err();
        assert_eq!(status.code(), code, "{method}: {status}");
        assert!(status.message().contains(words), "{method}: {status}");
        status
    }

    /// A call whose caller waits for a moment only.
    pub async fn is_given_up(&self, method: &str) {
        let status = self.client.rpc_within(method, "", Duration::from_millis(300)).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{method}: {status}");
    }

    /// Others who call meanwhile.
    pub fn bystanders(&self) -> Bystanders {
        Bystanders::start(&self.client, 2, &self.calls)
    }

    /// As many concurrent calls as workers are expected, each of which gets its own answer.
    async fn meet(&self) {
        self.meetings.set(self.meetings.get() + 1);
        let flag = self.path(&format!("meeting-{}-", self.meetings.get()));
        let tokens: Vec<_> = (0..self.workers).map(|n| format!("{flag}{n}")).collect();
        let calls: Vec<_> =
            tokens.iter().map(|token| self.client.spawn_rpc(&format!("wait:{flag}"), token)).collect();
        eventually("all workers are in a request", || {
            self.server.count_output(&format!("it waits for {flag}")) == self.workers
                || calls.iter().any(tokio::task::JoinHandle::is_finished)
        })
        .await;
        std::fs::write(flag, "").unwrap();
        for (call, token) in calls.into_iter().zip(tokens) {
            assert_eq!(call.await.unwrap().unwrap(), token);
        }
    }

    /// The pool has its full strength, and nothing is left of what went wrong.
    pub async fn is_whole_again(&self) {
        self.meet().await;
        let deadline = Instant::now() + PATIENCE;
        // No calls meanwhile.
        let _silence = self.calls.write().await;
        loop {
            let now = self.inventory().await;
            if now.has_no_more_than(self.before) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "before {:?}, now {now:?}:\n{}",
                self.before,
                describe(&processes(&self.server))
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The pool is whole again, and the server ends well, long before its grace period is over.
    pub async fn ends_well(self) {
        self.is_whole_again().await;
        self.stops_soon().await;
    }

    /// The server ends well, long before its grace period of 30 s is over, and no process is left.
    pub async fn stops_soon(mut self) {
        let begin = Instant::now();
        self.server.signal(Signal::SIGTERM);
        assert_eq!(self.server.exit().await.code(), Some(0));
        assert!(begin.elapsed() < Duration::from_secs(25), "{:?}", begin.elapsed());
        eventually("no process is left", || processes(&self.server).is_empty()).await;
    }
}

/// Callers who have no part in a fault, and get their own answers all the time.
pub struct Bystanders {
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<usize>>,
}

impl Bystanders {
    fn start(client: &Client, count: usize, calls: &Arc<tokio::sync::RwLock<()>>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = (0..count)
            .map(|caller| {
                let (client, stop, calls) = (client.clone(), Arc::clone(&stop), Arc::clone(calls));
                tokio::spawn(async move {
                    let mut answered = 0;
                    while !stop.load(Relaxed) || answered == 0 {
                        let call = calls.read().await;
                        let token = format!("\"bystander {caller}, call {answered}\"");
                        assert_eq!(client.rpc("echo", &token).await.unwrap(), token);
                        drop(call);
                        answered += 1;
                        // They are there to notice, and not to be a load.
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                    answered
                })
            })
            .collect();
        Self { stop, tasks }
    }

    /// All of them got nothing but their own answers.
    pub async fn noticed_nothing(self) {
        self.stop.store(true, Relaxed);
        for task in self.tasks {
            assert!(task.await.unwrap() > 0);
        }
    }
}
