//! Which module may import which, checked against the paths in the code.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::support::repository;

/// The modules that each module may import. Any module may import the primitives.
fn allowed() -> BTreeMap<&'static str, &'static [&'static str]> {
    BTreeMap::from([
        ("main", &["cli"][..]),
        (
            "cli",
            &[
                "app",
                "config",
                "net",
                "os",
                "pools",
                "proto",
                "proxy",
                "rpc",
                "service",
                "streams",
                "telemetry",
                "worker",
            ],
        ),
        (
            "app",
            &[
                "config",
                "proxy",
                "api",
                "rpc",
                "admin",
                "net",
                "pools",
                "service",
                "streams",
                "worker",
                "telemetry",
                "overview",
                "watch",
            ],
        ),
        (
            "config",
            &["admin", "api", "net", "pool", "pools", "proxy", "rpc", "streams", "telemetry", "worker", "os"],
        ),
        // Side by side: none of these three imports another.
        ("proxy", &["pools", "goridge", "net", "streams", "telemetry"]),
        ("rpc", &["pools", "api", "goridge", "net", "os", "overview", "proto", "streams", "telemetry"]),
        ("admin", &["pools", "net", "os", "overview", "telemetry"]),
        ("overview", &["pools", "os", "telemetry"]),
        ("api", &["net", "telemetry"]),
        ("streams", &["os", "telemetry"]),
        ("pools", &["codec", "pool", "worker", "telemetry"]),
        ("pool", &["worker", "telemetry"]),
        ("worker", &["relay", "goridge", "os", "telemetry"]),
        ("relay", &["goridge", "net", "os"]),
        ("service", &["net", "os"]),
        ("watch", &[]),
        ("proto", &[]),
        // The base.
        ("codec", &[]),
        ("goridge", &[]),
        ("net", &[]),
        ("os", &[]),
        ("telemetry", &[]),
    ])
}

const PRIMITIVES: [&str; 12] = [
    "access",
    "compat",
    "duration",
    "findings",
    "grpc",
    "offload",
    "pool_names",
    "protobuf",
    "request_type",
    "secrets",
    "single_flight",
    "tls",
];

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn sources() -> Vec<(String, PathBuf, String)> {
    let source = repository().join("src");
    let mut found = Vec::new();
    files(&source, &mut found);
    let named = found.into_iter().map(|path| {
        let first = path.strip_prefix(&source).unwrap().components().next().unwrap();
        let module = first.as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        // Tests may import anything, and comments are no imports.
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let code =
            code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
        (module, path, code)
    });
    let is_test = |path: &Path| path.strip_prefix(&source).unwrap().to_str().unwrap().contains("tests");
    named.filter(|(_, path, _)| !is_test(path)).collect()
}

/// The modules named after `crate::` in the code, those in braces included.
fn imports(code: &str) -> Vec<String> {
    let mut modules = Vec::new();
    for rest in code.split("crate::").skip(1) {
        let list = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or_default().split(',').collect(),
            None => vec![rest],
        };
        for item in list {
            let item = item.trim();
            let end = item.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(item.len());
            modules.push(item[..end].to_owned());
        }
    }
    modules
}

#[test]
fn each_module_imports_only_what_it_may() {
    let allowed = allowed();
    for (module, path, code) in sources() {
        if module == "lib" || PRIMITIVES.contains(&module.as_str()) {
            continue;
        }
        let may =
            allowed.get(module.as_str()).unwrap_or_else(|| panic!("the module {module} is not in the table"));
        for import in imports(&code) {
            let fine =
                import == module || may.contains(&import.as_str()) || PRIMITIVES.contains(&import.as_str());
            assert!(fine, "{} imports {import}", path.display());
        }
    }
}

#[test]
fn the_core_of_the_pool_knows_nothing_but_the_standard_library() {
    let pure = [
        "src/pool/core",
        "src/pool/policy.rs",
        "src/pool/forecast.rs",
        "src/pool/loads.rs",
        "src/worker/fence.rs",
    ];
    // What the core and the policy say to each other, and within themselves.
    let own = [
        "std::",
        "growth::",
        "messages::",
        "super::growth::Scaling",
        "super::{Availability, Core,",
        "super::{Core,",
        "super::core::{Reason, WorkerId}",
        "super::core::WorkerId",
    ];
    for (_, path, code) in sources() {
        if pure.iter().any(|name| path.starts_with(repository().join(name))) {
            for line in code.lines() {
                let Some(import) = line.trim_start_matches("pub(super) ").strip_prefix("use ") else {
                    continue;
                };
                assert!(own.iter().any(|own| import.starts_with(own)), "{}: {line}", path.display());
            }
        }
    }
}

#[test]
fn unsafe_code_is_in_one_module() {
    for (module, path, code) in sources() {
        assert!(module == "os" || !code.contains("unsafe "), "{}", path.display());
    }
}

/// Where tests are, without the folders' own `mod`.
fn test_files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in ["src", "tests/it"] {
        files(&repository().join(folder), &mut found);
    }
    found
}

/// Whether there is a test of this name, as `cargo test` would write it.
fn is_test(name: &str, files: &[PathBuf]) -> bool {
    let mut parts: Vec<&str> = name.split("::").collect();
    let function = parts.pop().unwrap();
    parts.retain(|part| *part != "tests");
    let declared = format!("fn {function}(");
    files.iter().any(|path| {
        let mut module = path.with_extension("");
        if module.ends_with("mod") {
            module.pop();
        }
        let module: PathBuf = module.components().filter(|part| part.as_os_str() != "tests").collect();
        // The tests of a module may have a file of their own.
        let tested = module.to_str().unwrap().trim_end_matches("_tests");
        let parts: PathBuf = parts.iter().collect();
        (module.ends_with(&parts) || Path::new(tested).ends_with(&parts))
            && std::fs::read_to_string(path).unwrap().split_once(&declared).is_some_and(|(before, _)| {
                // Between the attribute and the name there is nothing but `async`, other attributes, and strategies of a macro.
                before.rsplit('}').next().unwrap().contains("test")
            })
    })
}

/// Fails unless all tests that a file in tests/ names exist, and each of `rows` begins a row of its tables.
fn names_tests_that_exist(file: &str, rows: &[&str]) {
    let text = std::fs::read_to_string(repository().join("tests").join(file)).unwrap();
    let files = test_files();
    let names = text.split('`').skip(1).step_by(2).filter(|code| code.contains("::") && !code.contains(' '));
    let missing: Vec<&str> = names.filter(|name| !name.ends_with("::") && !is_test(name, &files)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
    let found: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next()).collect();
    for row in rows {
        assert!(found.contains(row), "{file}: {row} names no test");
    }
}

#[test]
fn every_promise_names_tests_that_exist() {
    let promises = ["1", "2", "2b", "3", "4", "5", "6", "7", "8", "12", "13", "18", "20", "23", "24", "25"];
    names_tests_that_exist("PROMISES.md", &promises);
}

#[test]
fn every_fault_names_tests_that_exist() {
    let lines = [
        "A1", "A2", "A3", "A4", "A5", "A6", "A7", "A8", "A9", "B1", "B2", "B3", "B4", "B5", "B6", "C1", "C2",
        "C3", "D1", "D2", "D3", "D4", "D5", "D6", "D7", "D8", "D9", "E", "F1", "F2", "F3", "F4", "F5", "F6",
        "F9", "F10", "F11", "F12", "F13", "F14",
    ];
    names_tests_that_exist("FAULTS.md", &lines);
}
