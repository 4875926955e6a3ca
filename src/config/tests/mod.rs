//! Tests of the configuration as a whole, through `load`.

mod changes;
mod compat;
mod defaults;
mod fuzz;
mod messages;
mod pools;
mod schema;
mod secrets;
mod sources;
mod unset;
mod values;

use std::ffi::OsString;
use std::path::Path;

use tempfile::TempDir;

use super::*;

/// A directory with files; the first one is the configuration.
fn folder(files: &[(&str, &str)]) -> (TempDir, Sources) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let sources = Sources { path: folder.path().join(files[0].0), ..Sources::default() };
    (folder, sources)
}

/// Reads the files only, without checking the machine.
fn load(sources: &Sources) -> Result<Loaded, Error> {
    crate::config::load::load_and(sources, |_, _, _, _| {})
}

fn load_text(text: &str) -> Result<Loaded, Error> {
    load(&folder(&[(".rr.yaml", text)]).1)
}

/// Loads a file with these sections, and checks the machine as well.
fn inspected(text: &str) -> Result<Loaded, Error> {
    let text = format!("version: '3'\nserver: {{command: sh}}\ncentrifuge: {{}}\n{text}");
    crate::config::load(&folder(&[(".rr.yaml", &text)]).1)
}

fn with_env(mut sources: Sources, env: &[(&str, &str)]) -> Sources {
    sources.env = env.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect();
    sources
}

/// A minimal file.
const LEAST: &str = "version: '3'\nserver: {command: php app.php}\ncentrifuge: {}\n";

/// All lines of an error, without the file's name.
fn error(text: &str) -> String {
    let (folder, sources) = folder(&[(".rr.yaml", text)]);
    let error = load(&sources).unwrap_err().to_string();
    error.replace(&format!("{}/.rr.yaml:", folder.path().display()), "")
}

fn warnings(text: &str) -> Vec<String> {
    let loaded = load_text(text).unwrap();
    loaded
        .warnings
        .iter()
        .map(|warning| warning.to_string().split_once(".rr.yaml:").unwrap().1.to_owned())
        .collect()
}

fn shipped(name: &str) -> Loaded {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    load(&Sources { path, ..Sources::default() }).unwrap()
}

/// Reads a file with variables and flags.
fn load_with(text: &str, env: &[(&str, &str)], flags: &[&str]) -> Result<Loaded, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".rr.yaml");
    std::fs::write(&path, text).unwrap();
    let env = env.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect();
    let overrides = flags.iter().map(|flag| (*flag).to_owned()).collect();
    load(&Sources { path, overrides, env, ..Sources::default() }).map_err(|error| error.to_string())
}

/// A file that lacks only `centrifuge`.
const WITH_COMMAND: &str = "version: '3'\nserver.command: php app.php\n";
