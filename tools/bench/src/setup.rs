//! What this machine has to measure, and to measure with.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::Args;
use crate::contender::Contender;
use crate::needs::Need;
use crate::plan::{App, PROTOCOL_2, Row, STREAMS};
use crate::role;
use crate::running::Running;
use crate::streams::Streams;

/// Requests that a worker of protocol 2 takes at a time.
const CONCURRENCY: &str = "1024";

/// Programs and files, with absolute paths.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) out: PathBuf,
    pub(crate) causeway: PathBuf,
    /// Whether it is not the version that this program is linked with.
    is_named: bool,
    pub(crate) echo: PathBuf,
    pub(crate) before: Option<PathBuf>,
    pub(crate) roadrunner: Option<PathBuf>,
    /// Centrifugo, to publish into it; otherwise its API is simulated.
    pub(crate) api: Option<PathBuf>,
    /// Centrifugo, to call its proxy.
    pub(crate) centrifugo: Option<PathBuf>,
    pub(crate) nginx: Option<PathBuf>,
    pub(crate) fpm: Option<PathBuf>,
    pub(crate) python: PathBuf,
    pub(crate) worker: PathBuf,
    php: Option<PathBuf>,
    lacking: Vec<Need>,
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
        let before = args.before.as_deref().map(absolute).transpose().context("--before")?;
        let api = args.centrifugo.as_deref().map(absolute).transpose().context("$CENTRIFUGO")?;
        let installed = || Some(repository().join("target/bin/centrifugo")).filter(|path| path.exists());
        let mut setup = Self {
            worker: compile(&out)?,
            out,
            causeway,
            is_named: args.causeway.is_some(),
            echo: role::program(programs.path(), role::ECHO)?,
            before,
            centrifugo: api.clone().or_else(installed),
            api,
            roadrunner: args.rr.as_deref().map(absolute).transpose().context("--rr or $RR")?,
            php: runs("php", &["--version"]).then(|| absolute(&php)).transpose()?,
            nginx: find(|name| name == "nginx"),
            fpm: find(is_fpm),
            python: which(&args.python)?,
            lacking: Vec::new(),
            _programs: programs,
        };
        setup.lacking = setup.look_around();
        Ok(setup)
    }

    /// What is missing.
    fn look_around(&self) -> Vec<Need> {
        let imports = |modules: &str| runs(&self.python, &["-c", &format!("import {modules}")]);
        let found = [
            (Need::Centrifugo, self.centrifugo.is_some()),
            (Need::RoadRunner, self.roadrunner.is_some()),
            (Need::Php, self.php.is_some()),
            (Need::Fpm, self.nginx.is_some() && self.fpm.is_some()),
            (Need::Protobuf, imports("google.protobuf")),
            (Need::Grpc, imports("grpc, google.protobuf")),
            (Need::Uvicorn, imports("uvicorn, uvloop, httptools")),
        ];
        found.into_iter().filter(|(_, is_there)| !is_there).map(|(need, _)| need).collect()
    }

    /// Tries whether binaries of Causeway that may be older than this program know what some rows need.
    pub(crate) fn try_binaries(&mut self, runtime: &Runtime) {
        let starts = |row, contender| Running::start(self, runtime, row, contender);
        let concurrent = |contender| starts(&PROTOCOL_2, contender).is_ok();
        let opens =
            |bridge: Running| runtime.block_on(Streams::open(&bridge.address, bridge.rpc(), 1)).is_ok();
        let streams = |contender| starts(&STREAMS, contender).is_ok_and(opens);
        let mut found = Vec::new();
        if self.is_named {
            found.push((Need::ProtocolTwo, concurrent(Contender::Concurrent)));
            found.push((Need::Streams, streams(Contender::Causeway)));
        }
        if self.before.is_some() {
            found.push((Need::ProtocolTwoBefore, concurrent(Contender::BeforeConcurrent)));
            found.push((Need::StreamsBefore, streams(Contender::Before)));
        }
        self.lacking.extend(found.into_iter().filter(|(_, is_there)| !is_there).map(|(need, _)| need));
    }

    /// Why this contender cannot be measured in this row; `None` if it can.
    pub(crate) fn lacks(&self, row: &Row, contender: Contender) -> Option<&'static str> {
        let missing = Need::of(row, contender).into_iter().find(|need| self.lacking.contains(need));
        missing.map(Need::missing)
    }

    /// `server.command` for this application. Those that know protocol 2 speak it when they are told how many requests to take.
    pub(crate) fn command(&self, app: App, contender: Contender) -> Vec<String> {
        let mut words = match app {
            App::C => vec![self.worker.clone()],
            App::Php => {
                let wrapper = repository().join("tools/bench/workers/protobuf.php");
                let wrapper = Some(wrapper).filter(|_| contender == Contender::Protobuf);
                [Some("php".into()), wrapper, self.php.clone()].into_iter().flatten().collect()
            }
            App::Python => vec![self.python.clone(), repository().join("workers/python/examples/app.py")],
            App::Handlers => vec![self.python.clone(), repository().join("tools/bench/workers/app.py")],
        };
        if contender.is_concurrent() {
            words.push(CONCURRENCY.into());
        }
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

fn runs(program: impl AsRef<OsStr>, arguments: &[&str]) -> bool {
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

/// A server program with such a name. Debian has them in folders that are not in every `$PATH`.
fn find(is_wanted: impl Fn(&str) -> bool) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let files = folders.filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    files
        .map(|file| file.path())
        .find(|path| path.file_name().and_then(OsStr::to_str).is_some_and(&is_wanted))
}

/// `php-fpm`, or `php-fpm8.2` as Debian calls it.
fn is_fpm(name: &str) -> bool {
    let version = name.strip_prefix("php-fpm");
    version.is_some_and(|version| version.chars().all(|c| c.is_ascii_digit() || c == '.'))
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
