//! Turns the kernel's events into changes.

use std::collections::BTreeSet;
use std::io;
use std::ops::Bound;
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
    /// In the order of their paths, so that those below a folder follow it.
    folders: BTreeSet<PathBuf>,
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
        let mut watch = Self { patterns, watcher, folders: BTreeSet::new(), events };
        watch.enter_all();
        for root in watch.patterns.roots().filter(|root| !root.is_dir()) {
            warn!(target: "watch", folder = %root.display(), "folder to watch does not exist");
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
                Some(Ok(event)) => changed = self.inspect(&event).or(changed),
                Some(Err(error)) => {
                    warn!(target: "watch", %error, "file watcher failed, changes may be missed");
                }
                // Never, since the watcher holds the sender.
                None => std::future::pending().await,
            }
        }
    }

    /// The file that this event has changed, if it matches.
    fn inspect(&mut self, event: &Event) -> Option<PathBuf> {
        if event.need_rescan() {
            warn!(target: "watch", "file events lost, assuming a change");
            // Folders may have been replaced, too.
            self.leave(Path::new(""));
            self.enter_all();
            return self.patterns.roots().next().map(Path::to_owned);
        }
        if !is_change(event.kind) {
            return None;
        }
        let mut changed = None;
        for path in &event.paths {
            if !self.patterns.concern(path) {
                continue;
            }
            if is_replacement(event.kind) {
                // What was watched under this name is gone, even if there is another folder of that name by now.
                self.leave(path);
            }
            if path.is_dir() {
                changed = self.enter(path).or(changed);
            } else if self.patterns.matches(path) {
                changed = Some(path.clone());
            }
        }
        changed
    }

    /// Watches the roots of the patterns with all below them, and the folders on the way to them.
    fn enter_all(&mut self) {
        for folder in self.patterns.way().map(Path::to_owned).collect::<Vec<_>>() {
            // Where that is impossible, only the replacement of what is in it goes unnoticed.
            if self.watcher.watch(&folder, RecursiveMode::NonRecursive).is_ok() {
                self.folders.insert(folder);
            }
        }
        for root in self.patterns.roots().map(Path::to_owned).collect::<Vec<_>>() {
            if root.is_dir() {
                self.enter(&root);
            }
        }
    }

    /// Stops to watch a folder and those below it.
    fn leave(&mut self, folder: &Path) {
        let from_there = self.folders.range::<Path, _>((Bound::Included(folder), Bound::Unbounded));
        let below = from_there.take_while(|below| below.starts_with(folder));
        for folder in below.cloned().collect::<Vec<_>>() {
            // Mostly the kernel has ended it already.
            let _ = self.watcher.unwatch(&folder);
            self.folders.remove(&folder);
        }
    }

    /// Watches a folder and those below it. Returns a matching file in them, which may be older than the watch.
    fn enter(&mut self, folder: &Path) -> Option<PathBuf> {
        let mut found = None;
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            let matters = self.patterns.reach(&folder) || self.patterns.lead_through(&folder);
            if !matters || !self.folders.insert(folder.clone()) {
                continue;
            }
            if let Err(error) = self.watcher.watch(&folder, RecursiveMode::NonRecursive) {
                warn!(target: "watch", folder = %folder.display(), %error, "cannot watch a folder");
                self.folders.remove(&folder);
            }
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(path),
                    // A link is followed only if a pattern names it.
                    Ok(_) if self.patterns.lead_through(&path) && path.is_dir() => folders.push(path),
                    Ok(_) if self.patterns.matches(&path) => found = Some(path),
                    _ => {}
                }
            }
        }
        found
    }
}

/// Whether what had this name before is not what has it now.
fn is_replacement(kind: EventKind) -> bool {
    matches!(kind, EventKind::Create(_) | EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)))
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
    /// A folder with one file.
    fn release(folder: &Path, name: &str) -> PathBuf {
        let release = folder.join(name);
        fs::create_dir_all(release.join("src/sub")).unwrap();
        fs::write(release.join("src/sub/a.php"), name).unwrap();
        release
    }

    fn start_below(work_dir: &Path) -> Watch {
        Watch::start(Patterns::new(work_dir, &[Glob::new("src/**/*.php").unwrap()]).unwrap()).unwrap()
    }

    /// A change is noticed now, and so is each one after it.
    async fn goes_on(watch: &mut Watch, file: &Path) {
        assert_eq!(next(watch).await, file);
        fs::write(file, "more").unwrap();
        assert_eq!(next(watch).await, file);
    }

    #[tokio::test]
    async fn a_folder_that_takes_the_place_of_a_watched_one_is_watched() {
        let folder = tempfile::tempdir().unwrap();
        let app = release(folder.path(), "app");
        release(folder.path(), "new");
        let (src, file) = (app.join("src"), app.join("src/sub/a.php"));
        let mut watch = start_below(&app);
        fs::rename(&src, app.join("old")).unwrap();
        fs::rename(folder.path().join("new/src"), &src).unwrap();
        goes_on(&mut watch, &file).await;
        fs::remove_dir_all(&src).unwrap();
        release(folder.path(), "app");
        goes_on(&mut watch, &file).await;
    }

    #[tokio::test]
    async fn a_link_to_the_working_directory_that_points_elsewhere_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let current = folder.path().join("current");
        std::os::unix::fs::symlink(release(folder.path(), "1"), &current).unwrap();
        let mut watch = start_below(&current);
        std::os::unix::fs::symlink(release(folder.path(), "2"), folder.path().join("next")).unwrap();
        fs::rename(folder.path().join("next"), &current).unwrap();
        goes_on(&mut watch, &current.join("src/sub/a.php")).await;
    }

    #[tokio::test]
    async fn a_folder_that_does_not_exist_yet_is_watched_from_its_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let app = folder.path().join("app");
        fs::create_dir(&app).unwrap();
        let mut watch = start_below(&app);
        release(folder.path(), "app");
        goes_on(&mut watch, &app.join("src/sub/a.php")).await;
    }

    #[tokio::test]
    async fn after_lost_events_all_folders_are_looked_for_again() {
        let folder = tempfile::tempdir().unwrap();
        let app = release(folder.path(), "app");
        let mut watch = start_below(&app);
        let watched = watch.folders.clone();
        assert!(watched.contains(&app.join("src/sub")), "{watched:?}");
        watch.leave(&app.join("src"));
        let lost = Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan);
        assert_eq!(watch.inspect(&lost), Some(app.join("src")));
        assert_eq!(watch.folders, watched);
    }
}
