//! Writes files, all of them or none.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// A file of a project.
#[derive(Debug)]
pub(super) struct File {
    /// Its path in the project.
    pub(super) path: &'static str,
    pub(super) text: String,
}

impl File {
    pub(super) fn new(path: &'static str, text: impl Into<String>) -> Self {
        Self { path, text: text.into() }
    }

    /// Secrets are for the owner only, and one file is a program.
    fn mode(&self) -> u32 {
        match self.path.rsplit('/').next() {
            Some(".env") => 0o600,
            Some("manage.py") => 0o755,
            _ => 0o644,
        }
    }
}

/// Writes all of them below `dir`. If one cannot be written, those that were written are removed again.
///
/// # Errors
/// If a file exists already, or cannot be written.
pub(super) fn write(dir: &Path, files: &[File]) -> anyhow::Result<()> {
    let exists = |file: &&File| fs::symlink_metadata(dir.join(file.path)).is_ok();
    let existing: Vec<_> = files.iter().filter(exists).map(|file| file.path).collect();
    if !existing.is_empty() {
        bail!("nothing is written, because these files exist in {}: {}", dir.display(), existing.join(", "));
    }
    let mut made = Made::default();
    for file in files {
        let path = dir.join(file.path);
        made.write(&path, file).with_context(|| format!("cannot write {}", path.display()))?;
    }
    made.keep();
    Ok(())
}

/// What was made so far; removed when it is dropped.
#[derive(Default)]
struct Made {
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

impl Made {
    fn write(&mut self, path: &Path, file: &File) -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            self.create_folder(folder)?;
        }
        let mut open = OpenOptions::new().write(true).create_new(true).mode(file.mode()).open(path)?;
        self.files.push(path.to_owned());
        open.write_all(file.text.as_bytes())
    }

    /// Creates a folder and those that it is in.
    fn create_folder(&mut self, folder: &Path) -> std::io::Result<()> {
        if folder.as_os_str().is_empty() || folder.is_dir() {
            return Ok(());
        }
        if let Some(parent) = folder.parent() {
            self.create_folder(parent)?;
        }
        DirBuilder::new().create(folder)?;
        self.folders.push(folder.to_owned());
        Ok(())
    }

    fn keep(mut self) {
        self.files.clear();
        self.folders.clear();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for file in &self.files {
            let _ = fs::remove_file(file);
        }
        for folder in self.folders.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn files_are_written_with_their_modes() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("new/project");
        write(&dir, &[File::new("a/.env", "S=1\n"), File::new("b", "text")]).unwrap();
        let mode = fs::metadata(dir.join("a/.env")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_to_string(dir.join("b")).unwrap(), "text");
    }

    #[test]
    fn nothing_is_written_if_a_file_exists() {
        let folder = tempfile::tempdir().unwrap();
        // A link that leads nowhere is in the way as well.
        std::os::unix::fs::symlink("nowhere", folder.path().join("b")).unwrap();
        let error = write(folder.path(), &[File::new("a", ""), File::new("b", "")]).unwrap_err();
        assert!(error.to_string().ends_with(": b"), "{error}");
        assert!(!folder.path().join("a").exists());
    }

    #[test]
    fn what_was_written_before_a_failure_is_removed_again() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let dir = folder.path();
        let error = write(dir, &[File::new("new/a", ""), File::new("file/b", "")]).unwrap_err();
        assert!(error.to_string().starts_with("cannot write"), "{error}");
        assert!(!dir.join("new").exists() && dir.join("file").exists());
    }
}
