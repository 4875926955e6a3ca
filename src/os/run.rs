//! The mark of this run: an entry in the environment of each child, which all its descendants inherit.
//!
//! It tells which run of the server a process belongs to, and from which of its children it descends, whatever has become of its session,
//! its group and its parents. Only a process that was started with a cleared environment has lost it.

use std::sync::OnceLock;

use super::{proc_fs, random};

/// The variable that holds the mark: `<run>:<number of the child>`.
pub(crate) const VARIABLE: &str = "CAUSEWAY_FAMILY";

static ID: OnceLock<String> = OnceLock::new();

/// Gives this run a random id. Call it once, before the guard is started.
pub(crate) fn begin() {
    let _ = ID.set(random::text());
}

/// The id of this run; `None` in a process that is no server, such as a test.
pub(super) fn id() -> Option<&'static str> {
    ID.get().map(String::as_str)
}

/// The mark of the child with this number, if this run has an id.
pub(super) fn mark(child: u64) -> Option<String> {
    id().map(|run| format!("{run}:{child}"))
}

/// The number of the child from which the process `pid` descends, if it has a mark of this run.
pub(super) fn child_of(pid: u32) -> Option<u64> {
    find(pid, id()?)?.parse().ok()
}

/// Whether the process `pid` has a mark of `run`.
pub(super) fn is_marked(pid: u32, run: &str) -> bool {
    find(pid, run).is_some()
}

/// What follows `<VARIABLE>=<run>:` in the environment of the process `pid`.
fn find(pid: u32, run: &str) -> Option<String> {
    let prefix = format!("{VARIABLE}={run}:");
    let environment = proc_fs::environment(pid)?;
    let child =
        environment.split(|byte| *byte == 0).find_map(|entry| entry.strip_prefix(prefix.as_bytes()))?;
    Some(String::from_utf8_lossy(child).into_owned())
}
