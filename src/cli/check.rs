//! `causeway check`: reports mistakes in the configuration, or what it would run.

use std::io::{self, Write as _};
use std::process::ExitCode;

use super::format::one_line;
use super::{Global, Mistake};
use crate::secrets;
use crate::worker::{RelayAddress, find_program};

pub(super) fn run(global: &Global) -> anyhow::Result<ExitCode> {
    let loaded = global.load()?;
    let mut out = io::stdout().lock();
    let config = &loaded.config;
    for warning in &loaded.warnings {
        writeln!(out, "warning: {}", one_line(&warning.to_string()))?;
    }
    let command = config.pool.command.as_ref().unwrap_or(&config.server.command);
    let key = if config.pool.command.is_some() { "centrifuge.pool.command" } else { "server.command" };
    let own = config.server.env.iter().map(|(name, value)| (name.as_ref(), value.as_ref()));
    let variables: Vec<_> =
        loaded.env.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str())).chain(own).collect();
    let program = find_program(&command.argv[0], &loaded.work_dir, variables.into_iter());
    let program = program.map_err(|reason| Mistake(loaded.hide(key, reason)))?;
    let relay = match &config.server.relay {
        RelayAddress::Pipes => "pipes".to_owned(),
        RelayAddress::Tcp(address) => format!("tcp://{address}"),
        RelayAddress::Unix(path) => format!("unix://{}", path.display()),
    };
    // The command hides its own secrets.
    writeln!(out, "{:13} {} x `{}`", "workers", config.pool.num_workers, one_line(&command.to_string()))?;
    let rows = [
        ("program", key, program.display().to_string()),
        ("directory", "", loaded.work_dir.display().to_string()),
        ("relay", "server.relay", relay),
        ("proxy", "centrifuge.proxy_address", config.proxy.address.to_string()),
        ("api", "centrifuge.grpc_api_address", config.api.address.clone()),
        ("rpc", "rpc.listen", config.rpc.as_ref().map_or("none".into(), |rpc| rpc.listen.to_string())),
        ("grace period", "endure.grace_period", format!("{:?}", config.grace_period)),
    ];
    for (name, key, value) in rows {
        let value = loaded.hide(key, value);
        writeln!(out, "{name:13} {}", one_line(&secrets::scrub(&value)))?;
    }
    Ok(ExitCode::SUCCESS)
}
