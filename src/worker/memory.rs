//! What workers use: memory and CPU of whole process groups, since behind a wrapper (`sh -c`) the worker is not the process that was
//! started, and what it starts counts as well.

use std::collections::HashMap;
use std::time::Duration;

use crate::os::proc_fs;

/// What the processes of a group use together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Resident memory in bytes.
    pub resident: u64,
    /// CPU time used by those that live.
    pub cpu: Duration,
}

/// Returns what each process group uses, by the group's number. One pass over `/proc`
/// for all of them; it blocks for as long as the kernel takes to answer, which is no business of an async thread.
pub fn usage_by_group() -> HashMap<u32, Usage> {
    let mut groups: HashMap<u32, Usage> = HashMap::new();
    for process in proc_fs::processes() {
        let usage = groups.entry(process.group).or_default();
        usage.resident = usage.resident.saturating_add(process.resident);
        usage.cpu = usage.cpu.saturating_add(process.cpu);
    }
    groups
}
