//! Configuration files of contenders and of Centrifugo.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::contender::Contender;
use crate::plan::{Relay, Row, Work};
use crate::process::free_port;

/// How long a bridge may take to stop.
pub(crate) const GRACE_PERIOD: Duration = Duration::from_secs(10);

/// The channels that have pools of their own in the row that is scraped.
pub(crate) const CHANNELS: [&str; 2] = ["a", "b"];

/// The socket of `rpc.listen`.
pub(crate) const RPC: &str = "rpc.sock";

/// Where a bridge listens, and whom it calls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses<'a> {
    pub(crate) proxy: &'a str,
    /// That of `status` and `metrics`.
    pub(crate) admin: &'a str,
    /// That of Centrifugo's API, or of the receiver of spans.
    pub(crate) api: &'a str,
}

/// Writes `.rr.yaml`: the same for Causeway and for RoadRunner, which knows no pools.
pub(crate) fn bridge(
    row: &Row,
    contender: Contender,
    command: &[String],
    addresses: Addresses<'_>,
    folder: &Path,
) -> anyhow::Result<()> {
    let relay = match row.relay {
        Relay::Pipes => "pipes".to_owned(),
        Relay::Tcp => format!("tcp://127.0.0.1:{}", free_port()?),
        Relay::Unix => format!("unix://{}", folder.join("relay.sock").display()),
    };
    let command = serde_json::to_string(command)?;
    let Addresses { proxy, admin, api } = addresses;
    let mut text = format!(
        "version: '3'
server:
  command: {command}
  relay: {relay}
logs:
  level: error
endure:
  grace_period: {}s
rpc:
  listen: unix://{}
centrifuge:
  proxy_address: tcp://{proxy}
  grpc_api_address: tcp://{api}
  pool:
    num_workers: {}
",
        GRACE_PERIOD.as_secs(),
        folder.join(RPC).display(),
        contender.workers(row.workers)
    );
    match contender {
        Contender::Unfenced => writeln!(text, "    fence: false")?,
        Contender::Apart => {
            let matches = "{types: [rpc], methods: [slow]}";
            writeln!(text, "  pools:\n    slow: {{match: {matches}, num_workers: {}}}", row.workers)?;
        }
        Contender::Routed => {
            writeln!(text, "  pools:")?;
            for number in 1..10 {
                let matches = format!("{{types: [rpc], methods: ['service{number}.*', 'other{number}']}}");
                writeln!(text, "    pool{number}: {{match: {matches}, num_workers: 1}}")?;
            }
            writeln!(text, "    last: {{match: {{methods: ['e*']}}, num_workers: {}}}", row.workers)?;
        }
        Contender::Observed | Contender::Scraped => {
            if matches!(row.work, Work::Scrapes { .. }) {
                text.push_str("  pools:\n");
                for channel in CHANNELS {
                    let matches = format!("{{channels: [{channel}]}}");
                    writeln!(text, "    {channel}: {{match: {matches}, num_workers: {}}}", row.workers)?;
                }
                let matches = "{types: [rpc], methods: [echo]}";
                writeln!(text, "    rpc: {{match: {matches}, num_workers: {}}}", row.workers)?;
            }
            writeln!(text, "status:\n  address: {admin}\nmetrics:\n  address: {admin}")?;
        }
        Contender::TracedShare | Contender::Traced => {
            let share = if contender == Contender::Traced { "1" } else { "0.01" };
            writeln!(text, "otel:\n  client: grpc\n  endpoint: http://{api}")?;
            writeln!(text, "  sampler: parentbased_traceidratio\n  sampler_arg: {share}")?;
            writeln!(text, "metrics:\n  address: {admin}")?;
        }
        _ => {}
    }
    std::fs::write(folder.join(".rr.yaml"), text).context("cannot write .rr.yaml")
}

/// Writes the file of a Centrifugo whose API is called.
pub(crate) fn api(address: &str, http: u16, folder: &Path) -> anyhow::Result<&'static str> {
    let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    let config = json!({
        "http_server": { "address": "127.0.0.1", "port": http.to_string() },
        "grpc_api": { "enabled": true, "address": "127.0.0.1", "port": port },
        "log": { "level": "error" },
    });
    write_centrifugo(&config, folder)
}

/// Writes the file of a Centrifugo that passes its clients' RPCs on to `endpoint`.
pub(crate) fn front(
    endpoint: &str,
    port: u16,
    in_flight: usize,
    folder: &Path,
) -> anyhow::Result<&'static str> {
    let config = json!({
        "http_server": { "address": "127.0.0.1", "port": port.to_string() },
        // Otherwise the commands of a client wait for each other.
        "client": { "allow_anonymous_connect_without_token": true, "concurrency": in_flight },
        // Nothing fails for being slow.
        "rpc": {
            "proxy": { "endpoint": endpoint, "timeout": "60s" },
            "without_namespace": { "proxy_enabled": true },
        },
        "log": { "level": "error" },
    });
    write_centrifugo(&config, folder)
}

fn write_centrifugo(config: &Value, folder: &Path) -> anyhow::Result<&'static str> {
    let name = "centrifugo.json";
    std::fs::write(folder.join(name), config.to_string()).context("cannot write centrifugo.json")?;
    Ok(name)
}

/// Writes the file of a php-fpm with a fixed number of workers.
pub(crate) fn fpm(workers: usize, folder: &Path) -> anyhow::Result<&'static str> {
    let name = "fpm.conf";
    let folder_name = folder.display();
    // As root, php-fpm requires a user, and nginx' workers run as another one.
    let text = format!(
        "[global]
error_log = {folder_name}/fpm.log
log_level = error
[www]
user = root
group = root
listen = {folder_name}/fpm.sock
listen.mode = 0666
pm = static
pm.max_children = {workers}
"
    );
    std::fs::write(folder.join(name), text).context("cannot write fpm.conf")?;
    Ok(name)
}

/// Writes the file of an nginx that passes all requests on to `script` in php-fpm. It keeps no connections there, since each would keep a
/// worker.
pub(crate) fn nginx(address: &str, script: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let (folder_name, script) = (folder.display(), script.display());
    let text = format!(
        "daemon off;
worker_processes 1;
pid {folder_name}/nginx.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000;
  client_body_temp_path {folder_name}/body;
  fastcgi_temp_path {folder_name}/fastcgi;
  proxy_temp_path {folder_name}/proxy;
  uwsgi_temp_path {folder_name}/uwsgi;
  scgi_temp_path {folder_name}/scgi;
  server {{
    listen {address} backlog=4096;
    location / {{
      fastcgi_pass unix:{folder_name}/fpm.sock;
      fastcgi_param SCRIPT_FILENAME {script};
      fastcgi_param REQUEST_METHOD $request_method;
      fastcgi_param CONTENT_TYPE $content_type;
      fastcgi_param CONTENT_LENGTH $content_length;
    }}
  }}
}}
"
    );
    let path = folder.join("nginx.conf");
    std::fs::write(&path, text).context("cannot write nginx.conf")?;
    Ok(path)
}
