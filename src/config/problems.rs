//! All mistakes and warnings about a configuration, not only the first.

use std::cell::RefCell;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::node::At;
use super::shown;

/// Mistakes, and warnings, to list. More are only counted: a file can have a hundred thousand unknown keys.
const MAX_LISTED: usize = 100;

/// A mistake or warning and its place in the configuration. Its text is safe for a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    at: At,
    key: Option<String>,
    message: String,
}

impl Problem {
    pub(super) fn at(at: &At, key: Option<&str>, message: impl Into<String>) -> Self {
        Self { at: at.clone(), key: key.map(shown::key), message: message.into() }
    }

    /// A problem with a whole file.
    pub(super) fn file(path: &Path, message: impl fmt::Display) -> Self {
        let at = At { file: path.display().to_string().into(), line: 0 };
        Self { at, key: None, message: message.to_string() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            // A flag is named by its key already.
            Some(key) if self.at.flag().is_some_and(|flag| is_within(key, flag)) => write!(f, "-o {key}: ")?,
            Some(key) => write!(f, "{}: {key}: ", self.at)?,
            None => write!(f, "{}: ", self.at)?,
        }
        f.write_str(&self.message)
    }
}

/// Why a configuration cannot be used: its mistakes, and its warnings, which may explain them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    mistakes: List,
    warnings: List,
}

impl Error {
    /// One line per mistake, then one per warning; the same for every command.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let mistakes = self.mistakes.lines("mistakes");
        mistakes.chain(self.warnings.lines("warnings").map(|line| format!("warning: {line}")))
    }
}

impl From<Problem> for Error {
    fn from(mistake: Problem) -> Self {
        Self { mistakes: List { listed: vec![mistake], unlisted: 0 }, warnings: List::default() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, line) in self.lines().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&line)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// Collects mistakes and warnings while a configuration is read.
#[derive(Debug, Default)]
pub(super) struct Problems {
    mistakes: RefCell<List>,
    warnings: RefCell<List>,
}

impl Problems {
    /// Adds a mistake, which makes the configuration unusable.
    pub(super) fn mistake(&self, at: &At, key: Option<&str>, message: impl Into<String>) {
        self.add(Problem::at(at, key, message));
    }

    /// Adds a mistake.
    pub(super) fn add(&self, mistake: Problem) {
        self.mistakes.borrow_mut().add(mistake);
    }

    /// Adds a warning.
    pub(super) fn warn(&self, at: &At, key: Option<&str>, message: impl Into<String>) {
        self.warnings.borrow_mut().add(Problem::at(at, key, message));
    }

    /// Adds a warning about a whole file.
    pub(super) fn warn_of(&self, problem: Problem) {
        self.warnings.borrow_mut().add(problem);
    }

    /// Adds all mistakes and warnings of another collection.
    pub(super) fn append(&self, others: Self) {
        self.mistakes.borrow_mut().append(others.mistakes.into_inner());
        self.warnings.borrow_mut().append(others.warnings.into_inner());
    }

    /// Returns whether there is a mistake in `key`, below it, or in a section around it. Then whatever follows from its value is not
    /// reported.
    pub(super) fn spoil(&self, key: &str) -> bool {
        let mistakes = self.mistakes.borrow();
        let mut keys = mistakes.listed.iter().filter_map(|mistake| mistake.key.as_deref());
        keys.any(|other| is_within(key, other) || is_within(other, key))
    }

    /// Returns the warnings, or the error if there were mistakes. Lines of the file `main` come first.
    pub(super) fn finish(self, main: &Path) -> Result<Vec<Problem>, Error> {
        let (mut mistakes, mut warnings) = (self.mistakes.into_inner(), self.warnings.into_inner());
        let main: Arc<str> = main.display().to_string().into();
        let mut files = vec![main];
        mistakes.sort(&mut files);
        warnings.sort(&mut files);
        if mistakes.listed.is_empty() { Ok(warnings.listed) } else { Err(Error { mistakes, warnings }) }
    }
}

/// Whether the dotted path `inner` is `outer` or below it.
fn is_within(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct List {
    listed: Vec<Problem>,
    unlisted: usize,
}

impl List {
    fn add(&mut self, problem: Problem) {
        if self.listed.contains(&problem) {
            return;
        }
        if self.listed.len() < MAX_LISTED {
            self.listed.push(problem);
        } else {
            self.unlisted += 1;
        }
    }

    fn append(&mut self, others: Self) {
        others.listed.into_iter().for_each(|problem| self.add(problem));
        self.unlisted += others.unlisted;
    }

    /// Sorts by file, in the order in which they were first met, and line.
    fn sort(&mut self, files: &mut Vec<Arc<str>>) {
        self.listed.sort_by_cached_key(|problem| {
            let known = files.iter().position(|file| *file == problem.at.file);
            let file = known.unwrap_or_else(|| {
                files.push(Arc::clone(&problem.at.file));
                files.len() - 1
            });
            (file, problem.at.line)
        });
    }

    fn lines(&self, what: &'static str) -> impl Iterator<Item = String> {
        let more = (self.unlisted > 0).then(|| format!("... and {} more {what}", self.unlisted));
        self.listed.iter().map(ToString::to_string).chain(more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(file: &str, line: usize) -> At {
        At { file: file.into(), line }
    }

    #[test]
    fn lines_come_in_the_order_of_the_file_and_warnings_last() {
        let problems = Problems::default();
        problems.warn(&at("a", 1), Some("x"), "warned");
        problems.mistake(&at("b", 1), None, "other file");
        problems.mistake(&at("a", 7), Some("y"), "late");
        problems.mistake(&at("a", 2), Some("z"), "early");
        problems.mistake(&at("a", 2), Some("z"), "early");
        let error = problems.finish(Path::new("a")).unwrap_err();
        assert_eq!(
            error.lines().collect::<Vec<_>>(),
            ["a:2: z: early", "a:7: y: late", "b:1: other file", "warning: a:1: x: warned"]
        );
    }

    #[test]
    fn more_than_a_hundred_mistakes_are_counted() {
        let problems = Problems::default();
        for line in 1..=250 {
            problems.mistake(&at("a", line), None, "wrong");
        }
        let lines: Vec<_> = problems.finish(Path::new("a")).unwrap_err().lines().collect();
        assert_eq!((lines.len(), lines[100].as_str()), (101, "... and 150 more mistakes"));
    }

    #[test]
    fn a_mistake_spoils_what_is_above_and_below_it() {
        let problems = Problems::default();
        problems.mistake(&at("a", 1), Some("server.command[1]"), "wrong");
        assert!(problems.spoil("server.command") && problems.spoil("server"));
        assert!(problems.spoil("server.command[1]") && problems.spoil("server.command[1].x"));
        assert!(!problems.spoil("server.command[11]") && !problems.spoil("server.comm"));
    }
}
