//! `causeway check`: reports mistakes in the configuration, or what it would run; and which pool would answer a call.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use super::format::one_line;
use super::{Global, Mistake, route};
use crate::compat;
use crate::config::Loaded;
use crate::secrets;
use crate::worker::{RelayAddress, find_program};

/// What to check beside the configuration.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  causeway check
  causeway check --route rpc report.daily    which pool answers this RPC, and why
  causeway check --route connect

Exit codes: 0 valid, even with warnings; 2 a mistake in the arguments or the configuration.")]
pub(super) struct Args {
    /// Show which pool answers calls of this type, with this method (rpc) or channel
    #[arg(long, value_names = ["TYPE", "METHOD|CHANNEL"], num_args = 1..=2)]
    route: Option<Vec<String>>,
}

pub(super) fn run(global: &Global, args: &Args) -> anyhow::Result<ExitCode> {
    let loaded = global.load()?;
    let mut text = String::new();
    for warning in &loaded.warnings {
        let _ = writeln!(text, "warning: {}", one_line(&warning.to_string()));
    }
    match &args.route {
        Some(call) => text.push_str(&route::explain(&loaded.config, call)?),
        None => text.push_str(&summary(&loaded)?),
    }
    io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn summary(loaded: &Loaded) -> Result<String, Mistake> {
    let config = &loaded.config;
    let command = config.pool.command.as_ref().unwrap_or(&config.server.command);
    let key = if config.pool.command.is_some() { "centrifuge.pool.command" } else { "server.command" };
    let own = config.server.env.iter().map(|(name, value)| (name.as_ref(), value.as_ref()));
    let variables: Vec<_> =
        loaded.env.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str())).chain(own).collect();
    let program = find_program(&command.argv[0], &loaded.work_dir, variables.into_iter());
    let program = program.map_err(|reason| Mistake(loaded.hide(key, reason)))?;
    let rows = [
        ("program", key, program.display().to_string()),
        ("directory", "", loaded.work_dir.display().to_string()),
        ("relay", "server.relay", relay(&config.server.relay)),
        ("proxy", "centrifuge.proxy_address", config.proxy.address.to_string()),
        ("api", "centrifuge.grpc_api_address", config.api.address.clone()),
        ("rpc", "rpc.listen", config.rpc.as_ref().map_or("none".into(), |rpc| rpc.listen.to_string())),
        ("grace period", "endure.grace_period", format!("{:?}", config.grace_period)),
        ("compat", "", format!("{} ({})", config.compat, loaded.migration.source)),
    ];
    // The command hides its own secrets.
    let mut text = String::new();
    let _ =
        writeln!(text, "{:13} {} x `{}`", "workers", config.pool.num_workers, one_line(&command.to_string()));
    for (name, key, value) in rows {
        let value = loaded.hide(key, value);
        let _ = writeln!(text, "{name:13} {}", one_line(&secrets::scrub(&value)));
    }
    text.push_str(&pools(loaded));
    let other = format!("under {}", config.compat.other());
    for note in &loaded.migration.notes {
        let _ = writeln!(text, "{other:13} {}", one_line(&note.to_string()));
    }
    Ok(text)
}

/// The pools beside the default one, and the table of routes.
fn pools(loaded: &Loaded) -> String {
    let config = &loaded.config;
    let mut text = String::new();
    if config.pools.is_empty() {
        return text;
    }
    for pool in &config.pools {
        let command = pool.pool.command.as_ref().unwrap_or(&pool.server.command);
        let key = format!("{}.relay", pool.section());
        let relay = loaded.hide("server.relay", loaded.hide(&key, relay(&pool.server.relay)));
        let relay = secrets::scrub(&relay);
        let optional = if pool.routing.required { "" } else { ", not required" };
        let line = format!("{}: {} x `{command}`, {relay}{optional}", pool.name(), pool.pool.num_workers);
        let _ = writeln!(text, "{:13} {}", "pool", one_line(&line));
    }
    text.push_str(&route::table(config));
    let _ = writeln!(text, "all other calls go to {}", compat::PLUGIN);
    text
}

fn relay(relay: &RelayAddress) -> String {
    match relay {
        RelayAddress::Pipes => "pipes".to_owned(),
        RelayAddress::Tcp(address) => format!("tcp://{address}"),
        RelayAddress::Unix(path) => format!("unix://{}", path.display()),
    }
}
