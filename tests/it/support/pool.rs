//! A pool in this process, without a listener and gRPC.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use causeway::config::{Sources, load};
use causeway::pool::{Caller, Error, Pool, Request, RequestType, Start, StartError, Timings};
use causeway::proto::proxy::{RpcRequest, RpcResponse};
use causeway::worker::{Environment, Relays};
use prost::Message as _;
use tempfile::TempDir;
use tokio::time::Instant;

use super::{Setup, eventually, is_alive, json};

/// A pool and the folder in which its workers run.
pub struct TestPool {
    pub pool: Pool,
    pub folder: std::sync::Arc<TempDir>,
}

impl Setup {
    /// Starts the pool alone.
    pub async fn pool_alone(self) -> TestPool {
        self.try_pool_alone().await.unwrap()
    }

    pub async fn try_pool_alone(self) -> Result<TestPool, StartError> {
        self.write();
        let mut env: Vec<_> = std::env::vars_os().collect();
        env.extend(self.env.iter().map(|(name, value)| (name.into(), value.into())));
        let sources = Sources {
            path: self.path(".rr.yaml"),
            work_dir: self.work_dir.clone(),
            env,
            ..Sources::default()
        };
        let loaded = load(&sources).unwrap();
        let environment = Environment {
            work_dir: loaded.work_dir,
            inherited: loaded.env,
            rpc: None,
            compat: loaded.config.compat,
        };
        let start = Start {
            name: "centrifuge".into(),
            required: true,
            relays: Relays::default(),
            relay_key: "server.relay".into(),
            pool: loaded.config.pool,
            server: loaded.config.server,
            environment,
            max_message_size: 64 << 20,
        };
        Ok(TestPool { pool: Pool::start(start).await?, folder: self.folder })
    }
}

impl TestPool {
    /// One request, as an RPC of a client.
    pub async fn rpc(&self, method: &str, data: &str) -> Result<String, Error> {
        rpc(&self.pool, method, data, None).await
    }

    pub async fn rpc_within(&self, method: &str, data: &str, time: Duration) -> Result<String, Error> {
        rpc(&self.pool, method, data, Some(Instant::now() + time)).await
    }

    /// A request in its own task. Dropping the handle lets it run; aborting it is a caller that goes away.
    pub fn spawn_rpc(&self, method: &str, data: &str) -> tokio::task::JoinHandle<Result<String, Error>> {
        let (pool, method, data) = (self.pool.clone(), method.to_owned(), data.to_owned());
        tokio::spawn(async move { rpc(&pool, &method, &data, None).await })
    }

    pub async fn worker_pid(&self) -> u32 {
        json(&self.rpc("pid", "").await.unwrap())["pid"].as_u64().unwrap().try_into().unwrap()
    }

    /// The pids of those that are not leaving.
    pub fn pids(&self) -> BTreeSet<u32> {
        let workers = self.pool.workers();
        workers.iter().filter(|worker| !worker.is_retiring).map(|worker| worker.pid).collect()
    }

    /// Waits until there are this many workers, none of them retiring.
    pub async fn has_workers(&self, count: usize) {
        eventually(&format!("there are {count} workers"), || {
            self.pool.workers().len() == count && self.pids().len() == count
        })
        .await;
    }

    /// Callers that send one request after the other until they are stopped.
    pub fn load(&self, callers: usize, method: &'static str) -> Load {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let tasks = (0..callers)
            .map(|caller| {
                let (pool, stop, done) = (self.pool.clone(), Arc::clone(&stop), Arc::clone(&done));
                tokio::spawn(async move {
                    let mut slowest = Duration::ZERO;
                    for n in 0.. {
                        let (data, begin) = (format!("{caller}-{n}"), Instant::now());
                        assert_eq!(rpc(&pool, method, &data, None).await, Ok(data));
                        slowest = slowest.max(begin.elapsed());
                        done.fetch_add(1, Relaxed);
                        if stop.load(Relaxed) {
                            break;
                        }
                    }
                    slowest
                })
            })
            .collect();
        Load { stop, done, tasks }
    }

    /// Ends the pool; no worker may be left.
    pub async fn end(self) {
        let pids = self.pids();
        assert!(self.pool.stop(Instant::now() + super::PATIENCE).await, "a worker had to be killed");
        assert!(pids.into_iter().all(|pid| !is_alive(pid)));
        assert!(self.pool.workers().is_empty());
    }
}

/// Callers at work.
pub struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    tasks: Vec<tokio::task::JoinHandle<Duration>>,
}

impl Load {
    /// How many requests were answered.
    pub fn done(&self) -> usize {
        self.done.load(Relaxed)
    }

    /// Waits for this many more answers.
    pub async fn goes_on(&self, more: usize) {
        let wanted = self.done() + more;
        eventually("requests are answered", || {
            self.done() >= wanted || self.tasks.iter().any(tokio::task::JoinHandle::is_finished)
        })
        .await;
        assert!(!self.tasks.iter().any(tokio::task::JoinHandle::is_finished), "a caller failed");
    }

    /// Stops the load, and fails if any request did. Returns the time of the slowest.
    pub async fn end(self) -> Duration {
        self.stop.store(true, Relaxed);
        let mut slowest = Duration::ZERO;
        for task in self.tasks {
            slowest = slowest.max(task.await.unwrap());
        }
        slowest
    }
}

async fn rpc(pool: &Pool, method: &str, data: &str, deadline: Option<Instant>) -> Result<String, Error> {
    let request =
        RpcRequest { method: method.into(), data: data.as_bytes().to_vec().into(), ..RpcRequest::default() };
    let body = Bytes::from(request.encode_to_vec());
    let kind = RequestType::of("rpc");
    let request = Request { caller: Caller::NONE, kind, trace: None, context: b"{}", body: &body, deadline };
    let answer = pool.exec(&request, &mut Timings::default()).await?;
    let response = RpcResponse::decode(answer.body.clone()).unwrap();
    Ok(String::from_utf8(response.result.unwrap_or_default().data.to_vec()).unwrap())
}
