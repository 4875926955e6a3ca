//! `server.on_init`: a command that runs once, before the workers.

use std::io;
use std::sync::Arc;

use tokio::time::timeout;

use super::boot::Environment;
use super::config::{Config, OnInit};
use super::process::Process;
use super::spawner::Spawner;
use crate::os::process::{Identity, Spec};

/// Runs the command and waits for its end. What it prints goes to the log.
///
/// # Errors
/// Says which command failed and how.
pub(crate) async fn run(on_init: &OnInit, server: &Config, environment: &Environment) -> Result<(), String> {
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
        identity: Identity::resolve(user, server.group.as_deref())
            .map_err(|reason| format!("server.on_init.user: {reason}"))?,
        stdin: false,
        // It may have started a daemon that workers need.
        ends_family: false,
    };
    let start = async {
        let spawner = Spawner::start()?;
        let started = spawner.spawn(spec).await?;
        io::Result::Ok((spawner, Process::adopt(started, true)))
    };
    let (_spawner, process) =
        start.await.map_err(|error| format!("server.on_init: `{command}` cannot be started: {error}"))?;
    let status = Arc::clone(process.status());
    let ended = timeout(on_init.exec_timeout, process.status().exited()).await;
    let how = match ended {
        Ok(exit) if exit.is_clean() => return Ok(()),
        Ok(exit) => exit.to_string(),
        Err(_) => {
            process.kill();
            process.status().exited().await;
            format!("it did not exit within {:?} (server.on_init.exec_timeout)", on_init.exec_timeout)
        }
    };
    let lines = status.output.tail().join("\n  ");
    let lines = if lines.is_empty() { lines } else { format!("\n  {lines}") };
    Err(format!("server.on_init: `{command}` failed: {how}{lines}"))
}
