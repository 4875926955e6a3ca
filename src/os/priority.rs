//! Which threads go first when there are not enough cores for all.

use std::cell::Cell;

/// By how much a thread for long work is nicer than those that serve calls: it gets a tenth of what they get, and all that they leave.
const NICER: libc::c_int = 10;

thread_local! {
    static STEPPED_BACK: Cell<bool> = const { Cell::new(false) };
}

/// From now on this thread leaves the processor to threads of ordinary priority. It cannot be taken back.
///
/// On Linux the nice value is a thread's own: sched(7).
pub(crate) fn step_back() {
    if !STEPPED_BACK.replace(true) {
        // SAFETY: it takes and gives a number. If the kernel refuses, nothing has changed.
        unsafe { libc::nice(NICER) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nice() -> libc::c_int {
        // SAFETY: it takes and gives numbers; 0 is the calling thread.
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
