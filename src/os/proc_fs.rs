//! The little of `/proc` that is needed: who is whose child.

use std::fs;

/// The parent and the group of a process, from `/proc/PID/stat`; `None` when there is no such process.
///
/// Source: proc(5): `pid (comm) state ppid pgrp ...`; `comm` may hold blanks and parentheses, so reading starts behind the last one.
pub(crate) fn parent_and_group(pid: u32) -> Option<(u32, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(1);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Whether `pid` is `ancestor` itself, a descendant of it, or a member of the group that it leads.
///
/// The group counts because a wrapper that has exited leaves its children to init: the chain of parents is broken, the group is not.
pub(crate) fn belongs_to(pid: u32, ancestor: u32) -> bool {
    let mut current = pid;
    // The depth is bounded so that pids that are reused while we walk cannot make a circle.
    for _ in 0..64 {
        if current == ancestor {
            return true;
        }
        match parent_and_group(current) {
            Some((_, group)) if group == ancestor => return true,
            Some((parent, _)) if parent > 1 => current = parent,
            _ => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_belongs_to_itself_and_to_its_parent() {
        let own = std::process::id();
        assert!(belongs_to(own, own));
        let (parent, _) = parent_and_group(own).unwrap();
        assert!(parent <= 1 || belongs_to(own, parent));
    }

    #[test]
    fn a_stranger_belongs_to_nobody() {
        assert!(!belongs_to(1, std::process::id()));
        assert!(!belongs_to(u32::MAX, std::process::id()));
    }
}
