//! The messages between the core and the actor: events and effects.

use std::fmt;
use std::time::Duration;

use super::growth::Scaling;

/// A worker's number in its pool; never used twice.
pub(in crate::pool) type WorkerId = u64;

/// Which recipe workers are started from: a reset makes the next one.
pub(in crate::pool) type Generation = u64;

/// Why a worker leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::pool) enum Reason {
    /// It asked to be replaced.
    Requested,
    /// It broke the protocol or closed its relay: it cannot be talked to any more.
    Faulty,
    /// It answered under numbers that no request had.
    Misnumbered,
    /// Its requests have used up their numbers.
    Numbers,
    /// It went on for too long with a request that no caller waits for.
    Abandoned,
    /// Its request took longer than `exec_ttl`.
    ExecTtl,
    /// It has had as many requests as it may.
    MaxJobs,
    /// It has lived for as long as it may.
    Ttl,
    /// It has been idle for as long as it may.
    IdleTtl,
    /// It uses more memory than it may.
    MaxMemory,
    /// It uses so much more memory that it is killed.
    MaxMemoryHard,
    /// A reset replaces it.
    Reset,
    /// There is more workers than configured.
    Surplus,
    /// Its pool was removed by a reload.
    Removed,
    /// It was added for load that has passed.
    Unneeded,
    /// The pool shuts down.
    Shutdown,
}

impl Reason {
    /// Whether the worker is killed, and not asked to stop.
    pub(in crate::pool) fn is_hard(self) -> bool {
        matches!(self, Self::Faulty | Self::Abandoned | Self::ExecTtl | Self::MaxMemoryHard)
    }

    /// One word for metrics.
    pub(in crate::pool) fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Faulty => "faulty",
            Self::Misnumbered => "misnumbered",
            Self::Numbers => "numbers",
            Self::Abandoned => "abandoned",
            Self::ExecTtl => "exec_ttl",
            Self::MaxJobs => "max_jobs",
            Self::Ttl => "ttl",
            Self::IdleTtl => "idle_ttl",
            Self::MaxMemory => "max_worker_memory",
            Self::MaxMemoryHard => "max_worker_memory_hard",
            Self::Reset => "reset",
            Self::Surplus => "surplus",
            Self::Removed => "removed",
            Self::Unneeded => "unneeded",
            Self::Shutdown => "shutdown",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requested => "requested by the worker",
            Self::Faulty => "relay closed or protocol broken",
            Self::Misnumbered => "answered unknown requests, or one twice",
            Self::Numbers => "numbers of requests used up",
            Self::Abandoned => "its caller has gone and it did not finish (pool.abandon_ttl)",
            Self::ExecTtl => "request took too long (supervisor.exec_ttl)",
            Self::MaxJobs => "request limit reached (pool.max_jobs)",
            Self::Ttl => "age limit reached (supervisor.ttl)",
            Self::IdleTtl => "idle limit reached (supervisor.idle_ttl)",
            Self::MaxMemory => "memory limit exceeded (supervisor.max_worker_memory)",
            Self::MaxMemoryHard => "memory limit exceeded by far (supervisor.max_worker_memory_hard)",
            Self::Reset => "reset",
            Self::Surplus => "more workers than configured",
            Self::Removed => "its pool was removed",
            Self::Unneeded => "added for load that has passed",
            Self::Shutdown => "shutdown",
        })
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::pool) enum Event {
    /// The pool starts.
    Start,
    /// The pool starts, and is not waited for: it tries again if its first workers do not become ready.
    StartOptional,
    /// A worker is ready.
    Booted(WorkerId),
    /// A worker did not become ready; its process is gone.
    BootFailed(WorkerId, String),
    /// A worker has to leave, now.
    Retire(WorkerId, Reason),
    /// A worker is to be replaced: it leaves when its successor is ready.
    Due(WorkerId, Reason),
    /// A worker will soon have had all its requests: its successor has to be ready by then.
    NearlyExhausted(WorkerId),
    /// A worker's process is gone; `useful` says whether it ever had a request, or lived for long.
    Exited { id: WorkerId, useful: bool, how: String },
    /// A worker goes on with a request that no caller waits for any more.
    Abandoned(WorkerId),
    /// Such a worker is done with it.
    CameBack(WorkerId),
    /// This number of requests waits for a worker; `now` is measured from any one moment.
    Waiting { requests: usize, now: Duration },
    /// A worker was idle for so long that the pool can do without one.
    Unneeded(WorkerId),
    /// A request wants a worker of its own.
    OneShot,
    /// One more worker is wanted.
    Add,
    /// One less worker is wanted.
    Remove,
    /// This number of workers is wanted, if it has changed, and as many more as this allows.
    Configured { target: Option<usize>, scaling: Option<Scaling> },
    /// All workers are to be replaced.
    Reset,
    /// The reset has taken too long.
    ResetTimeout,
    /// The pause is over.
    PauseOver,
    /// It has so many requests left, and gets so few, that it needs no successor yet.
    FarFromExhausted(WorkerId),
    /// Standbys have waited for another while.
    StandbysWaited,
    /// The pool is removed: its workers finish what they have in hand, however long that takes.
    Drain,
    /// The pool shuts down.
    Shutdown,
}

/// What is to be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::pool) enum Effect {
    /// Start a worker.
    Spawn(WorkerId),
    /// Start a worker for the request that asked for one of its own.
    SpawnOneShot(WorkerId),
    /// Lend a worker to requests from now on.
    Lend(WorkerId),
    /// Let a worker leave after the request in hand, if any.
    Retire(WorkerId, Reason),
    /// Kill a worker.
    Kill(WorkerId, Reason),
    /// Wake the core with [`Event::PauseOver`] after this time.
    Pause(Duration),
    /// Wake the core with [`Event::Waiting`] after this time, if requests still wait.
    LookAgain(Duration),
    /// Wake the core with [`Event::StandbysWaited`] after a while.
    WatchStandbys,
    /// Answer with [`Event::FarFromExhausted`], or [`Event::Due`] if few requests are left: the worker's successor has waited for long.
    Reconsider(WorkerId),
    /// Requests can, could soon, or cannot be served.
    Announce(Availability),
    /// The first boot is over, or failed with a reason.
    FirstBoot(Result<(), String>),
    /// The reset is over.
    ResetOver(ResetEnd),
    /// No worker is left, and none will be started.
    Ended,
}

/// Whether a request finds a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::pool) enum Availability {
    /// Workers are ready, or about to be: a request may wait.
    Serving,
    /// No worker is ready or about to be: the last one had all its requests, and there is no successor yet. A request may wait.
    Exhausted,
    /// No worker is ready or about to be.
    Down(String),
    /// The pool shuts down.
    Closed,
}

impl Availability {
    /// Whether requests are turned away.
    pub(in crate::pool) fn turns_away(&self) -> bool {
        matches!(self, Self::Down(_) | Self::Closed)
    }
}

/// How a reset ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::pool) enum ResetEnd {
    /// No worker of an older generation serves.
    Done,
    /// A new worker did not become ready, for this reason; the old ones stay.
    BootFailed(String),
    /// It took too long; old workers that were not yet replaced stay.
    TimedOut,
    /// The pool shuts down.
    Closed,
}
