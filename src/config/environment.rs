//! The variables that references are replaced from, and that workers inherit.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::node::{At, Node};
use super::problems::{Problem, Problems};
use super::{Sources, dotenv};

/// The variables that references are replaced from.
pub(super) struct Environment {
    /// The process's own, then what files add.
    pub(super) variables: Vec<(OsString, OsString)>,
    by_name: BTreeMap<String, String>,
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
        let dotenv = env.get("DOTENV_PATH").map(PathBuf::from).or_else(|| sources.dotenv.clone());
        if let Some(file) = dotenv.filter(|file| !file.as_os_str().is_empty()) {
            // It is taken from the working directory, as in RoadRunner, unless only the current folder has it.
            let there = work_dir.join(&file);
            let found = if there.exists() || !file.exists() { there } else { file.clone() };
            env.add_file(&file, &found).unwrap_or_else(|mistake| problems.add(mistake));
        }
        if let Some(file) = tree.get("envfile").and_then(Node::text).filter(|file| !file.is_empty()) {
            // RoadRunner looks beside the configuration, wherever the working directory is.
            let found = main.parent().unwrap_or(work_dir).join(file);
            env.add_file(Path::new(file), &found).unwrap_or_else(|mistake| problems.add(mistake));
        }
        env
    }

    fn new(own: &[(OsString, OsString)]) -> Self {
        let text = |(name, value): &(OsString, OsString)| {
            Some((name.to_str()?.to_owned(), value.to_string_lossy().into_owned()))
        };
        Self { variables: own.to_vec(), by_name: own.iter().filter_map(text).collect() }
    }

    pub(super) fn get(&self, name: &str) -> Option<&String> {
        self.by_name.get(name)
    }

    /// Adds what is not set yet: the process's own variables win.
    fn add_file(&mut self, shown: &Path, path: &Path) -> Result<(), Problem> {
        let text = std::fs::read(path).map_err(|error| Problem::file(shown, error))?;
        let entries = dotenv::parse(&text).map_err(|wrong| {
            let at = At { file: shown.display().to_string().into(), line: wrong.line };
            Problem::at(&at, None, wrong.message)
        })?;
        for (name, value) in entries {
            // What cannot be a variable of a process is left out, as in RoadRunner.
            let is_variable = !name.is_empty() && !name.contains('\0') && !value.contains('\0');
            if is_variable && !self.by_name.contains_key(&name) {
                self.variables.push(((&name).into(), (&value).into()));
                self.by_name.insert(name, value);
            }
        }
        Ok(())
    }
}
