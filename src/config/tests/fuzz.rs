//! Any configuration is either read or refused with a reason.

use bolero::TypeGenerator;

use super::*;
use crate::config::load;

/// Keys that exist, so that random files get past the first check.
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
    /// A key at a depth, with a value or with deeper lines.
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
fn any_text_is_a_configuration_or_an_error() {
    let (folder, sources) = folder(&[(".rr.yaml", "")]);
    bolero::check!().with_type::<String>().with_iterations(2_000).for_each(|text| {
        std::fs::write(
            folder.path().join(".rr.yaml"),
            format!("version: '3'\nserver.command: x\ncentrifuge:\n  {text}"),
        )
        .unwrap();
        drop(load(&sources));
    });
}

#[test]
fn any_configuration_is_read_or_refused_with_a_reason() {
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

#[test]
fn no_message_about_any_configuration_shows_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".rr.yaml");
    let sources = Sources { path: path.clone(), ..Sources::default() };
    let secrets = [
        "api_key: hunter2",
        "api_key: 'hun${hunter2'",
        "DB_PASSWORD: [hunter2]",
        "token hunter2",
        "url: amqp://u:hunter2@h",
        "cmd: php --token hunter2",
    ];
    bolero::check!().with_type::<(u8, u8, Vec<Line>)>().with_iterations(2_000).for_each(
        |(which, depth, lines)| {
            let mut lines: Vec<String> = lines.iter().map(Line::text).collect();
            let secret = secrets[usize::from(*which) % secrets.len()];
            let place = usize::from(*depth) % (lines.len() + 1);
            lines.insert(place, format!("{}{secret}\n", "  ".repeat(usize::from(*depth / 8) % 5)));
            let text = format!("version: '3'\nserver: {{command: php app.php}}\n{}", lines.concat());
            std::fs::write(&path, &text).unwrap();
            let said = match load(&sources) {
                Ok(loaded) => format!("{:?}\n{}", loaded.warnings, loaded.shown),
                Err(error) => error.to_string(),
            };
            assert!(!said.contains("hunter2"), "{text}\n{said}");
        },
    );
}
