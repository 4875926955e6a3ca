//! The generated files of the reference: the configuration from `config/reference.rr.yaml`, which a test compares with the settings that
//! are read, the command line from `causeway --help`, and the schema of the configuration from `causeway schema`.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::{Output, deliver, root};

const REFERENCE: &str = "config/reference.rr.yaml";

/// The commands, in the order of the page.
const COMMANDS: [&str; 15] = [
    "serve",
    "init",
    "check",
    "call",
    "workers",
    "reset",
    "reload",
    "stop",
    "upgrade",
    "rpc",
    "publish",
    "dns-txt",
    "schema",
    "completion",
    "man",
];

/// Generates all of them.
pub(crate) fn run(check: bool) -> Result<()> {
    let root = root()?;
    let reference = fs::read_to_string(root.join(REFERENCE)).context(REFERENCE)?;
    let program = build(root)?;
    let files = [
        ("docs/reference/configuration.md", configuration(&reference)),
        ("docs/reference/command-line.md", command_line(&program)?),
        ("config/causeway.schema.json", print(&program, &["schema"])?),
    ];
    let output: Output = files.into_iter().map(|(name, text)| (name.into(), text.into_bytes())).collect();
    deliver(root, &output, &[], check, "docs")
}

/// The reference with a heading for each section. The comment before the first key becomes the page's own text.
fn configuration(reference: &str) -> String {
    let mut page = String::from("# Configuration keys\n\n");
    let (intro, keys) = reference.split_once("\n\n").unwrap_or(("", reference));
    for line in intro.lines() {
        let _ = writeln!(page, "{}", line.strip_prefix('#').unwrap_or(line).trim_start());
    }
    let (mut block, mut name) = (String::new(), String::new());
    for line in keys.lines() {
        if let Some(key) = section(line) {
            // The comment directly above a section belongs to it.
            let comment = block.rfind("\n\n").map_or(0, |at| at + 2);
            let next = block.split_off(comment);
            heading(&mut page, &name, &block);
            (block, name) = (next, key.to_owned());
        }
        let _ = writeln!(block, "{line}");
    }
    heading(&mut page, &name, &block);
    page
}

/// The key of the section that `line` begins.
fn section(line: &str) -> Option<&str> {
    let key = line.strip_prefix("# ").unwrap_or(line);
    let (key, _) = key.split_once(':')?;
    let is_key = !key.is_empty() && key.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_');
    is_key.then_some(key)
}

fn heading(page: &mut String, name: &str, block: &str) {
    let block = block.trim_matches('\n');
    if !block.is_empty() {
        let _ = write!(page, "\n## `{name}`\n\n```yaml\n{block}\n```\n");
    }
}

/// The help of the program and of each command.
fn command_line(program: &Path) -> Result<String> {
    let mut page = String::from(
        "# Command line\n\nThe output of `causeway --help`, and of `--help` for each command, without the global options, \
         which are the same everywhere.\n",
    );
    let _ = write!(page, "\n## causeway\n\n```text\n{}\n```\n", help(program, None)?);
    for command in COMMANDS {
        let text = help(program, Some(command))?;
        // The global options are on top of the page.
        let own = match text.split_once("Global options:\n") {
            Some((own, rest)) => {
                let after = rest.split_once("\n\n").map_or("", |(_, after)| after);
                format!("{}\n\n{after}", own.trim_end())
            }
            None => text,
        };
        let _ = write!(page, "\n## causeway {command}\n\n```text\n{}\n```\n", own.trim_end());
    }
    Ok(page)
}

/// Builds the program and returns its path.
fn build(root: &Path) -> Result<PathBuf> {
    // Together with a benchmark, dependencies have the same features as in tests, so they are built once for both.
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "causeway", "--bin", "causeway", "--bench", "micro"])
        .current_dir(root)
        .status()
        .context("cannot run cargo")?;
    ensure!(built.success(), "causeway does not build");
    Ok(env::current_exe()?.with_file_name("causeway"))
}

fn help(program: &Path, command: Option<&str>) -> Result<String> {
    let args: Vec<&str> = command.into_iter().chain(["--help"]).collect();
    let text = print(program, &args)?;
    Ok(text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n"))
}

fn print(program: &Path, args: &[&str]) -> Result<String> {
    let output = Command::new(program).args(args).output().context("cannot run causeway")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
