//! Watching files: when code changes, the workers that run it are to be replaced.
//!
//! ```text
//!  inotify ─events─▶ thread: does it count? ─▶ quiet for 200 ms? ─▶ Watch::changed ─▶ (app) rolling reset
//!                       │
//!                       └── a new folder: watched too, and what is already in it counts
//! ```
//!
//! Invariants:
//! - A burst of changes (a checkout, a deploy, an editor that saves by renaming) is one change, told after the last of it.
//! - Folders that hold what no human wrote (`vendor`, `.git`, caches) are neither watched nor counted, unless a pattern names them.
//! - Nothing that is watched can fail the server: a folder that cannot be watched is told and left out.
//!
//! Deliberately absent: the reset itself, which is the pool's; following of symbolic links.

mod patterns;
mod watcher;

pub use patterns::Patterns;
pub use watcher::Watch;
