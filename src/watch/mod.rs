//! Watching files: when code changes, the workers that run it are replaced.
//!
//! ```text
//!  inotify ─events─▶ Watch: does a pattern match? ─▶ quiet for 200 ms? ─▶ Watch::changed ─▶ (app) rolling reset
//!                      │
//!                      └── a new folder: watched too, and files already in it count
//! ```
//!
//! Invariants:
//! - A burst of changes (a checkout, a deploy, an editor that saves by renaming) is one change, reported after the last of them.
//! - Folders of generated or third-party files (`vendor`, `.git`, caches) are neither watched nor matched, unless a pattern names them.
//! - What takes the place of a watched folder is watched, also behind a link on the way to it, from the working directory's parent on.
//! - Watching never fails the server: a folder that cannot be watched is logged and left out.
//!
//! Deliberately absent: the reset itself, which is up to the pool, and following symbolic links.

mod patterns;
mod watcher;

pub use patterns::Patterns;
pub use watcher::Watch;
