//! What workers use: memory and CPU of whole process groups, since behind a wrapper (`sh -c`) the worker is not the process that was
//! started. What it starts counts as well, also in groups or sessions of their own.

use std::collections::HashMap;
use std::time::Duration;

use crate::os::proc_fs::{self, Process};

/// Ancestors that are looked at. The bound is needed because the processes are not all read at the same moment: with pids that are reused
/// meanwhile, their parents could make a circle.
const ANCESTORS: usize = 64;

/// What the processes of a group and their descendants use together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Resident memory in bytes.
    pub resident: u64,
    /// CPU time used by those that live.
    pub cpu: Duration,
}

/// Returns what each process group uses, by the group's number. One pass over `/proc`
/// for all of them; it blocks for as long as the kernel takes to answer, so not for async threads.
pub fn usage_by_group() -> HashMap<u32, Usage> {
    summed(&proc_fs::processes())
}

fn summed(processes: &[Process]) -> HashMap<u32, Usage> {
    let by_pid: HashMap<u32, &Process> = processes.iter().map(|process| (process.pid, process)).collect();
    let mut groups: HashMap<u32, Usage> = HashMap::new();
    for process in processes {
        let ancestors = std::iter::successors(Some(process), |child| by_pid.get(&child.parent).copied());
        let mut counted = Vec::new();
        for group in ancestors.take(ANCESTORS).map(|ancestor| ancestor.group) {
            if !counted.contains(&group) {
                counted.push(group);
                let usage = groups.entry(group).or_default();
                usage.resident = usage.resident.saturating_add(process.resident);
                usage.cpu = usage.cpu.saturating_add(process.cpu);
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, parent: u32, group: u32, resident: u64) -> Process {
        Process { pid, parent, group, resident, cpu: Duration::from_secs(resident) }
    }

    #[test]
    fn a_group_uses_what_its_descendants_use_in_whatever_group_they_are() {
        let processes = [
            process(10, 1, 10, 1),
            process(11, 10, 10, 2),
            // With a session of its own, and a child in that one.
            process(12, 11, 12, 4),
            process(13, 12, 12, 8),
            // A neighbour, and two that seem to be each other's parents.
            process(20, 1, 20, 16),
            process(30, 31, 30, 32),
            process(31, 30, 30, 64),
        ];
        let groups = summed(&processes);
        let resident = |group| groups[&group].resident;
        assert_eq!([10, 12, 20, 30].map(resident), [15, 12, 16, 96]);
        assert_eq!(groups[&10].cpu, Duration::from_secs(15));
    }
}
