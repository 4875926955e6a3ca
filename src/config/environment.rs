//! Variables, for references and for workers.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::expand::{self, Expanded};
use super::node::{At, Node, Value};
use super::problems::{Problem, Problems};
use super::{Sources, dotenv, file};
use crate::secrets;

/// The variables that references may name.
pub(super) struct Environment {
    /// The process's own, then those that files add.
    pub(super) variables: Vec<(OsString, OsString)>,
    by_name: BTreeMap<String, OsString>,
}

/// Why a file of variables cannot be used.
enum Unusable {
    Unread(std::io::Error),
    Wrong(Problem),
}

impl Environment {
    /// The process's own variables, then those of `--dotenv`, then those of `envfile`: the first value of a name wins.
    pub(super) fn read(
        sources: &Sources,
        tree: &Node,
        main: &Path,
        work_dir: &Path,
        problems: &Problems,
    ) -> Self {
        let mut env = Self::new(&sources.env);
        let dotenv = env.by_name.get("DOTENV_PATH").map(PathBuf::from).or_else(|| sources.dotenv.clone());
        if let Some(file) = dotenv.filter(|file| !file.as_os_str().is_empty()) {
            // Relative to the working directory, as in RoadRunner, unless only the current directory has it.
            let there = work_dir.join(&file);
            let here = sources.located(&file);
            let found = if there.exists() || !here.exists() { there } else { here };
            match env.add_file(&file, &found) {
                Ok(()) => {}
                Err(Unusable::Unread(reason)) => problems.add(Problem::file(&file, reason)),
                Err(Unusable::Wrong(mistake)) => problems.add(mistake),
            }
        }
        if let Some(node) = tree.get("envfile") {
            // Relative to the configuration file, as in RoadRunner, whatever the working directory is.
            let folder = main.parent().unwrap_or(work_dir);
            let one = std::slice::from_ref(node);
            let nodes = if matches!(node.value, Value::List(_)) { node.items() } else { one };
            for node in nodes {
                env.add_envfile(node, folder, problems);
            }
        }
        env
    }

    /// Adds the variables of one file. Its name may refer to variables known so far.
    fn add_envfile(&mut self, node: &Node, folder: &Path, problems: &Problems) {
        let Some(text) = node.text() else {
            if !node.is_nothing() {
                problems.mistake(&node.at, Some("envfile"), "expected a file such as .env");
            }
            return;
        };
        let expanded = self.expand(text, &node.at, "envfile", problems);
        let (file, shown) = match &expanded {
            Some(expanded) => (expanded.text.as_str(), expanded.safe().text),
            None => (text, text.to_owned()),
        };
        if file.trim().is_empty() {
            return;
        }
        if let Err(mistake) = self.add_file(Path::new(&shown), &folder.join(file)) {
            match mistake {
                Unusable::Unread(reason) => {
                    let text = format!("cannot read {}: {reason}", secrets::scrub(&shown));
                    problems.mistake(&node.at, Some("envfile"), text);
                }
                Unusable::Wrong(mistake) => problems.add(mistake),
            }
        }
    }

    fn new(own: &[(OsString, OsString)]) -> Self {
        let named = |(name, value): &(OsString, OsString)| Some((name.to_str()?.to_owned(), value.clone()));
        Self { variables: own.to_vec(), by_name: own.iter().filter_map(named).collect() }
    }

    /// Replaces the references in the text of `key`; `None` if there is nothing to replace. A variable may have any bytes, which workers
    /// get, but a setting is text.
    pub(super) fn expand(&self, text: &str, at: &At, key: &str, problems: &Problems) -> Option<Expanded> {
        expand::expand(text, &|name| {
            let value = self.by_name.get(name)?;
            if value.to_str().is_none() {
                problems.mistake(at, Some(key), format!("the value of ${{{name}}} is not UTF-8"));
            }
            Some(value.to_string_lossy().into_owned())
        })
    }

    /// The value of a variable, if it has one that is text.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.by_name.get(name).and_then(|value| value.to_str())
    }

    /// Adds variables that are not set yet.
    fn add_file(&mut self, shown: &Path, path: &Path) -> Result<(), Unusable> {
        let text = file::read(path).map_err(Unusable::Unread)?;
        let entries = dotenv::parse(&text).map_err(|wrong| {
            let at = At { file: shown.display().to_string().into(), line: wrong.line };
            Unusable::Wrong(Problem::at(&at, None, wrong.message))
        })?;
        for (name, value) in entries {
            // Invalid variables are left out, as in RoadRunner.
            let is_variable = !name.is_empty() && !name.contains('\0') && !value.as_bytes().contains(&0);
            if is_variable && !self.by_name.contains_key(&name) {
                self.by_name.insert(name.clone(), value.clone());
                self.variables.push((name.into(), value));
            }
        }
        Ok(())
    }
}
