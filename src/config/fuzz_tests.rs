//! Whatever stands in a configuration, it is read or told what is wrong with it.

use bolero::TypeGenerator;

use super::*;

/// Lines that mean something somewhere, so that chance gets beyond the first check.
const KEYS: [&str; 24] = [
    "version",
    "server",
    "centrifuge",
    "rpc",
    "logs",
    "endure",
    "include",
    "envfile",
    "command",
    "relay",
    "env",
    "on_init",
    "pool",
    "num_workers",
    "supervisor",
    "dynamic_allocator",
    "exec_ttl",
    "watch",
    "proxy_address",
    "tls",
    "listen",
    "grace_period",
    "debug",
    "<<",
];

const VALUES: [&str; 20] = [
    "'3'",
    "3",
    "2.7",
    "true",
    "null",
    "''",
    "php app.php",
    "\"a 'b\"",
    "tcp://127.0.0.1:0",
    "unix://x",
    "pipes",
    "10s",
    "-1s",
    "1h30m",
    "99999999999999999999",
    "[a, 1]",
    "{a: 1}",
    "${A:-${B}}",
    "*x",
    "&x {y: 1}",
];

#[derive(Debug, Clone, TypeGenerator)]
enum Line {
    /// A key at a depth, with a value of its own or with what is deeper.
    Entry {
        depth: u8,
        key: u8,
        value: Option<u8>,
    },
    Item {
        depth: u8,
        value: u8,
    },
    Any(String),
}

impl Line {
    fn text(&self) -> String {
        let indent = |depth: u8| "  ".repeat(usize::from(depth % 5));
        let of = |list: &[&'static str], index: u8| list[usize::from(index) % list.len()];
        match self {
            Self::Entry { depth, key, value } => {
                let value = value.map_or("", |value| of(&VALUES, value));
                format!("{}{}: {value}\n", indent(*depth), of(&KEYS, *key))
            }
            Self::Item { depth, value } => format!("{}- {}\n", indent(*depth), of(&VALUES, *value)),
            Self::Any(text) => format!("{text}\n"),
        }
    }
}

#[test]
fn any_configuration_is_read_or_told_what_is_wrong_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".rr.yaml");
    let sources = Sources { path: path.clone(), ..Sources::default() };
    bolero::check!().with_type::<(bool, Vec<Line>)>().with_iterations(3_000).for_each(|(is_near, lines)| {
        let least = if *is_near { "version: '3'\nserver: {command: php app.php}\n" } else { "" };
        let text: String = lines.iter().map(Line::text).collect();
        std::fs::write(&path, format!("{least}{text}")).unwrap();
        if let Err(error) = load(&sources) {
            assert!(!error.to_string().is_empty());
        }
    });
}
