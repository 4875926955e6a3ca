//! What the allocator keeps of memory that was freed.

/// An allocation of this many bytes or more is a mapping of its own, which goes back to the system as soon as it is freed. The same is left
/// free at the top of a heap at most. It is glibc's first value of both.
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 128 << 10;

/// Has memory returned to the system when it is freed, also after large messages.
///
/// Left alone, glibc raises both thresholds to what was freed once, up to 32 and 64 MiB: from then on large buffers lie among small ones,
/// and what a flood took is kept for as long as one of the small ones lives. Setting either fixes both: mallopt(3). To be called before
/// there are other threads.
pub(crate) fn return_freed_memory() {
    #[cfg(target_env = "gnu")]
    for parameter in [libc::M_MMAP_THRESHOLD, libc::M_TRIM_THRESHOLD] {
        // SAFETY: it takes two numbers, and refuses those which it does not know.
        unsafe { libc::mallopt(parameter, LARGE) };
    }
}
