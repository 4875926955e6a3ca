//! The `server` section of `.rr.yaml`: what is run, as whom, and how it is talked to.

use std::path::PathBuf;
use std::time::Duration;

/// The `server` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `server.command`: the program and its arguments.
    pub command: Command,
    /// `server.user`: the user that workers run as; only root can set it.
    pub user: Option<String>,
    /// `server.group`: the group that workers run as.
    pub group: Option<String>,
    /// `server.env`: names in upper case, values expanded, in the order of the file.
    pub env: Vec<(String, String)>,
    /// `server.relay`: how frames travel.
    pub relay: RelayAddress,
    /// `server.on_init`: a command that runs once, before the workers.
    pub on_init: Option<OnInit>,
}

/// A program and its arguments; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The words; the first one is the program.
    pub argv: Vec<String>,
}

/// How the supervisor and its workers exchange frames.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum RelayAddress {
    /// The worker's standard input and output.
    #[default]
    Pipes,
    /// `tcp://host:port`: workers connect to it.
    Tcp(String),
    /// `unix://path`: workers connect to it.
    Unix(PathBuf),
}

/// The `server.on_init` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnInit {
    /// What to run.
    pub command: Command,
    /// `exec_timeout`, 60s.
    pub exec_timeout: Duration,
    /// Variables on top of the worker's.
    pub env: Vec<(String, String)>,
    /// The user to run as; `server.user` unless set.
    pub user: Option<String>,
    /// Whether a failure ends `serve`; false unless set.
    pub exit_on_error: bool,
}

impl std::fmt::Display for Command {
    /// As one would type it into a shell.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&shell_words::join(&self.argv))
    }
}
