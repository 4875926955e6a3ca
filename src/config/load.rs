//! Where the configuration comes from, and in which order its sources are laid over each other.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::node::{At, Node, Value};
use super::sections::{Centrifuge, Endure, OTHER_KEYS, OTHER_PLUGINS, SERVED};
use super::{Config, Error, Warning, expand, shown, typed, yaml};
use crate::os::process::Identity;

/// What the command line and the environment say about the configuration.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// `-c`: the file.
    pub path: PathBuf,
    /// `-w`: the working directory; the file's own unless set.
    pub work_dir: Option<PathBuf>,
    /// `--dotenv`; the variable `DOTENV_PATH` beats it.
    pub dotenv: Option<PathBuf>,
    /// `-o key=value`, in order.
    pub overrides: Vec<String>,
    /// The process's own variables.
    pub env: Vec<(OsString, OsString)>,
}

/// A configuration that can be used.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What it says.
    pub config: Config,
    /// All of it as JSON, those sections included that are not served; without secrets.
    pub shown: String,
    /// What is odd about it.
    pub warnings: Vec<Warning>,
    /// Where relative paths start.
    pub work_dir: PathBuf,
    /// The environment for workers: that of the process, then what the dotenv files add.
    pub env: Vec<(OsString, OsString)>,
}

/// Reads and checks everything.
///
/// # Errors
/// Names the file, the line, the key and what is expected there.
pub fn load(sources: &Sources) -> Result<Loaded, Error> {
    let Read { tree, version, work_dir, env, warnings } = read(sources)?;
    check_sections(&tree, &warnings);
    // A key that is missing may stand there under a wrong name.
    let config =
        build(&tree, version, &work_dir, &warnings).map_err(|error| error.with(&warnings.borrow()))?;
    let shown = shown::shown(&tree);
    Ok(Loaded { config, shown, warnings: warnings.into_inner(), work_dir, env: env.variables })
}

/// All sources laid over each other, before anybody looks at a section.
pub(super) struct Read {
    pub(super) tree: Node,
    version: String,
    work_dir: PathBuf,
    env: Environment,
    pub(super) warnings: RefCell<Vec<Warning>>,
}

/// Where relative paths start, whatever stands in the file.
pub(super) fn work_dir(sources: &Sources) -> Result<PathBuf, Error> {
    if let Some(dir) = &sources.work_dir {
        return absolute(dir, &sources.env);
    }
    let path = absolute(&sources.path, &sources.env)?;
    Ok(path.parent().unwrap_or(Path::new("/")).to_owned())
}

pub(super) fn read(sources: &Sources) -> Result<Read, Error> {
    let path = absolute(&sources.path, &sources.env)?;
    let work_dir = work_dir(sources)?;
    let mut tree = read_file(&sources.path, &path)?;
    if !work_dir.is_dir() {
        return Err(Error::file(&work_dir, "the working directory does not exist"));
    }
    let mut env = Environment::new(&sources.env);
    let dotenv = env
        .get("DOTENV_PATH")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
        .or_else(|| sources.dotenv.clone());
    if let Some(file) = dotenv {
        env.add_file(&file)?;
    }
    if let Some(file) = tree.get("envfile").and_then(Node::text) {
        env.add_file(&work_dir.join(file))?;
    }
    let version = version(&tree)?;
    let warnings = RefCell::new(Vec::new());
    include(&mut tree, &work_dir, &version, &env, &warnings)?;
    for text in &sources.overrides {
        set_override(&mut tree, text)?;
    }
    expand_all(&mut tree, &env, &warnings);
    Ok(Read { tree, version, work_dir, env, warnings })
}

/// The path from the root, as a shell would write it: a symlink on the way to the current folder stays one, so that workers started
/// after it has moved on start where it points then.
fn absolute(path: &Path, env: &[(OsString, OsString)]) -> Result<PathBuf, Error> {
    let logical = env.iter().find(|(name, _)| name == "PWD").map(|(_, value)| Path::new(value));
    let same = |folder: &&Path| {
        let identity = |path: &Path| std::fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
        folder.is_absolute() && identity(folder).is_some() && identity(folder) == identity(Path::new("."))
    };
    let path = logical.filter(same).map_or_else(|| path.to_owned(), |folder| folder.join(path));
    std::path::absolute(&path).map_err(|error| Error::file(&path, error))
}

/// The variables that references are replaced from.
struct Environment {
    variables: Vec<(OsString, OsString)>,
    by_name: BTreeMap<String, String>,
}

impl Environment {
    fn new(own: &[(OsString, OsString)]) -> Self {
        let text = |(name, value): &(OsString, OsString)| {
            Some((name.to_str()?.to_owned(), value.to_string_lossy().into_owned()))
        };
        Self { variables: own.to_vec(), by_name: own.iter().filter_map(text).collect() }
    }

    fn get(&self, name: &str) -> Option<&String> {
        self.by_name.get(name)
    }

    /// Adds what is not set yet: the process's own variables win.
    fn add_file(&mut self, path: &Path) -> Result<(), Error> {
        let entries = dotenvy::from_path_iter(path).map_err(|error| Error::file(path, error))?;
        for entry in entries {
            let (name, value) = entry.map_err(|error| Error::file(path, error))?;
            if !self.by_name.contains_key(&name) {
                self.variables.push(((&name).into(), (&value).into()));
                self.by_name.insert(name, value);
            }
        }
        Ok(())
    }
}

fn read_file(shown: &Path, path: &Path) -> Result<Node, Error> {
    let text = std::fs::read_to_string(path).map_err(|error| Error::file(shown, error))?;
    let node = yaml::parse(&shown.display().to_string(), &text)?;
    match node.value {
        Value::Map(_) => Ok(node),
        Value::Null => Ok(Node::empty(node.at)),
        _ => Err(Error::at(&node.at, None, "expected sections such as `server:`".into())),
    }
}

/// The file's version: required, and a string, since 2.10 would be the number 2.1.
fn version(tree: &Node) -> Result<String, Error> {
    let expected = "expected the version of the file's format as a string, such as version: '3'";
    let Some(node) = tree.get("version") else {
        return Err(Error::at(&tree.at, Some("version"), format!("it is missing; {expected}")));
    };
    match &node.value {
        Value::Scalar { text, plain } if !text.is_empty() => {
            if *plain && text.parse::<f64>().is_ok() {
                let text = format!("expected a string, found a number; write version: '{text}'");
                return Err(Error::at(&node.at, Some("version"), text));
            }
            Ok(text.clone())
        }
        _ => Err(Error::at(&node.at, Some("version"), expected.into())),
    }
}

/// Lays the included files over the main one, in order.
fn include(
    tree: &mut Node,
    work_dir: &Path,
    version: &str,
    env: &Environment,
    warnings: &RefCell<Vec<Warning>>,
) -> Result<(), Error> {
    let Some(mut list) = tree.get("include").cloned() else { return Ok(()) };
    expand_all(&mut list, env, warnings);
    let files: Vec<String> = typed::read(&list, "include", warnings)?;
    for file in files {
        let included = read_file(Path::new(&file), &work_dir.join(&file))?;
        let theirs = self::version(&included)?;
        if theirs != version {
            let text = format!("expected the version of the main file, '{version}', found '{theirs}'");
            return Err(Error::at(&included.at, Some("version"), text));
        }
        tree.merge(included);
    }
    Ok(())
}

fn set_override(tree: &mut Node, text: &str) -> Result<(), Error> {
    let at = At { file: format!("-o {text}").into(), line: 0 };
    let Some((key, value)) = text.split_once('=').filter(|(key, _)| !key.trim().is_empty()) else {
        return Err(Error::at(
            &at,
            None,
            "expected key=value, such as -o centrifuge.pool.num_workers=4".into(),
        ));
    };
    let value = value.trim();
    let unquoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    let node = Node { value: Value::Scalar { text: unquoted.to_owned(), plain: true }, at };
    tree.set(&key.trim().to_lowercase(), node);
    Ok(())
}

fn expand_all(tree: &mut Node, env: &Environment, warnings: &RefCell<Vec<Warning>>) {
    tree.for_each_text(&mut |text, at| {
        let expanded = expand::expand(text, &|name| env.get(name).cloned())?;
        if let Some(malformed) = expanded.malformed {
            let text = format!(
                "\"{malformed}\" is not a reference to a variable, such as ${{NAME}} or ${{NAME:-default}}"
            );
            warnings.borrow_mut().push(Warning::at(at, None, text));
        }
        Some(expanded.text)
    });
}

/// Sections that nobody here reads.
fn check_sections(tree: &Node, warnings: &RefCell<Vec<Warning>>) {
    let mut others = Vec::new();
    for (key, node) in tree.entries() {
        if SERVED.contains(&key.as_str()) || OTHER_KEYS.contains(&key.as_str()) {
            continue;
        }
        if OTHER_PLUGINS.contains(&key.as_str()) {
            others.push((key.as_str(), node));
            continue;
        }
        let hint = match typed::nearest(key, SERVED) {
            Some(known) => format!("unknown section; did you mean `{known}`?"),
            None => "unknown section; it is ignored".into(),
        };
        warnings.borrow_mut().push(Warning::at(&node.at, Some(key), hint));
    }
    if let Some((_, first)) = others.first() {
        let names: Vec<&str> = others.iter().map(|(key, _)| *key).collect();
        let text =
            format!("these sections of other RoadRunner plugins are not served here: {}", names.join(", "));
        warnings.borrow_mut().push(Warning::at(&first.at, None, text));
    }
}

fn build(
    tree: &Node,
    version: String,
    work_dir: &Path,
    warnings: &RefCell<Vec<Warning>>,
) -> Result<Config, Error> {
    let section = |name: &str| section(tree, name);
    let Some(centrifuge_node) = tree.get("centrifuge") else {
        return Err(Error::at(
            &tree.at,
            Some("centrifuge"),
            "the section is missing: there is nothing to serve".into(),
        ));
    };
    let centrifuge: Centrifuge = typed::read(centrifuge_node, "centrifuge", warnings)?;
    let (proxy, api, pool) = centrifuge.split();
    if let Some(tls) = &api.tls {
        let files = [("cert", &tls.cert), ("key", &tls.key), ("root_ca", &tls.root_ca)];
        for (key, file) in files.into_iter().filter_map(|(key, file)| Some((key, file.as_ref()?))) {
            if !work_dir.join(file).is_file() {
                let at = centrifuge_node.get("tls").and_then(|tls| tls.get(key)).unwrap_or(centrifuge_node);
                let text = format!("there is no file {}", file.display());
                return Err(Error::at(&at.at, Some(&format!("centrifuge.tls.{key}")), text));
            }
        }
    }
    let server_node = tree.get("server").unwrap_or(tree);
    let server: crate::worker::Config = default_or(section("server"), "server", warnings)?;
    if server.command.argv.is_empty() && pool.command.is_none() {
        let text = "it is missing: expected a command such as \"php app.php\"".into();
        return Err(Error::at(&server_node.at, Some("server.command"), text));
    }
    if server.on_init.as_ref().is_some_and(|on_init| on_init.command.argv.is_empty()) {
        return Err(Error::at(&server_node.at, Some("server.on_init.command"), "it is missing".into()));
    }
    Identity::resolve(server.user.as_deref(), server.group.as_deref()).map_err(|text| {
        let at = server_node.get("user").or_else(|| server_node.get("group")).unwrap_or(server_node);
        Error::at(&at.at, None, text)
    })?;
    if version.starts_with("2.") {
        let at = tree.get("version").map_or(&tree.at, |node| &node.at);
        let text = format!(
            "'{version}' is the format of RoadRunner 2; it is read as before, and '3' is the current one"
        );
        warnings.borrow_mut().push(Warning::at(at, Some("version"), text));
    }
    Ok(Config {
        rpc: optional(section("rpc"), "rpc", warnings)?,
        server,
        proxy,
        api,
        pool,
        logs: default_or(section("logs"), "logs", warnings)?,
        metrics: optional(section("metrics"), "metrics", warnings)?,
        status: optional(section("status"), "status", warnings)?,
        otel: optional(section("otel"), "otel", warnings)?,
        grace_period: default_or::<Endure>(section("endure"), "endure", warnings)?.grace_period,
        version,
    })
}

/// A section; an empty one is none.
pub(super) fn section<'a>(tree: &'a Node, name: &str) -> Option<&'a Node> {
    tree.get(name).filter(|node| !matches!(node.value, Value::Null))
}

pub(super) fn optional<T: DeserializeOwned>(
    section: Option<&Node>,
    name: &str,
    warnings: &RefCell<Vec<Warning>>,
) -> Result<Option<T>, Error> {
    section.map(|node| typed::read(node, name, warnings)).transpose()
}

pub(super) fn default_or<T: DeserializeOwned + Default>(
    section: Option<&Node>,
    name: &str,
    warnings: &RefCell<Vec<Warning>>,
) -> Result<T, Error> {
    optional(section, name, warnings).map(Option::unwrap_or_default)
}
