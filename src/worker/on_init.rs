//! `on_init`: a command that runs once, before the workers.

use std::io;
use std::sync::Arc;

use tokio::time::timeout;

use super::boot::Environment;
use super::command::Command;
use super::config::{Config, OnInit};
use super::process::Process;
use super::spawner::Spawner;
use crate::os::process::{Identity, Spec};

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OnInitError {
    /// Its user or group cannot be used.
    #[error("{section}.on_init.user: {reason}")]
    User {
        /// The section of `on_init`.
        section: String,
        /// The reason.
        reason: String,
    },
    /// It was not started.
    #[error("{section}.on_init: `{command}` cannot be started: {error}")]
    Start {
        /// The section of `on_init`.
        section: String,
        /// The command, without secrets.
        command: Command,
        /// The reason.
        error: io::Error,
    },
    /// It failed, or took too long.
    #[error("{section}.on_init: `{command}` failed: {how}{}", indented(lines))]
    Failed {
        /// The section of `on_init`.
        section: String,
        /// The command, without secrets.
        command: Command,
        /// Its exit status, or that it took too long.
        how: String,
        /// The last lines that it printed.
        lines: Vec<String>,
    },
}

fn indented(lines: &[String]) -> String {
    lines.iter().flat_map(|line| ["\n  ", line]).collect()
}

/// Runs the command of `section` and waits for its end. What it prints goes to the log.
///
/// # Errors
/// If the command cannot be started, fails or takes too long.
pub(crate) async fn run(
    section: &str,
    on_init: &OnInit,
    server: &Config,
    environment: &Environment,
) -> Result<(), OnInitError> {
    let section = section.to_owned();
    let command = &on_init.command;
    let user = on_init.user.as_deref().or(server.user.as_deref());
    let mut env = environment.inherited.clone();
    for (name, value) in server.env.iter().chain(&on_init.env) {
        env.push((name.into(), value.into()));
    }
    let spec = Spec {
        argv: command.argv.clone(),
        env,
        work_dir: environment.work_dir.clone(),
        identity: Identity::resolve(user, server.group.as_deref(), &server.groups)
            .map_err(|error| OnInitError::User { section: section.clone(), reason: error.to_string() })?,
        umask: server.umask,
        stdin: false,
        // It may have started a daemon that workers need.
        ends_family: false,
    };
    let start = async {
        let spawner = Spawner::start()?;
        let started = spawner.spawn(spec).await?;
        io::Result::Ok((spawner, Process::adopt(started, true, Arc::default())))
    };
    let (_spawner, process) = start.await.map_err(|error| OnInitError::Start {
        section: section.clone(),
        command: command.clone(),
        error,
    })?;
    let status = Arc::clone(process.status());
    let ended = timeout(on_init.exec_timeout, process.status().exited()).await;
    let how = match ended {
        Ok(exit) if exit.is_clean() => return Ok(()),
        Ok(exit) => exit.to_string(),
        Err(_) => {
            process.kill();
            process.status().exited().await;
            format!("it did not exit within {:?} ({section}.on_init.exec_timeout)", on_init.exec_timeout)
        }
    };
    let lines = status.output.tail();
    Err(OnInitError::Failed { section, command: command.clone(), how, lines })
}
