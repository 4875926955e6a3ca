//! The threads that start processes.
//!
//! A child dies with the *thread* that forked it, because that is what `PR_SET_PDEATHSIG` watches. Threads of a runtime come and go;
//! these live as long as the pool. A start waits until the kernel has loaded the program, so several run at once.

use std::io;
use std::thread;

use crossbeam::channel::{Sender, unbounded};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::os::process::{self, Spec, Started};

/// The most processes that are started at once; no more than there are cores.
const MAX_THREADS: usize = 4;

/// Starts processes.
#[derive(Debug, Clone)]
pub(crate) struct Spawner {
    jobs: Sender<Job>,
}

type Job = (Spec, oneshot::Sender<io::Result<Started>>);

impl Spawner {
    /// Starts the threads; they end, and with them whatever they started, when the last clone is dropped. Needs a tokio runtime.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub(crate) fn start() -> io::Result<Self> {
        let (jobs, queue) = unbounded::<Job>();
        let threads = thread::available_parallelism().map_or(1, |cores| cores.get().min(MAX_THREADS));
        for _ in 0..threads {
            let (runtime, queue) = (Handle::current(), queue.clone());
            thread::Builder::new().name("spawner".into()).spawn(move || {
                let _entered = runtime.enter();
                for (spec, reply) in queue {
                    // If no task waits any more, the child is killed as it is dropped.
                    let _ = reply.send(process::spawn(&spec));
                }
            })?;
        }
        Ok(Self { jobs })
    }

    /// Starts one process.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) async fn spawn(&self, spec: Spec) -> io::Result<Started> {
        let (reply, child) = oneshot::channel();
        let gone = || io::Error::other("the threads that start workers are gone");
        self.jobs.send((spec, reply)).map_err(|_| gone())?;
        child.await.map_err(|_| gone())?
    }
}
