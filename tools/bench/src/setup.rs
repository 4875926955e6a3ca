//! What this machine has to measure, and to measure with.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use crate::Args;
use crate::plan::{App, Contender, Row};
use crate::role;

/// Programs and files, with absolute paths.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) out: PathBuf,
    pub(crate) causeway: PathBuf,
    pub(crate) echo: PathBuf,
    pub(crate) before: Option<PathBuf>,
    pub(crate) roadrunner: Option<PathBuf>,
    pub(crate) centrifugo: Option<PathBuf>,
    pub(crate) python: PathBuf,
    pub(crate) worker: PathBuf,
    php: Option<PathBuf>,
    has_protobuf: bool,
    has_grpc: bool,
    _programs: TempDir,
}

impl Setup {
    /// Finds everything and builds the worker in C.
    ///
    /// # Errors
    /// If something is missing that all rows need.
    pub(crate) fn new(args: &Args) -> anyhow::Result<Self> {
        if !runs("h2load", &["--version"]) {
            bail!("h2load is missing; on Debian: apt-get install nghttp2-client");
        }
        std::fs::create_dir_all(&args.out)
            .with_context(|| format!("cannot create the folder {}", args.out.display()))?;
        let out = args.out.canonicalize()?;
        let programs = tempfile::tempdir()?;
        let causeway = match &args.causeway {
            Some(path) => absolute(path)?,
            None => role::program(programs.path(), role::CAUSEWAY)?,
        };
        let php = args.php_app.clone().unwrap_or_else(|| repository().join("workers/php/examples/app.php"));
        let python = which(&args.python)?;
        Ok(Self {
            worker: compile(&out)?,
            out,
            causeway,
            echo: role::program(programs.path(), role::ECHO)?,
            before: args.before.as_deref().map(absolute).transpose().context("--before")?,
            centrifugo: args.centrifugo.as_deref().map(absolute).transpose().context("$CENTRIFUGO")?,
            roadrunner: args.rr.as_deref().map(absolute).transpose().context("--rr or $RR")?,
            php: runs("php", &["--version"]).then(|| absolute(&php)).transpose()?,
            has_protobuf: runs(&python, &["-c", "import google.protobuf"]),
            has_grpc: runs(&python, &["-c", "import grpc, google.protobuf"]),
            python,
            _programs: programs,
        })
    }

    /// Why this contender cannot be measured in this row; `None` if it can.
    pub(crate) fn lacks(&self, row: &Row, contender: Contender) -> Option<&'static str> {
        match (contender, row.app) {
            (Contender::RoadRunner, _) if self.roadrunner.is_none() => {
                Some("RoadRunner: $RR is not set to its binary")
            }
            (Contender::Aio, _) if !self.has_grpc => Some("grpc.aio: $PYTHON has no grpcio and protobuf"),
            (Contender::Aio | Contender::Echo | Contender::Direct, _) => None,
            (_, App::Php) if self.php.is_none() => Some("the PHP row: php is not installed"),
            (_, App::Python) if !self.has_protobuf => Some("the Python row: $PYTHON has no protobuf"),
            _ => None,
        }
    }

    /// `server.command` for this application.
    pub(crate) fn command(&self, app: App) -> Vec<String> {
        let words = match app {
            App::C => vec![self.worker.clone()],
            App::Php => vec!["php".into(), self.php.clone().unwrap_or_default()],
            App::Python => vec![self.python.clone(), repository().join("workers/python/examples/app.py")],
        };
        words.iter().map(|word| word.display().to_string()).collect()
    }
}

/// The folder of the repository.
pub(crate) fn repository() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).unwrap_or(own)
}

fn compile(out: &Path) -> anyhow::Result<PathBuf> {
    let (source, worker) = (repository().join("tools/bench/workers/worker.c"), out.join("worker"));
    let status = Command::new("cc")
        .args(["-O2", "-o"])
        .arg(&worker)
        .arg(&source)
        .status()
        .context("cc is missing; on Debian: apt-get install gcc libc6-dev")?;
    if !status.success() {
        bail!("cc cannot compile {}", source.display());
    }
    Ok(worker)
}

fn runs(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> bool {
    let quiet = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    quiet.is_ok_and(|status| status.success())
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    if !path.exists() {
        bail!("{} does not exist", path.display());
    }
    // Not canonical: a virtual environment's Python is a symlink that must stay one.
    Ok(std::path::absolute(path)?)
}

/// The path of a program, since contenders run in folders of their own.
fn which(program: &Path) -> anyhow::Result<PathBuf> {
    if program.components().count() > 1 {
        return absolute(program);
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&folders).map(|folder| folder.join(program)).find(|path| path.is_file());
    // If it is missing, the rows that need it are skipped.
    Ok(found.unwrap_or_else(|| program.to_owned()))
}
