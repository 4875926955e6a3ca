//! The sources of the configuration, and how they are merged.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::environment::Environment;
use super::migration::{self, InForce, Migration};
use super::node::{Node, Value};
use super::problems::{Problem, Problems};
use super::sections::{Causeway, Centrifuge, Endure};
use super::{Config, Error, file, idle, inspect, overrides, pool_list, shown, typed, yaml};
use crate::access;
use crate::compat::Compat;
use crate::findings::Machine;
use crate::net::LimitSettings;
use crate::telemetry::logs;
use crate::{pool, worker};

/// What the command line and the environment contribute.
#[derive(Clone, Default)]
pub struct Sources {
    /// `-c`: the file.
    pub path: PathBuf,
    /// `-w`: the working directory; the file's own unless set.
    pub work_dir: Option<PathBuf>,
    /// `--dotenv`; the variable `DOTENV_PATH` takes precedence.
    pub dotenv: Option<PathBuf>,
    /// `-o key=value`, in order.
    pub overrides: Vec<String>,
    /// The process's own variables.
    pub env: Vec<(OsString, OsString)>,
    /// Where relative paths of the command line start, if that is not the current directory.
    pub current_dir: Option<PathBuf>,
}

impl Sources {
    /// The same sources for later, when this process may have another current directory.
    ///
    /// # Errors
    /// When the current directory is gone.
    pub fn pinned(self) -> Result<Self, Error> {
        let current_dir = absolute(Path::new("."), &self)?;
        Ok(Self { current_dir: Some(current_dir), ..self })
    }

    /// The path, which may be relative, from the current directory.
    pub(super) fn located(&self, path: &Path) -> PathBuf {
        self.current_dir.as_ref().map_or_else(|| path.to_owned(), |folder| folder.join(path))
    }
}

impl fmt::Debug for Sources {
    /// Leaves out overrides and variables: any of them may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, work_dir, dotenv, .. } = self;
        let mut shown = f.debug_struct("Sources");
        shown.field("path", path).field("work_dir", work_dir).field("dotenv", dotenv).finish_non_exhaustive()
    }
}

/// A valid configuration.
#[derive(Clone)]
pub struct Loaded {
    /// The typed configuration.
    pub config: Config,
    /// All of it as JSON, including unsupported sections; without secrets.
    pub shown: String,
    /// Warnings about it.
    pub warnings: Vec<Problem>,
    /// Which RoadRunner it is, and what the other one makes of this configuration.
    pub(crate) migration: Migration,
    /// Where relative paths start.
    pub work_dir: PathBuf,
    /// The environment for workers: that of the process, then what dotenv files add.
    pub env: Vec<(OsString, OsString)>,
    /// All of it, for messages about it.
    pub(super) tree: Node,
}

impl Loaded {
    /// Returns a text about the value of `key` with references in place of the values of variables, which may be secrets.
    pub(crate) fn hide(&self, key: &str, text: String) -> String {
        inspect::without_values(text, &self.tree, key)
    }

    /// Returns an error of the start as it may be shown. If it begins with the key of a setting, its place is added, and its value is shown
    /// as it is written there.
    pub(crate) fn explain(&self, error: &str) -> String {
        inspect::locate(error, &self.tree).map_or_else(|| error.to_owned(), |problem| problem.to_string())
    }
}

impl fmt::Debug for Loaded {
    /// Leaves out variables: any of them may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config, warnings, work_dir, .. } = self;
        let mut shown = f.debug_struct("Loaded");
        shown.field("config", config).field("warnings", warnings).field("work_dir", work_dir);
        shown.finish_non_exhaustive()
    }
}

/// Reads and checks everything.
///
/// # Errors
/// Lists every mistake with its file, line, key and the expected form.
pub fn load(sources: &Sources) -> Result<Loaded, Error> {
    load_and(sources, inspect::inspect)
}

/// Reads everything; `inspect` may check more than the files.
pub(super) fn load_and(
    sources: &Sources,
    inspect: impl FnOnce(&Config, &Node, Machine<'_>, &Problems),
) -> Result<Loaded, Error> {
    let problems = Problems::default();
    let Read { mut tree, version, work_dir, env, compat, limits } = read(sources, &problems)?;
    idle::drop_unnamed_logs(&mut tree);
    idle::check(&tree, compat.version, &problems);
    let config = build(&tree, version, compat.version, limits, &problems);
    inspect(&config, &tree, Machine { work_dir: &work_dir, env: &env.variables }, &problems);
    let shown = shown::shown(&tree);
    let warnings = problems.finish(&sources.path)?;
    let migration = migration::notes(&tree, &config, &compat, sources);
    Ok(Loaded { config, shown, warnings, migration, work_dir, env: env.variables, tree })
}

/// All sources merged, before any section is read.
pub(super) struct Read {
    pub(super) tree: Node,
    version: String,
    work_dir: PathBuf,
    env: Environment,
    compat: InForce,
    limits: LimitSettings,
}

/// Where relative paths start, even if the file cannot be read.
pub(super) fn work_dir(sources: &Sources) -> Result<PathBuf, Problem> {
    if let Some(dir) = &sources.work_dir {
        return absolute(dir, sources);
    }
    let path = absolute(&sources.path, sources)?;
    Ok(path.parent().unwrap_or(Path::new("/")).to_owned())
}

/// Reads the files. Problems with files other than the main one go to `problems`, and the rest is read without them.
pub(super) fn read(sources: &Sources, problems: &Problems) -> Result<Read, Problem> {
    let path = absolute(&sources.path, sources)?;
    let work_dir = work_dir(sources)?;
    let mut tree = read_file(&sources.path, &path, problems)?;
    if !work_dir.is_dir() {
        return Err(Problem::file(&work_dir, "the working directory does not exist"));
    }
    let overrides = overrides::parse(&sources.overrides, problems);
    // Flags come first: they may set what is required, the files to include, and those of variables.
    for (key, node) in &overrides {
        tree.set(key, node.clone());
    }
    let env = Environment::read(sources, &tree, &path, &work_dir, problems);
    expand_all(&mut tree, "", &env, problems);
    let version = version(&tree, problems).unwrap_or_default();
    let causeway: Causeway = default_or(section(&tree, "causeway"), "causeway", problems);
    let compat = InForce::of(causeway.compat, &env, problems);
    if include(&mut tree, &work_dir, &version, &env, problems) {
        apply_again(overrides, &mut tree, compat.version, &env, problems);
    }
    Ok(Read { tree, version, work_dir, env, compat, limits: causeway.limits })
}

/// Lets flags win over included files too, except under RoadRunner 3, where it is the other way round. Problems with them have been reported.
fn apply_again(
    overrides: Vec<(String, Node)>,
    tree: &mut Node,
    compat: Compat,
    env: &Environment,
    problems: &Problems,
) {
    for (key, mut node) in overrides {
        expand_all(&mut node, &key, env, &Problems::default());
        if !compat.is_v3() {
            tree.set(&key, node);
            continue;
        }
        let found = key.split('.').try_fold(&*tree, Node::get);
        if let Some(other) = found.filter(|found| found.at != node.at && found.value != node.value) {
            let text = format!(
                "has no effect: {} sets it, and under RoadRunner 3 included files win over flags",
                other.at
            );
            problems.warn(&node.at, None, text);
        }
    }
}

/// The absolute path, as a shell would write it: a symlink on the way to the current directory is kept, so that workers started after it
/// has moved start where it points then.
fn absolute(path: &Path, sources: &Sources) -> Result<PathBuf, Problem> {
    if sources.current_dir.is_some() {
        let path = sources.located(path);
        return std::path::absolute(&path).map_err(|error| Problem::file(&path, error));
    }
    let logical = sources.env.iter().find(|(name, _)| name == "PWD").map(|(_, value)| Path::new(value));
    let same = |folder: &&Path| {
        let identity = |path: &Path| std::fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
        folder.is_absolute() && identity(folder).is_some() && identity(folder) == identity(Path::new("."))
    };
    let path = logical.filter(same).map_or_else(|| path.to_owned(), |folder| folder.join(path));
    std::path::absolute(&path).map_err(|error| Problem::file(&path, error))
}

fn read_file(shown: &Path, path: &Path, problems: &Problems) -> Result<Node, Problem> {
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml")) {
        return Err(Problem::file(shown, "TOML is not supported: expected a YAML or JSON file"));
    }
    let text = file::read_text(path).map_err(|reason| Problem::file(shown, reason))?;
    warn_if_writable(shown, path, problems);
    parse(shown, &text, problems)
}

/// Warns of a file that other users may change: it says which programs run.
fn warn_if_writable(shown: &Path, path: &Path, problems: &Problems) {
    let text = if let Some(mode) = access::open_to_others(path, access::WRITE) {
        format!(
            "every user of this machine may change it (mode {mode:04o}), and with it the programs that run"
        )
    } else if access::is_shared(access::folder_of(path)) {
        "every user of this machine may replace it, since all may write to its directory".to_owned()
    } else {
        return;
    };
    problems.warn_of(Problem::file(shown, text));
}

fn parse(shown: &Path, text: &str, problems: &Problems) -> Result<Node, Problem> {
    let node = yaml::parse(&shown.display().to_string(), text, problems)?;
    match node.value {
        Value::Map(_) => Ok(node),
        Value::Null => Ok(Node::empty(node.at)),
        _ => Err(Problem::at(&node.at, None, "expected sections such as `server:`")),
    }
}

/// The file's version: required, and a string, since the number 2.10 would be 2.1.
fn version(tree: &Node, problems: &Problems) -> Option<String> {
    let expected = "expected the version of the file's format as a string, such as version: '3'";
    let Some(node) = tree.get("version") else {
        problems.mistake(&tree.at, Some("version"), format!("missing; {expected}"));
        return None;
    };
    if node.is_nothing() {
        let text = format!("{expected}, found {}", shown::found(node, "version"));
        problems.mistake(&node.at, Some("version"), text);
        return None;
    }
    let Value::Scalar { text, plain, .. } = &node.value else {
        problems.mistake(&node.at, Some("version"), expected);
        return None;
    };
    // A flag has no quotes to tell a string from a number.
    if *plain && node.at.line > 0 && text.parse::<f64>().is_ok() {
        let found = format!("expected a string, found a number; write version: '{text}'");
        problems.mistake(&node.at, Some("version"), found);
    }
    Some(text.clone())
}

/// Merges the included files into the main one, in order. Returns whether there are any.
fn include(tree: &mut Node, work_dir: &Path, version: &str, env: &Environment, problems: &Problems) -> bool {
    let Some(list) = tree.get("include").cloned() else { return false };
    let files: Vec<String> = typed::read(&list, "include", problems);
    let files: Vec<String> = files.into_iter().filter(|file| !file.is_empty()).collect();
    for file in &files {
        let included = match file::read_text(&work_dir.join(file)) {
            Ok(text) => {
                let shown = shown::without_value(file.clone(), &list, "include");
                warn_if_writable(Path::new(&shown), &work_dir.join(file), problems);
                parse(Path::new(&shown), &text, problems)
            }
            Err(reason) => {
                let node = list.items().iter().find(|node| node.text() == Some(file)).unwrap_or(&list);
                let text = format!("cannot read {}: {reason}", shown::value(node, "include"));
                problems.mistake(&node.at, Some("include"), text);
                continue;
            }
        };
        let mut included = match included {
            Ok(included) => included,
            Err(mistake) => {
                problems.add(mistake);
                continue;
            }
        };
        expand_all(&mut included, "", env, problems);
        if let Some(theirs) = self::version(&included, problems)
            && theirs != version
            && !version.is_empty()
        {
            let node = included.get("version").unwrap_or(&included);
            let found = shown::value(node, "version");
            let text = format!("expected the version of the main file, '{version}', found '{found}'");
            problems.mistake(&node.at, Some("version"), text);
        }
        for key in ["include", "envfile", "causeway"] {
            if let Some(node) = included.get(key) {
                problems.warn(
                    &node.at,
                    Some(key),
                    "has no effect in an included file: only that of the main file is read",
                );
            }
        }
        tree.merge(included);
    }
    !files.is_empty()
}

/// Replaces the references below `tree`, which stands at the dotted path `path`.
fn expand_all(tree: &mut Node, path: &str, env: &Environment, problems: &Problems) {
    tree.for_each_scalar(path, &mut |node, path| {
        let Value::Scalar { text, plain, shown } = &mut node.value else { return };
        let Some(expanded) = env.expand(text, &node.at, path, problems) else { return };
        if let Some(malformed) = expanded.malformed {
            let hint = format!("{malformed}; expected ${{NAME}} or ${{NAME:-default}}");
            problems.warn(&node.at, Some(path), hint);
        }
        *shown = Some(Box::new(expanded.safe()));
        *plain = false;
        *text = expanded.text;
    });
}

pub(super) fn build(
    tree: &Node,
    version: String,
    compat: Compat,
    limits: LimitSettings,
    problems: &Problems,
) -> Config {
    let section = |name: &str| section(tree, name);
    let centrifuge_node = tree.get("centrifuge");
    if centrifuge_node.is_none() {
        let text = "missing section: there is nothing to serve";
        problems.mistake(&tree.at, Some("centrifuge"), text);
    }
    let centrifuge: Centrifuge = default_or(centrifuge_node, "centrifuge", problems);
    let streams = centrifuge.streams;
    let (proxy, api, mut pool) = centrifuge.split();
    let mut server: worker::Config = default_or(section("server"), "server", problems);
    check_server(&server, &pool, tree, problems);
    show_references(tree, &mut server, &mut pool);
    let mut pools = pool_list::read(tree, &server, problems);
    clip(&mut pool, "centrifuge.pool", compat, tree, problems);
    for pool in &mut pools {
        let section = pool.section();
        clip(&mut pool.pool, &section, compat, tree, problems);
    }
    let mut logs: logs::Config = default_or(section("logs"), "logs", problems);
    logs.references = shown::references(section("logs"));
    logs.compat = compat;
    if version.starts_with("2.") {
        let at = tree.get("version").map_or(&tree.at, |node| &node.at);
        let text =
            format!("'{version}' is RoadRunner 2's format, which is still read; the current one is '3'");
        problems.warn(at, Some("version"), text);
    }
    Config {
        rpc: optional(section("rpc"), "rpc", problems),
        lock: optional(section("lock"), "lock", problems),
        server,
        proxy,
        streams,
        api,
        pool,
        pools,
        logs,
        metrics: optional(section("metrics"), "metrics", problems),
        status: optional(section("status"), "status", problems),
        otel: optional(section("otel"), "otel", problems),
        grace_period: default_or::<Endure>(section("endure"), "endure", problems).grace_period,
        version,
        compat,
        limits,
    }
}

/// Warns of limits of an allocator beyond those of this RoadRunner, which apply instead.
fn clip(pool: &mut pool::Config, section: &str, compat: Compat, tree: &Node, problems: &Problems) {
    let num_workers = pool.num_workers;
    let Some(allocator) = &mut pool.dynamic_allocator else { return };
    for (key, text) in allocator.clip(num_workers, compat) {
        let key = format!("{section}.dynamic_allocator.{key}");
        problems.warn(&inspect::place(tree, &key), Some(&key), text);
    }
}

fn check_server(server: &worker::Config, pool: &pool::Config, tree: &Node, problems: &Problems) {
    let node = tree.get("server").unwrap_or(tree);
    if server.command.argv.is_empty() && pool.command.is_none() && !problems.spoil("server.command") {
        let command = node.get("command");
        let found = command.map(|node| format!(", found {}", shown::found(node, "server.command")));
        let text =
            format!("missing: expected a command such as \"php app.php\"{}", found.unwrap_or_default());
        problems.mistake(&command.unwrap_or(node).at, Some("server.command"), text);
    }
    if server.on_init.as_ref().is_some_and(|on_init| on_init.command.argv.is_empty())
        && !problems.spoil("server.on_init.command")
    {
        problems.mistake(&node.at, Some("server.on_init.command"), "missing");
    }
}

/// Makes commands show the file's variable references instead of the values, which may be secrets.
fn show_references(tree: &Node, server: &mut worker::Config, pool: &mut pool::Config) {
    let on_init = server.on_init.as_mut().map(|on_init| &mut on_init.command);
    shown::show_reference(tree, &["server", "command"], Some(&mut server.command));
    shown::show_reference(tree, &["server", "on_init", "command"], on_init);
    shown::show_reference(tree, &["centrifuge", "pool", "command"], pool.command.as_mut());
}

/// A section; an empty one counts as absent.
pub(super) fn section<'a>(tree: &'a Node, name: &str) -> Option<&'a Node> {
    tree.get(name).filter(|node| !node.is_nothing())
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
