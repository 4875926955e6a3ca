//! Patterns of files whose changes count.

use std::path::{Component, Path, PathBuf};

use globset::{Glob, GlobBuilder, GlobMatcher};

/// What `serve --watch` watches if `pool.watch` is empty.
const DEFAULT: [&str; 3] = ["**/*.php", "**/*.py", ".env"];

/// Folders whose files are not edited: dependencies, version control, caches of frameworks and interpreters.
const IGNORED_FOLDERS: [&str; 14] = [
    "vendor",
    "node_modules",
    ".git",
    ".hg",
    ".svn",
    ".idea",
    ".vscode",
    "__pycache__",
    ".venv",
    "venv",
    "runtime",
    "storage",
    "var",
    ".phpunit.cache",
];

/// Patterns of files, relative to the working directory or absolute. `*` and `?` stay within one name, `**` spans folders.
#[derive(Debug)]
pub struct Patterns(Vec<Pattern>);

#[derive(Debug)]
struct Pattern {
    /// The part before the first wildcard: a folder, or a file if there is no wildcard.
    base: PathBuf,
    rest: Option<GlobMatcher>,
    /// The highest folder whose entries may be replaced on the way to the base, as a symlink to a release is.
    top: PathBuf,
}

impl Patterns {
    /// The patterns of `pool.watch`, relative to `work_dir`; files that are usually code, if there are none.
    ///
    /// # Errors
    /// If a pattern is invalid.
    pub fn new(work_dir: &Path, globs: &[Glob]) -> Result<Self, globset::Error> {
        let texts: Vec<&str> = globs.iter().map(Glob::glob).collect();
        let texts = if texts.is_empty() { &DEFAULT[..] } else { &texts };
        texts.iter().map(|text| Pattern::new(work_dir, text)).collect::<Result<_, _>>().map(Self)
    }

    /// Whether a change of this file counts.
    pub(super) fn matches(&self, file: &Path) -> bool {
        !is_temporary(file) && self.0.iter().any(|pattern| pattern.matches(file))
    }

    /// Whether this folder, or one below it, may contain matching files.
    pub(super) fn reach(&self, folder: &Path) -> bool {
        self.0.iter().any(|pattern| pattern.reaches(folder))
    }

    /// Whether a file or folder of this name may matter, whatever it is.
    pub(super) fn concern(&self, path: &Path) -> bool {
        self.0.iter().any(|pattern| pattern.leads_through(path) || path.starts_with(&pattern.base))
    }

    /// Whether this folder is one of the [`roots`](Self::roots), or on the way to one.
    pub(super) fn lead_through(&self, folder: &Path) -> bool {
        self.0.iter().any(|pattern| pattern.leads_through(folder))
    }

    /// The folders that contain all matching files, directly or not.
    pub(super) fn roots(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(Pattern::root)
    }

    /// The folders on the way to the roots. In them, only what leads to a root matters.
    pub(super) fn way(&self) -> impl Iterator<Item = &Path> {
        let above = self.roots().flat_map(|root| root.ancestors().skip(1));
        above.filter(|folder| self.lead_through(folder))
    }
}

impl Pattern {
    fn new(work_dir: &Path, text: &str) -> Result<Self, globset::Error> {
        let is_literal = |name: &&str| !name.contains(['*', '?', '[', '{', '\\']);
        let names = || text.split('/').filter(|name| *name != ".");
        let literal = names().take_while(is_literal).collect::<Vec<_>>().join("/");
        let rest = names().skip_while(is_literal).collect::<Vec<_>>().join("/");
        let begin = if literal.is_empty() && text.starts_with('/') { "/" } else { &literal };
        let rest = if rest.is_empty() {
            None
        } else {
            Some(GlobBuilder::new(&rest).literal_separator(true).build()?.compile_matcher())
        };
        let base = work_dir.join(begin);
        let above = if base.starts_with(work_dir) { work_dir } else { &base };
        let top = above.parent().unwrap_or(above).to_owned();
        Ok(Self { base, rest, top })
    }

    fn root(&self) -> &Path {
        match self.rest {
            Some(_) => &self.base,
            None => self.base.parent().unwrap_or(&self.base),
        }
    }

    fn leads_through(&self, folder: &Path) -> bool {
        self.root().starts_with(folder) && folder.starts_with(&self.top)
    }

    fn matches(&self, file: &Path) -> bool {
        match &self.rest {
            None => file == self.base,
            Some(rest) => {
                file.strip_prefix(&self.base).is_ok_and(|below| !is_ignored(below) && rest.is_match(below))
            }
        }
    }

    fn reaches(&self, folder: &Path) -> bool {
        match self.rest {
            None => folder == self.root(),
            Some(_) => folder.strip_prefix(&self.base).is_ok_and(|below| !is_ignored(below)),
        }
    }
}

/// Whether one of the folders on this path is ignored.
fn is_ignored(path: &Path) -> bool {
    path.components().any(|component| match component {
        Component::Normal(name) => IGNORED_FOLDERS.iter().any(|ignored| name == *ignored),
        _ => false,
    })
}

/// Whether this is a temporary file of an editor: vim, Emacs, JetBrains, GNOME, Kate.
fn is_temporary(file: &Path) -> bool {
    let Some(name) = file.file_name().and_then(|name| name.to_str()) else { return false };
    let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let probe_of_vim = "4913";
    name.ends_with('~')
        || name.starts_with(".#")
        || name.starts_with('#') && name.ends_with('#')
        || name.starts_with(".goutputstream")
        || name.contains("___jb_")
        || name == probe_of_vim
        || matches!(extension, "swp" | "swo" | "swx" | "tmp" | "bak" | "kate-swp")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(texts: &[&str]) -> Patterns {
        let globs: Vec<_> = texts.iter().map(|text| Glob::new(text).unwrap()).collect();
        Patterns::new(Path::new("/srv/app"), &globs).unwrap()
    }

    fn matches(texts: &[&str], file: &str) -> bool {
        patterns(texts).matches(&Path::new("/srv/app").join(file))
    }

    #[test]
    fn one_star_stays_within_a_folder_and_two_span_folders() {
        assert!(matches(&["*.php"], "app.php"));
        assert!(!matches(&["*.php"], "src/app.php"));
        assert!(matches(&["src/**/*.php"], "src/app.php"));
        assert!(matches(&["src/**/*.php"], "src/a/b/app.php"));
        assert!(!matches(&["src/**/*.php"], "lib/app.php"));
        assert!(matches(&["config.json"], "config.json"));
        assert!(matches(&["./src/*.{php,inc}"], "src/a.inc"));
        assert!(matches(&["/etc/app/*.ini"], "/etc/app/a.ini"));
    }

    #[test]
    fn without_patterns_files_that_are_usually_code_match() {
        assert!(matches(&[], "a/b.php") && matches(&[], "x.py") && matches(&[], ".env"));
        assert!(!matches(&[], "a/log.txt"));
    }

    #[test]
    fn dependencies_and_caches_match_only_if_they_are_named() {
        for file in ["vendor/a/b.php", "a/vendor/b.php", ".git/x.php", "runtime/cache/x.php"] {
            assert!(!matches(&["**/*.php"], file), "{file}");
        }
        assert!(matches(&["vendor/acme/**/*.php"], "vendor/acme/src/b.php"));
        assert!(!matches(&["vendor/acme/**/*.php"], "vendor/acme/vendor/b.php"));
        let patterns = patterns(&["**/*.php"]);
        assert!(patterns.reach(Path::new("/srv/app/src")));
        assert!(!patterns.reach(Path::new("/srv/app/node_modules/x")));
        assert!(!patterns.reach(Path::new("/srv")));
    }

    #[test]
    fn temporary_files_of_editors_do_not_match() {
        for file in ["a.php~", ".#a.php", "#a.php#", ".a.php.swp", "4913", "a.php___jb_tmp___", "a.tmp"] {
            assert!(!matches(&["**/*"], file), "{file}");
        }
        assert!(matches(&["**/*"], "a.php"));
    }
}
