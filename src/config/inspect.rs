//! Mistakes in settings that can be read: each component checks its own, and this checks what involves two of them.

use std::borrow::Cow;
use std::collections::HashSet;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};

use super::Config;
use super::node::{At, Node};
use super::problems::{Problem, Problems};
use super::shown;
use crate::admin;
use crate::findings::{Finding, Findings, Machine, Weight};
use crate::net::{Address, host_and_port};
use crate::pools;
use crate::worker::{self, RelayAddress};

/// Checks everything, the machine included: some settings can be wrong only on the machine where they are used.
pub(super) fn inspect(config: &Config, tree: &Node, machine: Machine<'_>, problems: &Problems) {
    let mut findings = Findings::default();
    config.limits.validate(&mut findings);
    config.proxy.validate(machine, &mut findings);
    config.api.validate(machine, &mut findings);
    let own = config.pool.command.as_ref().map(|command| ("centrifuge.pool", command));
    config.server.validate(&|key| format!("server.{key}"), own, machine, &mut findings);
    config.pool.validate("centrifuge.pool", &mut findings);
    for pool in &config.pools {
        let section = pool.section();
        pool.validate(|key| find(tree, &format!("{section}.{key}")).1, machine, &mut findings);
        pool.pool.validate(&section, &mut findings);
    }
    pools::validate_routes(&config.pools, &mut findings);
    config.logs.validate(machine, &mut findings);
    if let Some(rpc) = &config.rpc {
        rpc.validate(machine, &mut findings);
    }
    if let Some(lock) = &config.lock {
        lock.validate(config.compat, machine, &mut findings);
    }
    if let Some(metrics) = &config.metrics {
        metrics.validate(machine, &mut findings);
    }
    if let Some(status) = &config.status {
        status.validate(machine, &mut findings);
    }
    if let (Some(status), Some(metrics)) = (&config.status, &config.metrics) {
        admin::validate_shared(status, metrics, &mut findings);
    }
    if let Some(otel) = &config.otel {
        otel.validate(machine, &mut findings);
    }
    for finding in findings.into_list() {
        add(&finding, tree, problems);
    }
    collisions(&listeners(config, tree), tree, machine.work_dir, problems);
    owners(config, tree, problems);
    calls_to_itself(config, tree, problems);
}

/// Reports a finding with its place, unless it follows from a value that could not be read.
pub(super) fn add(finding: &Finding, tree: &Node, problems: &Problems) {
    let Finding { key, message, weight } = finding;
    let message = without_values(message.clone(), tree, key);
    match weight {
        _ if problems.spoil(key) => {}
        Weight::Mistake => problems.mistake(&place(tree, key), Some(key), message),
        Weight::Odd => problems.warn(&place(tree, key), Some(key), message),
    }
}

/// Returns the message with the file's variable references in place of their values.
pub(super) fn without_values(message: String, tree: &Node, key: &str) -> String {
    match find(tree, key) {
        (node, true) => shown::without_value(message, node, key),
        _ => message,
    }
}

/// The problem of an error that begins with the key of a setting, or the keys of several; `None` if it does not.
pub(super) fn locate(error: &str, tree: &Node) -> Option<Problem> {
    let (keys, message) = error.split_once(": ")?;
    let keys: Vec<_> = keys.split(", ").collect();
    let known = |key: &&&str| key.split('.').next().is_some_and(|section| tree.get(section).is_some());
    let first = keys.iter().find(known)?;
    let message = keys.iter().fold(message.to_owned(), |message, key| without_values(message, tree, key));
    Some(Problem::at(&place(tree, first), Some(first), message))
}

/// The place of a key, or of the section that it would be in.
pub(super) fn place(tree: &Node, key: &str) -> At {
    find(tree, key).0.at.clone()
}

/// The node of a key, or the innermost one on the way to it; and whether it is the key's own.
fn find<'a>(tree: &'a Node, key: &str) -> (&'a Node, bool) {
    let mut node = tree;
    for part in key.split(['.', '[']) {
        let index = part.strip_suffix(']').and_then(|index| index.parse::<usize>().ok());
        let next = match index {
            Some(index) => node.items().get(index),
            None => node.get(part),
        };
        match next {
            Some(next) => node = next,
            None => return (node, false),
        }
    }
    (node, true)
}

/// The address of a listener, and its key.
type Listener = (Cow<'static, str>, Address);

fn listeners(config: &Config, tree: &Node) -> Vec<Listener> {
    let tcp = |address: &String| Address::Tcp(address.clone());
    let operators = config.rpc.as_ref().and_then(|rpc| rpc.operators.as_ref());
    let all = [
        ("centrifuge.proxy_address", Some(config.proxy.address.clone())),
        ("rpc.listen", config.rpc.as_ref().map(|rpc| rpc.listen.clone())),
        ("rpc.operators.listen", operators.and_then(|operators| operators.listen.clone())),
        ("server.relay", config.server.relay.listener()),
        ("metrics.address", config.metrics.as_ref().map(|metrics| tcp(&metrics.address))),
        ("status.address", config.status.as_ref().map(|status| tcp(&status.address))),
    ];
    let all = all.into_iter().map(|(key, address)| (Cow::Borrowed(key), address));
    let pools = config.pools.iter().map(|pool| {
        let key = format!("{}.relay", pool.section());
        // Otherwise it is that of `server`.
        let relay = if find(tree, &key).1 { pool.server.relay.listener() } else { None };
        (Cow::Owned(key), relay)
    });
    all.chain(pools).filter_map(|(key, address)| Some((key, address?))).collect()
}

/// Reports pools whose workers could not use the socket that they share: it has one owner.
fn owners(config: &Config, tree: &Node, problems: &Problems) {
    let owner = |server: &worker::Config| (server.user.clone(), server.group.clone());
    let mut known = vec![("server".to_owned(), &config.server)];
    for pool in &config.pools {
        let section = pool.section();
        let shares = |(_, other): &&(String, &worker::Config)| {
            matches!(other.relay, RelayAddress::Unix(_)) && other.relay == pool.server.relay
        };
        match known.iter().find(shares) {
            Some((other, server)) if owner(server) != owner(&pool.server) => {
                let key = format!("{section}.relay");
                let text = format!(
                    "workers of another user or group use the same socket ({other}.relay); expected another path"
                );
                problems.mistake(&place(tree, &key), Some(&key), text);
            }
            Some((other, server)) if server.relay_socket != pool.server.relay_socket => {
                let key = format!("{section}.relay_socket");
                let text = format!("expected that of {other}, since their workers use the same socket");
                problems.mistake(&place(tree, &key), Some(&key), text);
            }
            _ => known.push((section, &pool.server)),
        }
    }
}

/// Reports addresses that two listeners want.
fn collisions(listeners: &[Listener], tree: &Node, work_dir: &Path, problems: &Problems) {
    let places: Vec<Place> = listeners.iter().map(|(_, address)| Place::of(address, work_dir)).collect();
    let mut mistakes = Vec::new();
    for (index, (key, address)) in listeners.iter().enumerate() {
        let earlier = listeners.iter().zip(&places).take(index);
        for ((other, used), place) in earlier {
            let collides = place.collides(&places[index]) && !share((other, used), (key, address));
            if collides && !problems.spoil(key) && !problems.spoil(other) {
                mistakes.push((key, other, used));
                break;
            }
        }
    }
    for (key, other, address) in mistakes {
        let text = format!("{address} is already used by {other} ({})", self::place(tree, other));
        let text = without_values(text, tree, other);
        problems.mistake(&self::place(tree, key), Some(key), text);
    }
}

/// Whether two settings are served by one listener.
fn share(one: (&str, &Address), other: (&str, &Address)) -> bool {
    let is_admin = |key| matches!(key, "metrics.address" | "status.address");
    let is_relay = |key: &str| key.rsplit('.').next() == Some("relay");
    match (one, other) {
        ((key, address), (other_key, other)) if is_relay(key) && is_relay(other_key) => address == other,
        ((key, Address::Tcp(address)), (other_key, Address::Tcp(other))) => {
            is_admin(key) && is_admin(other_key) && admin::is_same_listener(address, other)
        }
        _ => false,
    }
}

/// What a listener occupies.
enum Place {
    Port { hosts: HashSet<IpAddr>, port: u16 },
    File(PathBuf),
}

impl Place {
    fn of(address: &Address, work_dir: &Path) -> Self {
        match address {
            Address::Tcp(text) => {
                let addresses = Address::bindable(text).to_socket_addrs();
                let hosts =
                    addresses.into_iter().flatten().map(|address| address.ip().to_canonical()).collect();
                Self::Port { hosts, port: host_and_port(text).map_or(0, |(_, port)| port) }
            }
            Address::Unix(path) => {
                let path = work_dir.join(path);
                // The file itself may not exist yet.
                let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
                Self::File(match (folder, path.file_name()) {
                    (Some(folder), Some(name)) => folder.join(name),
                    _ => path,
                })
            }
        }
    }

    fn collides(&self, other: &Self) -> bool {
        match (self, other) {
            // Port 0 is any free one.
            (Self::Port { port: 0, .. }, _) | (_, Self::Port { port: 0, .. }) => false,
            (Self::Port { hosts: a, port: one }, Self::Port { hosts: b, port: two }) => {
                one == two && a.iter().any(|a| b.iter().any(|b| overlap(*a, *b)))
            }
            (Self::File(one), Self::File(two)) => one == two,
            _ => false,
        }
    }
}

/// Returns whether listeners at both addresses conflict: the unspecified address includes all others, and that of IPv6 includes IPv4.
fn overlap(a: IpAddr, b: IpAddr) -> bool {
    let is_all =
        |address: IpAddr, other: IpAddr| address.is_unspecified() && (address.is_ipv6() || other.is_ipv4());
    a == b || is_all(a, b) || is_all(b, a)
}

/// Warns if calls to Centrifugo's API would come back to this server, because the two addresses were mixed up.
fn calls_to_itself(config: &Config, tree: &Node, problems: &Problems) {
    let key = "centrifuge.grpc_api_address";
    for (other, address) in listeners(config, tree) {
        let Address::Tcp(address) = address else { continue };
        if is_same_port(&config.api.address, &address) && !problems.spoil(key) && !problems.spoil(&other) {
            let text = format!(
                "this server itself listens there ({other}); expected the address of Centrifugo's gRPC API (grpc_api.port, 10000)"
            );
            problems.warn(&place(tree, key), Some(key), text);
        }
    }
}

/// Returns whether a call to `api` reaches a listener at `address`. Names of other machines are not resolved.
fn is_same_port(api: &str, address: &str) -> bool {
    let local = Address::reachable(address);
    let (Some((called, port)), Some((listens, own))) = (host_and_port(api), host_and_port(&local)) else {
        return false;
    };
    let is_loopback = |host: &str| {
        host == "localhost"
            || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback() || address.is_unspecified())
    };
    port == own && port != 0 && (called == listens || is_loopback(called) && is_loopback(listens))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collide(a: &str, b: &str) -> bool {
        let place = |text: &str| Place::of(&text.parse().unwrap(), Path::new("/"));
        place(a).collides(&place(b))
    }

    #[test]
    fn addresses_collide_when_two_listeners_cannot_have_both() {
        assert!(collide("127.0.0.1:1", "127.0.0.1:1"));
        assert!(collide("127.0.0.1:1", ":1") && collide("0.0.0.0:1", "127.0.0.1:1"));
        assert!(collide("[::]:1", "127.0.0.1:1") && collide("[::1]:1", "[::]:1"));
        assert!(collide("localhost:1", "127.0.0.1:1"));
        assert!(collide("[::ffff:127.0.0.1]:1", "127.0.0.1:1"));
        assert!(!collide("127.0.0.1:1", "127.0.0.1:2") && !collide("127.0.0.1:1", "127.0.0.2:1"));
        assert!(!collide("0.0.0.0:1", "[::1]:1"));
        assert!(!collide("127.0.0.1:0", "127.0.0.1:0"));
        assert!(collide("unix:///tmp/a", "unix:///tmp/../tmp/a"));
        assert!(!collide("unix:///tmp/a", "unix:///tmp/b") && !collide("unix:///tmp/a", "127.0.0.1:1"));
    }

    #[test]
    fn calls_that_come_back_are_noticed_under_any_name_of_this_machine() {
        for (api, address) in [
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("localhost:1", ":1"),
            ("127.0.0.1:1", "0.0.0.0:1"),
            ("[::1]:1", "[::]:1"),
            ("bridge:1", "bridge:1"),
        ] {
            assert!(is_same_port(api, address), "{api} {address}");
        }
        for (api, address) in
            [("127.0.0.1:1", "127.0.0.1:2"), ("centrifugo:1", ":1"), ("10.0.0.1:1", "127.0.0.1:1")]
        {
            assert!(!is_same_port(api, address), "{api} {address}");
        }
    }
}
