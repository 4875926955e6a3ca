//! Which threads run first when there are not enough cores for all.

use std::cell::Cell;

/// How much nicer a thread for long work is than those that serve calls: it gets a third of the share of each of them, and what they leave
/// idle. With 10 it would be a tenth, and beside ten busy threads on two cores a fiftieth of a core: too little to ever be done.
const NICER: libc::c_int = 5;

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
