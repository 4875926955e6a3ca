//! What commands need to reach a running server. The rest of its configuration may be invalid or gone by now.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::load::{default_or, optional, read, section, work_dir};
use super::node::Node;
use super::problems::{Problem, Problems};
use super::sections::{Centrifuge, Endure};
use super::{Error, Sources, inspect, pool_list};
use crate::net::Address;
use crate::tls::ServerFiles;
use crate::{api, pool, proxy, rpc, worker};

/// A server as its configuration describes it.
#[derive(Debug, Clone)]
pub struct Running {
    /// Where its relative paths start, and where its `.pid` is.
    pub work_dir: PathBuf,
    /// `rpc.listen`, or why it is not known.
    pub rpc: Result<ServerAddress, Error>,
    /// `centrifuge.proxy_address`, or why it is not known.
    pub proxy: Result<ServerAddress, Error>,
    /// `centrifuge.proxy_credentials`.
    pub credentials: Option<proxy::Credentials>,
    /// How long its shutdown may take; the default if the setting cannot be read.
    pub grace_period: Duration,
    /// How long the reset of one pool may take, the start of a worker included; the default if the settings cannot be read.
    pub reset_time: Duration,
    /// How long the start of a server may take; the default if the settings cannot be read.
    pub start_time: Duration,
    /// How long a call to Centrifugo's API may take; the default if the setting cannot be read.
    pub api_timeout: Duration,
}

/// An address to connect to. Messages show it as it is written in the configuration: variables in it may be secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    /// The address itself.
    pub address: Address,
    /// The certificate of its listener, if it has TLS.
    pub tls: Option<ServerFiles>,
    shown: String,
}

impl ServerAddress {
    fn of(address: Address, tls: Option<ServerFiles>, tree: &Node, key: &str) -> Self {
        let shown = inspect::without_values(address.to_string(), tree, key);
        Self { address, tls, shown }
    }
}

impl From<Address> for ServerAddress {
    fn from(address: Address) -> Self {
        Self { shown: address.to_string(), tls: None, address }
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// Reads what is needed to reach a running server.
///
/// # Errors
/// When there is no current directory.
pub fn running(sources: &Sources) -> Result<Running, Error> {
    let mut running = Running {
        work_dir: work_dir(sources)?,
        rpc: Ok(rpc::Config::default().listen.into()),
        proxy: Ok(proxy::Config::default().address.into()),
        credentials: None,
        grace_period: Endure::default().grace_period,
        reset_time: reset_time(&pool::Config::default()),
        start_time: pool::Config::default().allocate_timeout,
        api_timeout: api::Config::default().api_timeout,
    };
    let problems = Problems::default();
    match read(sources, &problems) {
        Ok(read) => fill(&mut running, &read.tree, problems, sources),
        Err(mistake) => {
            running.rpc = Err(mistake.clone().into());
            running.proxy = Err(mistake.into());
        }
    }
    Ok(running)
}

fn fill(running: &mut Running, tree: &Node, files: Problems, sources: &Sources) {
    running.rpc = rpc_address(tree, files, sources, &running.work_dir);
    // If one of these is wrong, the default applies.
    let problems = Problems::default();
    running.grace_period = default_or::<Endure>(section(tree, "endure"), "endure", &problems).grace_period;
    let centrifuge: Centrifuge = default_or(section(tree, "centrifuge"), "centrifuge", &problems);
    let (proxy, api, pool) = centrifuge.split();
    let server: worker::Config = default_or(section(tree, "server"), "server", &Problems::default());
    let pools = pool_list::read(tree, &worker::Config::default(), &Problems::default());
    running.start_time = super::start_time(&server, &pool, &pools);
    let pools = pools.iter().map(|pool| &pool.pool).chain([&pool]);
    running.reset_time = pools.map(reset_time).max().unwrap_or_default();
    running.api_timeout = api.api_timeout;
    running.credentials = proxy.credentials;
    running.proxy = if problems.spoil("centrifuge.proxy_address") {
        problems.finish(&sources.path).map(|_| proxy.address.into())
    } else {
        let tls = proxy.tls.map(|files| files.within(&running.work_dir));
        Ok(ServerAddress::of(proxy.address, tls, tree, "centrifuge.proxy_address"))
    };
}

/// Problems with the files may be the reason why it is missing, so they are part of the error.
fn rpc_address(
    tree: &Node,
    files: Problems,
    sources: &Sources,
    work_dir: &Path,
) -> Result<ServerAddress, Error> {
    let problems = Problems::default();
    match optional::<rpc::Config>(section(tree, "rpc"), "rpc", &problems) {
        Some(rpc) if !problems.spoil(rpc.for_commands().0) => {
            let (key, address, tls) = rpc.for_commands();
            let tls = tls.cloned().map(|files| files.within(work_dir));
            Ok(ServerAddress::of(address.clone(), tls, tree, key))
        }
        Some(_) => Err(problems.finish(&sources.path).err().unwrap_or_else(|| missing(sources).into())),
        None => {
            files.add(missing(sources));
            files.finish(&sources.path).map(|_| rpc::Config::default().listen.into())
        }
    }
}

fn missing(sources: &Sources) -> Problem {
    let text = "rpc.listen: missing, so a running server cannot be reached; expected a section such as \
                rpc: {listen: tcp://127.0.0.1:6001}";
    Problem::file(&sources.path, text)
}

/// A reset that is requested while the first workers start waits for them.
fn reset_time(pool: &pool::Config) -> Duration {
    pool.reset_timeout + pool.allocate_timeout
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Running {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".rr.yaml");
        std::fs::write(&path, text).unwrap();
        running(&Sources { path, ..Sources::default() }).unwrap()
    }

    #[test]
    fn only_what_is_needed_has_to_be_valid() {
        let text =
            "version: '3'\nrpc: {listen: 'unix://${X:-rpc}.sock'}\ncentrifuge: {pool: {num_workers: x}}\n";
        let running = read_text(text);
        assert_eq!(running.rpc.unwrap().address, Address::Unix("rpc.sock".into()));
        assert_eq!(running.reset_time, Duration::from_mins(2));
        assert_eq!(running.grace_period, Duration::from_secs(30));
    }

    #[test]
    fn times_are_those_of_the_file() {
        let text = "version: '3'\ncentrifuge: {api_timeout: 7s, pool: {reset_timeout: 2m, allocate_timeout: 10s}}\nendure: {grace_period: 5s}\n";
        let running = read_text(text);
        assert_eq!(running.reset_time, Duration::from_secs(130));
        assert_eq!(running.grace_period, Duration::from_secs(5));
        assert_eq!(running.api_timeout, Duration::from_secs(7));
    }

    #[test]
    fn without_an_address_the_error_names_the_key() {
        let why = |text: &str| read_text(text).rpc.unwrap_err().to_string();
        assert!(why("version: '3'\n").contains(".rr.yaml: rpc.listen: missing"));
        assert!(
            why("version: '3'\nrpc: {listen: nowhere}\n").contains(".rr.yaml:2: rpc.listen: expected tcp://")
        );
        assert!(why("a: [").contains("invalid YAML"));
        let missing =
            running(&Sources { path: "/nonexistent/.rr.yaml".into(), ..Sources::default() }).unwrap();
        assert!(missing.rpc.unwrap_err().to_string().contains("/nonexistent/.rr.yaml"));
        assert_eq!(missing.work_dir, PathBuf::from("/nonexistent"));
    }
}
