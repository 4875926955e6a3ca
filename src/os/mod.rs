//! Everything that needs the operating system: processes, groups, signals, cgroups, `/proc`. The only module with `unsafe` code.
//!
//! Everything here is Linux. Each function is small and names the guarantee of the kernel that it relies on; policy lives elsewhere.
//!
//! Nothing that the server starts outlives it. Each of these files builds on those above it:
//!
//! ```text
//!  run              the mark of the run, in the environment of everything it starts
//!  foreign_process  a process that is no child of ours, safe from reused pids
//!  cgroup           the cgroup of the run, which nothing leaves
//!  guard_line       the socket over which the guard learns what to kill
//!  children         what was started and not yet waited for; the guard has the same list
//!  child            a child process that is waited for
//!  vfork            starts a program without a copy of the server's memory
//!  process          starts a child: marked, listed, with a parent-death signal
//!  guard            kills all of it when the server is gone
//!  family           kills what a dead worker has left behind, and reaps orphans
//!  successor        starts a server that outlives this one, and so escapes all of the above
//! ```

#![allow(unsafe_code)]

pub(crate) mod allocator;
pub(crate) mod cgroup;
pub(crate) mod channel;
mod child;
pub(crate) mod children;
pub(crate) mod clock;
pub(crate) mod descriptors;
pub(crate) mod family;
pub(crate) mod foreign_process;
pub(crate) mod guard;
mod guard_line;
pub(crate) mod init;
pub(crate) mod limits;
pub(crate) mod peer;
pub(crate) mod pipe;
pub(crate) mod priority;
pub(crate) mod proc_fs;
pub(crate) mod process;
pub(crate) mod random;
pub(crate) mod run;
pub(crate) mod successor;
pub(crate) mod this_process;
mod vfork;
