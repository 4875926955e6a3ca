//! What only the operating system can tell or do: processes, groups, signals, `/proc`. The only room with `unsafe` code.
//!
//! Everything here is Linux. Each function is small and says which guarantee of the kernel it rests on; no policy lives here.

#![allow(unsafe_code)]

pub(crate) mod family;
pub(crate) mod guard;
pub(crate) mod init;
pub(crate) mod limits;
pub(crate) mod other;
pub(crate) mod proc_fs;
pub(crate) mod process;
pub(crate) mod this_process;
