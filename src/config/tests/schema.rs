//! The JSON schema accepts what loads without a warning, and knows no other keys.

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::{Value as Json, json};

use super::*;
use crate::config::node::{Node, Value};
use crate::config::problems::Problems;
use crate::config::{schema, yaml};

struct Validator {
    schemas: Schemas,
    index: SchemaIndex,
    schema: Json,
}

impl Validator {
    fn new() -> Self {
        let schema: Json = serde_json::from_str(&schema()).unwrap();
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.add_resource("schema.json", schema.clone()).unwrap();
        let index = compiler.compile("schema.json", &mut schemas).unwrap();
        Self { schemas, index, schema }
    }

    /// What is wrong with a file, as an editor would read it.
    fn check(&self, text: &str) -> Result<(), String> {
        let tree = yaml::parse("", text, &Problems::default()).unwrap();
        self.schemas.validate(&json(&tree), self.index).map_err(|error| format!("{error:#}"))
    }

    #[track_caller]
    fn accepts(&self, text: &str) {
        self.check(text).unwrap_or_else(|error| panic!("{text}\n{error}"));
    }

    #[track_caller]
    fn rejects(&self, text: &str) {
        assert!(self.check(text).is_err(), "{text}");
    }
}

fn json(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Scalar { text, plain: true, .. } => match text.as_str() {
            "true" => true.into(),
            "false" => false.into(),
            _ => text.parse::<serde_json::Number>().map_or_else(|_| text.as_str().into(), Json::Number),
        },
        Value::Scalar { text, .. } => text.as_str().into(),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(entries) => entries.iter().map(|(key, node)| (key.clone(), json(node))).collect(),
    }
}

/// The file with these lines.
fn file(lines: &str) -> String {
    format!("version: '3'\n{lines}\n")
}

#[test]
fn the_schema_accepts_every_file_in_the_repository() {
    let validator = Validator::new();
    for name in [
        "config/minimal.rr.yaml",
        "config/reference.rr.yaml",
        "tests/fixtures/ticket-booking.rr.yaml",
        "tests/vectors/roadrunner-2025.rr.yaml",
        "tests/vectors/roadrunner-3.rr.yaml",
        "examples/cinema/.rr.yaml",
        "workers/python/examples/django_shop/.rr.yaml",
        "workers/python/examples/fastapi_shop/.rr.yaml",
    ] {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
        validator.check(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn the_schema_accepts_each_notation_of_a_value() {
    let validator = Validator::new();
    for lines in [
        "server: {command: php app.php, env: {A: 1, B: true}, umask: '0027'}",
        "server: {command: [php, app.php], env: [{A: b}], groups: 'a,b', on_init: }",
        "server.command: php app.php",
        "Server: {Command: php app.php}",
        "centrifuge: {pool: {num_workers: '4', max_jobs: 0x10, debug: on, fence: 1}}",
        "centrifuge: {pool: {allocate_timeout: 10, destroy_timeout: 1h30m, slow_after: '.5s', abandon_ttl: ''}}",
        "centrifuge: {pool: {num_workers: $N, debug: '${DEBUG:-no}', supervisor: {ttl: $TTL, max_worker_memory_hard: 1.5}}}",
        "centrifuge: {max_message_size: 64MB, proxy_credentials: {key: x, value: [a, b]}}",
        "centrifuge: {pools: {a: {match: {types: rpc, methods: [a, b]}, command: x, num_workers: 2}}}",
        "causeway: {compat: 3}",
        "causeway: {compat: '2025'}",
        "logs: {mode: off, level: WARN, output: stderr, channels: {server: {level: $LEVEL, mode: production}}}",
        "logs: {mode: false, level: notice}",
        "metrics: {collect: {a: {type: summary, objectives: {0.5: 0.05}, labels: [a]}}}",
        "lock: {driver: redis, config: {addrs: ['a:1'], db: -1, tls: {}}}",
        "http: {address: ':8080', any: {thing: 1}}",
        "jobs:",
        "app: {theme: dark}",
    ] {
        validator.accepts(&file(lines));
    }
}

#[test]
fn the_schema_rejects_unknown_keys_and_wrong_values() {
    let validator = Validator::new();
    for lines in [
        "centrifuges: {}",
        "server: {comand: x}",
        "server: {on_init: {comand: x}}",
        "rpc: {operators: {lisen: x}}",
        "centrifuge: {pool: {num_worker: 1}}",
        "centrifuge: {pool: {supervisor: {tttl: 1s}}}",
        "centrifuge: {pools: {a: {num_worker: 1}}}",
        "centrifuge: {pools: {a: {match: {type: rpc}}}}",
        "logs: {channels: {server: {levl: debug}}}",
        "metrics: {collect: {a: {typ: counter}}}",
        "centrifuge: 5",
        "centrifuge: {pool: {num_workers: many}}",
        "centrifuge: {pool: {num_workers: -1}}",
        "centrifuge: {pool: {num_workers: [1]}}",
        "centrifuge: {pool: {debug: perhaps}}",
        "centrifuge: {pool: {allocate_timeout: 5 days}}",
        "centrifuge: {pool: {allocate_timeout: -5s}}",
        "centrifuge: {pool: {codec: xml}}",
        "server: {relay: {a: b}}",
    ] {
        validator.rejects(&file(lines));
    }
    validator.rejects("version: 3\n");
    validator.rejects("server: {command: x}\n");
}

#[test]
fn the_schema_describes_every_key() {
    fn visit(schema: &Json, path: &str, bare: &mut Vec<String>) {
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            // A section says what it is by its keys.
            if schema.get("description").is_none() && schema.get("properties").is_none() {
                bare.push(path.clone());
            }
            visit(schema, &path, bare);
            visit(&schema["additionalProperties"], &path, bare);
        }
    }
    let schema = Validator::new().schema;
    let mut bare = Vec::new();
    visit(&schema, "", &mut bare);
    assert_eq!(bare, Vec::<String>::new(), "config/reference.rr.yaml has no comment for these keys");
    let pool = &schema["properties"]["centrifuge"]["properties"]["pool"]["properties"];
    assert_eq!(pool["max_jobs"]["default"], json!(0));
    assert_eq!(pool["codec"]["anyOf"][0], json!({"enum": ["proto", "json"]}));
    assert_eq!(schema["properties"]["server"]["properties"]["relay_timeout"]["deprecated"], json!(true));
}
