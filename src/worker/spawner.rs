//! The one thread that starts processes.
//!
//! A child dies with the *thread* that forked it, because that is what `PR_SET_PDEATHSIG` watches. Threads of a runtime come and go;
//! this one lives as long as the pool.

use std::io;
use std::sync::mpsc;

use tokio::process::Child;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::os::process::{self, Spec};

/// Starts processes, one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Spawner {
    jobs: mpsc::Sender<Job>,
}

type Job = (Spec, oneshot::Sender<io::Result<Child>>);

impl Spawner {
    /// Starts the thread; it ends, and with it whatever it started, when the last clone is dropped. Needs a tokio runtime.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub(crate) fn start() -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let runtime = Handle::current();
        std::thread::Builder::new().name("spawner".into()).spawn(move || {
            let _entered = runtime.enter();
            for (spec, reply) in queue {
                // Nobody waits any more: the child is killed as it is dropped.
                let _ = reply.send(process::spawn(&spec));
            }
        })?;
        Ok(Self { jobs })
    }

    /// Starts one process.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) async fn spawn(&self, spec: Spec) -> io::Result<Child> {
        let (reply, child) = oneshot::channel();
        let gone = || io::Error::other("the thread that starts workers is gone");
        self.jobs.send((spec, reply)).map_err(|_| gone())?;
        child.await.map_err(|_| gone())?
    }
}
