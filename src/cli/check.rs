//! `causeway check`: is the configuration right, and what would it run?

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;

use super::{Global, Mistake};
use crate::secrets;
use crate::worker::RelayAddress;

pub(super) fn run(global: &Global) -> anyhow::Result<ExitCode> {
    let loaded = global.load()?;
    let mut out = io::stdout().lock();
    let config = &loaded.config;
    for warning in &loaded.warnings {
        writeln!(out, "warning: {warning}")?;
    }
    let command = config.pool.command.as_ref().unwrap_or(&config.server.command);
    let path = loaded.env.iter().rev().find(|(name, _)| name == "PATH").map(|(_, value)| value.clone());
    let program = find(&command.argv[0], &loaded.work_dir, path.as_deref())
        .map_err(|error| Mistake(format!("server.command: {error}")))?;
    let relay = match &config.server.relay {
        RelayAddress::Pipes => "pipes".to_owned(),
        RelayAddress::Tcp(address) => format!("tcp://{address}"),
        RelayAddress::Unix(path) => format!("unix://{}", path.display()),
    };
    let rows = [
        ("workers", format!("{} x `{command}`", config.pool.num_workers)),
        ("program", program.display().to_string()),
        ("directory", loaded.work_dir.display().to_string()),
        ("relay", relay),
        ("proxy", config.proxy.address.to_string()),
        ("api", config.api.address.clone()),
        ("rpc", config.rpc.as_ref().map_or("none".into(), |rpc| rpc.listen.to_string())),
        ("grace period", format!("{:?}", config.grace_period)),
    ];
    for (name, value) in rows {
        writeln!(out, "{name:13} {}", secrets::scrub(&value))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The file that would be run, found as `execvp` finds it.
fn find(program: &str, work_dir: &Path, path: Option<&std::ffi::OsStr>) -> anyhow::Result<PathBuf> {
    if program.contains('/') {
        let file = work_dir.join(program);
        if !is_executable(&file) {
            bail!("{} is not an executable file", secrets::scrub(&file.display().to_string()));
        }
        return Ok(file);
    }
    let path = path.unwrap_or_default();
    let found = std::env::split_paths(path)
        .map(|folder| work_dir.join(folder).join(program))
        .find(|file| is_executable(file));
    match found {
        Some(file) => Ok(file),
        None => bail!("`{}` is not found in PATH ({})", secrets::scrub(program), path.display()),
    }
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
