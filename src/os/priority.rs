//! Which threads run first when there are not enough cores for all.

use std::cell::Cell;

/// How much nicer a thread for long work is than those that serve calls: it gets a tenth of their share, and what they leave idle.
const NICER: libc::c_int = 10;

thread_local! {
    static STEPPED_BACK: Cell<bool> = const { Cell::new(false) };
}

/// Lets threads of ordinary priority run before this one from now on. It cannot be undone.
///
/// On Linux each thread has its own nice value: sched(7).
pub(crate) fn step_back() {
    if !STEPPED_BACK.replace(true) {
        // SAFETY: takes and returns a number. If the kernel refuses, nothing changes.
        unsafe { libc::nice(NICER) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nice() -> libc::c_int {
        // SAFETY: takes and returns numbers; 0 is the calling thread.
        unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
    }

    #[test]
    fn a_thread_steps_back_once_and_alone() {
        let before = nice();
        let stepped_back = std::thread::spawn(|| {
            step_back();
            step_back();
            nice()
        });
        assert_eq!(stepped_back.join().unwrap(), (before + NICER).min(19));
        assert_eq!(nice(), before);
    }
}
