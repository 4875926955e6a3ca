//! What only the operating system can tell or do: processes, groups, signals, `/proc`. The only room with `unsafe` code.
//!
//! Everything here is Linux. Each function is small and says which guarantee of the kernel it rests on; no policy lives here.

#![allow(unsafe_code)]

pub(crate) mod allocator;
pub(crate) mod cgroup;
pub(crate) mod family;
pub(crate) mod guard;
pub(crate) mod init;
pub(crate) mod limits;
pub(crate) mod other;
pub(crate) mod peer;
pub(crate) mod priority;
pub(crate) mod proc_fs;
pub(crate) mod process;
pub(crate) mod this_process;

/// 128 random bits as 32 characters; from the kernel, and when that has none yet, it is waited for.
pub(crate) fn random_text() -> String {
    let mut bytes = [0_u8; 16];
    // SAFETY: the buffer is valid for its length, and so few bytes come at once or not at all.
    while unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) } != 16 {}
    format!("{:032x}", u128::from_ne_bytes(bytes))
}
