//! Turns the kernel's events into changes.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::Patterns;

/// A change is reported when nothing more has changed for this time.
const QUIET: Duration = Duration::from_millis(200);

/// A change is reported after this time even if changes go on.
const PATIENCE: Duration = Duration::from_secs(2);

/// Watches the files that match some patterns.
#[derive(Debug)]
pub struct Watch {
    patterns: Patterns,
    watcher: RecommendedWatcher,
    folders: HashSet<PathBuf>,
    events: mpsc::UnboundedReceiver<notify::Result<Event>>,
}

impl Watch {
    /// Starts to watch: changes from now on are reported.
    ///
    /// # Errors
    /// If no inotify instance can be created.
    pub fn start(patterns: Patterns) -> io::Result<Self> {
        let (sender, events) = mpsc::unbounded_channel();
        let watcher =
            notify::recommended_watcher(move |event| drop(sender.send(event))).map_err(io::Error::other)?;
        let mut watch = Self { patterns, watcher, folders: HashSet::new(), events };
        let roots: Vec<_> = watch.patterns.roots().map(Path::to_owned).collect();
        for root in roots {
            if root.is_dir() {
                watch.enter(&root);
            } else {
                warn!(target: "watch", folder = %root.display(), error = "not found", "cannot watch folder");
            }
        }
        Ok(watch)
    }

    /// Resolves to one of the changed files, once something has changed and the change is over.
    pub async fn changed(&mut self) -> PathBuf {
        let mut changed = None;
        let mut patience = None;
        loop {
            let quiet = changed.as_ref().map(|_| {
                let patience = *patience.get_or_insert_with(|| Instant::now() + PATIENCE);
                patience.min(Instant::now() + QUIET)
            });
            let event = match quiet {
                None => self.events.recv().await,
                Some(quiet) => match timeout_at(quiet, self.events.recv()).await {
                    Ok(event) => event,
                    Err(_) => return changed.unwrap_or_default(),
                },
            };
            match event {
                Some(Ok(event)) => changed = self.inspect(event).or(changed),
                Some(Err(error)) => {
                    warn!(target: "watch", %error, "file watcher failed, changes may be missed");
                }
                // Never, since the watcher holds the sender.
                None => std::future::pending().await,
            }
        }
    }

    /// The file that this event has changed, if it matches.
    fn inspect(&mut self, event: Event) -> Option<PathBuf> {
        if event.need_rescan() {
            warn!(target: "watch", "file events lost, assuming a change");
            return self.patterns.roots().next().map(Path::to_owned);
        }
        if !is_change(event.kind) {
            return None;
        }
        let mut changed = None;
        for path in event.paths {
            if event.kind.is_remove() {
                // If there is a folder again, it is another one.
                self.folders.remove(&path);
            }
            if path.is_dir() {
                changed = self.enter(&path).or(changed);
            } else {
                // If it was a folder, it is gone, and its watch with it.
                self.folders.remove(&path);
                changed = Some(path).filter(|path| self.patterns.matches(path)).or(changed);
            }
        }
        changed
    }

    /// Watches a folder and those below it. Returns a matching file in them, which may be older than the watch.
    fn enter(&mut self, folder: &Path) -> Option<PathBuf> {
        let mut found = None;
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            if !self.patterns.reach(&folder) || !self.folders.insert(folder.clone()) {
                continue;
            }
            if let Err(error) = self.watcher.watch(&folder, RecursiveMode::NonRecursive) {
                warn!(target: "watch", folder = %folder.display(), %error, "cannot watch folder");
                self.folders.remove(&folder);
            }
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                    Ok(_) if self.patterns.matches(&entry.path()) => found = Some(entry.path()),
                    _ => {}
                }
            }
        }
        found
    }
}

/// Reading is no change, nor are new permissions or another owner. A file that was opened for writing and closed counts even if it was only
/// touched, as some do to trigger a reset.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Create(_) | EventKind::Remove(_) => true,
        EventKind::Modify(kind) => !matches!(kind, ModifyKind::Metadata(_)),
        EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
        EventKind::Any | EventKind::Other => false,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use globset::Glob;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    fn start(folder: &Path) -> Watch {
        Watch::start(Patterns::new(folder, &[Glob::new("**/*.php").unwrap()]).unwrap()).unwrap()
    }

    async fn next(watch: &mut Watch) -> PathBuf {
        tokio::time::timeout(LONG, watch.changed()).await.expect("a change is noticed")
    }

    /// The changes before that of `file`. One change may be reported in parts if the machine is busy.
    async fn before(watch: &mut Watch, file: &Path) -> Vec<PathBuf> {
        let mut others = Vec::new();
        loop {
            match next(watch).await {
                changed if changed == file => return others,
                other => others.push(other),
            }
        }
    }

    #[tokio::test]
    async fn files_that_are_written_renamed_or_removed_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.php");
        fs::write(&file, "1").unwrap();
        let mut watch = start(folder.path());
        fs::write(&file, "2").unwrap();
        assert_eq!(next(&mut watch).await, file);
        fs::write(folder.path().join("new"), "3").unwrap();
        fs::rename(folder.path().join("new"), &file).unwrap();
        assert_eq!(next(&mut watch).await, file);
        fs::remove_file(&file).unwrap();
        assert_eq!(next(&mut watch).await, file);
    }

    #[tokio::test]
    async fn a_burst_is_one_change_and_files_that_do_not_match_are_none() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("vendor")).unwrap();
        let mut watch = start(folder.path());
        for n in 0..50 {
            fs::write(folder.path().join(format!("{n}.php")), "").unwrap();
        }
        next(&mut watch).await;
        for ignored in ["vendor/x.php", "x.log"] {
            fs::write(folder.path().join(ignored), "").unwrap();
        }
        fs::read(folder.path().join("1.php")).unwrap();
        let last = folder.path().join("last.php");
        fs::write(&last, "").unwrap();
        let others = before(&mut watch, &last).await;
        assert!(others.len() < 10, "{others:?}");
        assert!(others.iter().all(|file| file.parent() == Some(folder.path())), "{others:?}");
        assert!(!others.contains(&folder.path().join("x.log")), "{others:?}");
    }

    #[tokio::test]
    async fn a_folder_that_was_removed_and_made_again_is_watched() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a");
        fs::create_dir(&inner).unwrap();
        fs::write(inner.join("x.php"), "").unwrap();
        let mut watch = start(folder.path());
        fs::remove_dir_all(&inner).unwrap();
        fs::create_dir(&inner).unwrap();
        assert_eq!(next(&mut watch).await, inner.join("x.php"));
        fs::write(inner.join("y.php"), "").unwrap();
        before(&mut watch, &inner.join("y.php")).await;
    }

    #[tokio::test]
    async fn files_in_a_new_folder_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = start(folder.path());
        let deep = folder.path().join("a/b/c");
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("x.php"), "").unwrap();
        assert_eq!(next(&mut watch).await, deep.join("x.php"));
        fs::remove_dir_all(folder.path().join("a")).unwrap();
        assert_eq!(next(&mut watch).await, deep.join("x.php"));
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("y.php"), "").unwrap();
        before(&mut watch, &deep.join("y.php")).await;
    }
}
