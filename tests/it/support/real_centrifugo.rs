//! A real Centrifugo in front of a server, and browsers in front of it.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Killed, Server, eventually, ports, python, repository};

/// Where Centrifugo listens: an address that no other program uses.
pub const HOST: &str = "127.0.1.3";

/// A port for it.
pub fn free_port() -> u16 {
    ports::free_port(HOST)
}

/// The binary: `$CENTRIFUGO`, else the one that `scripts/setup.sh` has installed. `None`, and a line that says so, without either.
pub fn binary() -> Option<PathBuf> {
    let named = std::env::var_os("CENTRIFUGO").filter(|path| !path.is_empty()).map(PathBuf::from);
    let installed = || Some(repository().join("target/bin/centrifugo")).filter(|path| path.exists());
    let found = named.or_else(installed);
    if found.is_none() {
        eprintln!("skipped: there is no Centrifugo; `make test` installs it if Go is installed");
    }
    found
}

/// A running Centrifugo; killed when it is dropped.
pub struct RealCentrifugo {
    process: Child,
    port: u16,
    _folder: TempDir,
}

impl RealCentrifugo {
    /// Starts it with every event going to `server`, within Centrifugo's deadline `timeout`, and its own API on `api_port`. Without
    /// `asks_for_connect` it lets everybody in by itself.
    pub async fn start(
        binary: &PathBuf,
        server: &Server,
        timeout: &str,
        api_port: u16,
        asks_for_connect: bool,
    ) -> Self {
        Self::start_with_rpcs(binary, [server, server], timeout, api_port, asks_for_connect).await
    }

    /// The same with RPCs going to the second server.
    pub async fn start_with_rpcs(
        binary: &PathBuf,
        servers: [&Server; 2],
        timeout: &str,
        api_port: u16,
        asks_for_connect: bool,
    ) -> Self {
        Self::start_with(binary, servers, timeout, api_port, asks_for_connect, &json!({})).await
    }

    /// The same with every event going to one server, called as `grpc` says.
    pub async fn start_secured(binary: &PathBuf, server: &Server, api_port: u16, grpc: &Value) -> Self {
        Self::start_with(binary, [server, server], "3s", api_port, true, grpc).await
    }

    async fn start_with(
        binary: &PathBuf,
        [server, of_rpcs]: [&Server; 2],
        timeout: &str,
        api_port: u16,
        asks_for_connect: bool,
        grpc: &Value,
    ) -> Self {
        let port = free_port();
        let proxy_to = |server: &Server| {
            let endpoint = format!("grpc://{}", server.address());
            json!({"endpoint": endpoint, "timeout": timeout, "grpc": grpc})
        };
        let proxy = proxy_to(server);
        let mut connect = proxy.clone();
        connect["enabled"] = asks_for_connect.into();
        let config = json!({
            "http_server": {"address": HOST, "port": port.to_string()},
            "health": {"enabled": true},
            // Otherwise a client's commands wait for each other.
            "client": {
                "allowed_origins": ["*"],
                "proxy": {"connect": connect},
                "allow_anonymous_connect_without_token": !asks_for_connect,
                "concurrency": 1024,
            },
            "rpc": {"proxy": proxy_to(of_rpcs), "without_namespace": {"proxy_enabled": true}},
            "channel": {
                "proxy": {"subscribe": proxy, "publish": proxy},
                "without_namespace": {"subscribe_proxy_enabled": true, "publish_proxy_enabled": true},
                "namespaces": [{"name": "private", "subscribe_proxy_enabled": true}],
            },
            "grpc_api": {"enabled": true, "address": HOST, "port": api_port},
        });
        Self::start_as(binary, port, config).await
    }

    /// Starts it with subscriptions to channels of the namespaces `stream` and `talk` as streams of `server`.
    pub async fn start_with_streams(binary: &PathBuf, server: &Server) -> Self {
        let port = free_port();
        let config = json!({
            "http_server": {"address": HOST, "port": port.to_string()},
            "client": {"allowed_origins": ["*"], "allow_anonymous_connect_without_token": true},
            "channel": {
                "proxy": {"subscribe_stream": {"endpoint": format!("grpc://{}", server.address()), "timeout": "3s"}},
                "namespaces": [
                    {"name": "stream", "subscribe_stream_proxy_enabled": true},
                    {
                        "name": "talk",
                        "subscribe_stream_proxy_enabled": true,
                        "subscribe_stream_proxy_bidirectional": true,
                    },
                ],
            },
        });
        Self::start_as(binary, port, config).await
    }

    /// Starts it with this configuration, in which it listens on `port`.
    pub async fn start_as(binary: &PathBuf, port: u16, config: Value) -> Self {
        Self::start_with_env(binary, port, config, []).await
    }

    /// The same with these variables.
    pub async fn start_with_env<'a>(
        binary: &PathBuf,
        port: u16,
        mut config: Value,
        env: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        config["log"] = json!({"level": "none"});
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("centrifugo.json");
        std::fs::write(&file, config.to_string()).unwrap();
        let process = Command::new(binary)
            .arg("-c")
            .arg(&file)
            .envs(env)
            .stdout(Stdio::null())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let centrifugo = Self { process, port, _folder: folder };
        eventually("Centrifugo listens", || std::net::TcpStream::connect((HOST, port)).is_ok()).await;
        centrifugo
    }

    /// Begins a scenario that is not to end well.
    pub fn begin(&self, scenario: &[&str]) -> Killed {
        let mut command = self.clients(scenario);
        Killed(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn clients(&self, scenario: &[&str]) -> Command {
        let mut command = Command::new(python());
        command
            .arg(repository().join("tests/clients/client.py"))
            .arg(format!("{HOST}:{}", self.port))
            .args(scenario);
        command
    }

    /// Runs a scenario of `tests/clients/client.py`. Returns what its clients saw.
    pub async fn play(&self, scenario: &[&str]) -> Value {
        let mut command = self.clients(scenario);
        let play = move || -> Output { command.stderr(Stdio::inherit()).output().unwrap() };
        let output = tokio::task::spawn_blocking(play).await.unwrap();
        assert!(output.status.success(), "the clients failed");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Drop for RealCentrifugo {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
