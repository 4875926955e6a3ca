//! Why a request got no answer, named after what the caller can do about it.

/// Why a request got no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `max_queue_size` requests wait already. Try later.
    #[error("the queue is full: {limit} requests are already waiting for a worker (pool.max_queue_size)")]
    QueueFull {
        /// `pool.max_queue_size`.
        limit: usize,
    },
    /// All workers stayed busy for `allocate_timeout`. Try later.
    #[error("no worker became free within {waited:?} (pool.allocate_timeout)")]
    Busy {
        /// How long the request waited.
        waited: std::time::Duration,
    },
    /// No worker is ready, and none is about to be. Try later.
    #[error("no worker is running: {reason}")]
    NoWorkers {
        /// Why the last one could not be started.
        reason: String,
    },
    /// The pool is shutting down. Try another instance.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// The pool was removed before a worker got the request: it goes to the pool that answers it now.
    #[error("the pool was removed by a reload")]
    Removed,
    /// The caller's deadline passed before a worker became free.
    #[error("the deadline passed while waiting for a worker")]
    DeadlineExceeded,
    /// The request took longer than `exec_ttl`; its worker is killed.
    #[error("the request took longer than {limit:?} (supervisor.exec_ttl)")]
    ExecTtl {
        /// `supervisor.exec_ttl`.
        limit: std::time::Duration,
    },
    /// The worker used more memory than `max_worker_memory_hard` allows; it is killed.
    #[error("the worker was killed since it used too much memory (supervisor.max_worker_memory_hard)")]
    TooMuchMemory,
    /// Workers that were started for it left without handling it, one after the other.
    #[error("{workers} workers in a row left without handling this request")]
    Refused {
        /// How many.
        workers: usize,
    },
    /// The worker answered with an error of its own; it is well.
    #[error("{message}")]
    Worker {
        /// The worker.
        pid: u32,
        /// Its error message.
        message: String,
    },
    /// The worker wants JSON, and the messages of this type of call have none.
    #[error("calls of the type `{kind}` are unknown, and cannot be answered by a worker with the codec json")]
    UnknownType {
        /// The type.
        kind: String,
    },
    /// The worker wants JSON, and the request is no message of its type.
    #[error("{reason}")]
    InvalidRequest {
        /// What is wrong with it.
        reason: String,
    },
    /// The worker wants JSON, and the request is too large for that, or for what others have at this moment.
    #[error("{reason}")]
    TooLarge {
        /// Which limit it exceeds.
        reason: String,
    },
    /// The worker's answer is not the JSON of its message; the worker is well.
    #[error("{reason}")]
    InvalidAnswer {
        /// The worker.
        pid: u32,
        /// What is wrong with it.
        reason: String,
    },
    /// The handler ended without an answer; the worker is well.
    #[error("the worker finished this request without answering it")]
    NoAnswer {
        /// The worker.
        pid: u32,
    },
    /// The worker streamed its answer, which has to be one message; it is well.
    #[error("the worker streamed its answer, but the call is unary")]
    Streamed {
        /// The worker.
        pid: u32,
    },
    /// The worker that streamed the answer had to leave, and `stream_timeout` has passed. Open the stream anew.
    #[error("the worker of this stream had to leave within {limit:?} (pool.stream_timeout)")]
    StreamTimeout {
        /// `pool.stream_timeout`.
        limit: std::time::Duration,
    },
    /// The worker died before it answered.
    #[error("the worker died before it answered: {how}")]
    WorkerDied {
        /// The worker.
        pid: u32,
        /// Its exit status, or what was seen of its end.
        how: String,
    },
    /// The worker broke the protocol; it is being replaced.
    #[error("the worker broke the protocol: {fault}")]
    Broken {
        /// The worker.
        pid: u32,
        /// What it did.
        fault: String,
    },
}

impl Error {
    /// The worker that failed the request, if it was one.
    pub fn pid(&self) -> Option<u32> {
        match self {
            Self::Worker { pid, .. }
            | Self::InvalidAnswer { pid, .. }
            | Self::NoAnswer { pid }
            | Self::Streamed { pid }
            | Self::WorkerDied { pid, .. }
            | Self::Broken { pid, .. } => Some(*pid),
            _ => None,
        }
    }
}
