//! Where the configuration comes from, and in which order its sources are laid over each other.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::node::{At, Node, Value};
use super::problems::{Problem, Problems};
use super::sections::{Centrifuge, Endure, OTHER_KEYS, OTHER_PLUGINS, SERVED};
use super::{Config, Error, expand, shown, typed, yaml};
use crate::os::process::Identity;
use crate::{pool, worker};

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
    pub warnings: Vec<Problem>,
    /// Where relative paths start.
    pub work_dir: PathBuf,
    /// The environment for workers: that of the process, then what the dotenv files add.
    pub env: Vec<(OsString, OsString)>,
}

/// Reads and checks everything.
///
/// # Errors
/// Names every mistake, with its file, line and key and what is expected there.
pub fn load(sources: &Sources) -> Result<Loaded, Error> {
    let problems = Problems::default();
    let Read { tree, version, work_dir, env } = read(sources, &problems)?;
    check_sections(&tree, &problems);
    let config = build(&tree, version, &work_dir, &problems);
    let shown = shown::shown(&tree);
    let warnings = problems.finish(&sources.path)?;
    Ok(Loaded { config, shown, warnings, work_dir, env: env.variables })
}

/// All sources laid over each other, before anybody looks at a section.
pub(super) struct Read {
    pub(super) tree: Node,
    version: String,
    work_dir: PathBuf,
    env: Environment,
}

/// Where relative paths start, whatever stands in the file.
pub(super) fn work_dir(sources: &Sources) -> Result<PathBuf, Problem> {
    if let Some(dir) = &sources.work_dir {
        return absolute(dir, &sources.env);
    }
    let path = absolute(&sources.path, &sources.env)?;
    Ok(path.parent().unwrap_or(Path::new("/")).to_owned())
}

/// Reads the files. What is wrong with other files than the main one goes to `problems`, and the rest is read without them.
pub(super) fn read(sources: &Sources, problems: &Problems) -> Result<Read, Problem> {
    let path = absolute(&sources.path, &sources.env)?;
    let work_dir = work_dir(sources)?;
    let mut tree = read_file(&sources.path, &path, problems)?;
    if !work_dir.is_dir() {
        return Err(Problem::file(&work_dir, "the working directory does not exist"));
    }
    let mut env = Environment::new(&sources.env);
    let dotenv = env
        .get("DOTENV_PATH")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
        .or_else(|| sources.dotenv.clone());
    let envfile = tree.get("envfile").and_then(Node::text).map(|file| work_dir.join(file));
    for file in dotenv.into_iter().chain(envfile) {
        env.add_file(&file).unwrap_or_else(|mistake| problems.add(mistake));
    }
    let version = version(&tree, problems).unwrap_or_default();
    include(&mut tree, &work_dir, &version, &env, problems);
    for text in &sources.overrides {
        set_override(&mut tree, text, problems);
    }
    expand_all(&mut tree, &env, problems);
    Ok(Read { tree, version, work_dir, env })
}

/// The path from the root, as a shell would write it: a symlink on the way to the current folder stays one, so that workers started
/// after it has moved on start where it points then.
fn absolute(path: &Path, env: &[(OsString, OsString)]) -> Result<PathBuf, Problem> {
    let logical = env.iter().find(|(name, _)| name == "PWD").map(|(_, value)| Path::new(value));
    let same = |folder: &&Path| {
        let identity = |path: &Path| std::fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
        folder.is_absolute() && identity(folder).is_some() && identity(folder) == identity(Path::new("."))
    };
    let path = logical.filter(same).map_or_else(|| path.to_owned(), |folder| folder.join(path));
    std::path::absolute(&path).map_err(|error| Problem::file(&path, error))
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
    fn add_file(&mut self, path: &Path) -> Result<(), Problem> {
        let entries = dotenvy::from_path_iter(path).map_err(|error| Problem::file(path, error))?;
        for entry in entries {
            let (name, value) = entry.map_err(|error| Problem::file(path, error))?;
            if !self.by_name.contains_key(&name) {
                self.variables.push(((&name).into(), (&value).into()));
                self.by_name.insert(name, value);
            }
        }
        Ok(())
    }
}

fn read_file(shown: &Path, path: &Path, problems: &Problems) -> Result<Node, Problem> {
    let text = std::fs::read_to_string(path).map_err(|error| Problem::file(shown, error))?;
    let node = yaml::parse(&shown.display().to_string(), &text, problems)?;
    match node.value {
        Value::Map(_) => Ok(node),
        Value::Null => Ok(Node::empty(node.at)),
        _ => Err(Problem::at(&node.at, None, "expected sections such as `server:`")),
    }
}

/// The file's version: required, and a string, since 2.10 would be the number 2.1.
fn version(tree: &Node, problems: &Problems) -> Option<String> {
    let expected = "expected the version of the file's format as a string, such as version: '3'";
    let Some(node) = tree.get("version") else {
        problems.mistake(&tree.at, Some("version"), format!("it is missing; {expected}"));
        return None;
    };
    match &node.value {
        Value::Scalar { text, plain } if !text.is_empty() => {
            if *plain && text.parse::<f64>().is_ok() {
                let found = format!("expected a string, found a number; write version: '{text}'");
                problems.mistake(&node.at, Some("version"), found);
            }
            Some(text.clone())
        }
        _ => {
            problems.mistake(&node.at, Some("version"), expected);
            None
        }
    }
}

/// Lays the included files over the main one, in order.
fn include(tree: &mut Node, work_dir: &Path, version: &str, env: &Environment, problems: &Problems) {
    let Some(mut list) = tree.get("include").cloned() else { return };
    expand_all(&mut list, env, problems);
    let files: Vec<String> = typed::read(&list, "include", problems);
    for file in files {
        let included = match read_file(Path::new(&file), &work_dir.join(&file), problems) {
            Ok(included) => included,
            Err(mistake) => {
                problems.add(mistake);
                continue;
            }
        };
        if let Some(theirs) = self::version(&included, problems)
            && theirs != version
            && !version.is_empty()
        {
            let text = format!("expected the version of the main file, '{version}', found '{theirs}'");
            let at = included.get("version").map_or(&included.at, |node| &node.at);
            problems.mistake(at, Some("version"), text);
        }
        tree.merge(included);
    }
}

fn set_override(tree: &mut Node, text: &str, problems: &Problems) {
    let at = At { file: format!("-o {text}").into(), line: 0 };
    let Some((key, value)) = text.split_once('=').filter(|(key, _)| !key.trim().is_empty()) else {
        problems.mistake(&at, None, "expected key=value, such as -o centrifuge.pool.num_workers=4");
        return;
    };
    let value = value.trim();
    let unquoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    let node = Node { value: Value::Scalar { text: unquoted.to_owned(), plain: true }, at };
    tree.set(&key.trim().to_lowercase(), node);
}

fn expand_all(tree: &mut Node, env: &Environment, problems: &Problems) {
    tree.for_each_text(&mut |text, at| {
        let expanded = expand::expand(text, &|name| env.get(name).cloned())?;
        if let Some(malformed) = expanded.malformed {
            let text = format!(
                "\"{malformed}\" is not a reference to a variable, such as ${{NAME}} or ${{NAME:-default}}"
            );
            problems.warn(at, None, text);
        }
        Some(expanded.text)
    });
}

/// Sections that nobody here reads.
fn check_sections(tree: &Node, problems: &Problems) {
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
        problems.warn(&node.at, Some(key), hint);
    }
    if let Some((_, first)) = others.first() {
        let names: Vec<&str> = others.iter().map(|(key, _)| *key).collect();
        let text =
            format!("these sections of other RoadRunner plugins are not served here: {}", names.join(", "));
        problems.warn(&first.at, None, text);
    }
}

fn build(tree: &Node, version: String, work_dir: &Path, problems: &Problems) -> Config {
    let section = |name: &str| section(tree, name);
    let centrifuge_node = tree.get("centrifuge");
    if centrifuge_node.is_none() {
        let text = "the section is missing: there is nothing to serve";
        problems.mistake(&tree.at, Some("centrifuge"), text);
    }
    let centrifuge: Centrifuge = default_or(centrifuge_node, "centrifuge", problems);
    let (proxy, api, pool) = centrifuge.split();
    if let Some(tls) = &api.tls {
        let files = [("cert", &tls.cert), ("key", &tls.key), ("root_ca", &tls.root_ca)];
        for (key, file) in files.into_iter().filter_map(|(key, file)| Some((key, file.as_ref()?))) {
            if !work_dir.join(file).is_file() {
                let node = centrifuge_node.and_then(|node| node.get("tls")?.get(key)).unwrap_or(tree);
                let text = format!("there is no file {}", file.display());
                problems.mistake(&node.at, Some(&format!("centrifuge.tls.{key}")), text);
            }
        }
    }
    let server: worker::Config = default_or(section("server"), "server", problems);
    check_server(&server, &pool, tree, problems);
    if version.starts_with("2.") {
        let at = tree.get("version").map_or(&tree.at, |node| &node.at);
        let text = format!(
            "'{version}' is the format of RoadRunner 2; it is read as before, and '3' is the current one"
        );
        problems.warn(at, Some("version"), text);
    }
    Config {
        rpc: optional(section("rpc"), "rpc", problems),
        server,
        proxy,
        api,
        pool,
        logs: default_or(section("logs"), "logs", problems),
        metrics: optional(section("metrics"), "metrics", problems),
        status: optional(section("status"), "status", problems),
        otel: optional(section("otel"), "otel", problems),
        grace_period: default_or::<Endure>(section("endure"), "endure", problems).grace_period,
        version,
    }
}

fn check_server(server: &worker::Config, pool: &pool::Config, tree: &Node, problems: &Problems) {
    let node = tree.get("server").unwrap_or(tree);
    if server.command.argv.is_empty() && pool.command.is_none() && !problems.spoil("server.command") {
        let text = "it is missing: expected a command such as \"php app.php\"";
        problems.mistake(&node.at, Some("server.command"), text);
    }
    if server.on_init.as_ref().is_some_and(|on_init| on_init.command.argv.is_empty())
        && !problems.spoil("server.on_init.command")
    {
        problems.mistake(&node.at, Some("server.on_init.command"), "it is missing");
    }
    if let Err(text) = Identity::resolve(server.user.as_deref(), server.group.as_deref()) {
        let at = node.get("user").or_else(|| node.get("group")).unwrap_or(node);
        problems.mistake(&at.at, None, text);
    }
}

/// A section; an empty one is none.
pub(super) fn section<'a>(tree: &'a Node, name: &str) -> Option<&'a Node> {
    tree.get(name).filter(|node| !matches!(node.value, Value::Null))
}

pub(super) fn optional<T: DeserializeOwned + Default>(
    section: Option<&Node>,
    name: &str,
    problems: &Problems,
) -> Option<T> {
    section.map(|node| typed::read(node, name, problems))
}

pub(super) fn default_or<T: DeserializeOwned + Default>(
    section: Option<&Node>,
    name: &str,
    problems: &Problems,
) -> T {
    optional(section, name, problems).unwrap_or_default()
}
