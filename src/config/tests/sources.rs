//! Files, flags and variables, and which of them wins.

use std::path::PathBuf;

use std::ffi::OsStr;

use super::*;

#[test]
fn included_files_add_to_sections_later_ones_win_and_flags_win_over_all() {
    let (_folder, mut sources) = folder(&[
        (
            ".rr.yaml",
            "version: '3'\ninclude: [a.yaml, $B]\nserver: {command: main, env: {A: main}}\ncentrifuge: {pool: {num_workers: 2, max_jobs: 5}}\n",
        ),
        ("a.yaml", "version: '3'\ncentrifuge: {pool: {num_workers: 3}}\nserver: {env: {B: a}}\n"),
        ("b.yaml", "version: '3'\ncentrifuge: {pool: {num_workers: 4, debug: true}}\n"),
    ]);
    sources.overrides = vec!["centrifuge.pool.debug=false".into(), " Server.command = \"php $B\" ".into()];
    let config = load(&with_env(sources, &[("B", "b.yaml")])).unwrap().config;
    assert_eq!((config.pool.num_workers, config.pool.max_jobs, config.pool.debug), (4, 5, false));
    assert_eq!(config.server.env.len(), 2);
    assert_eq!(config.server.command.argv, ["php", "b.yaml"]);
}

#[test]
fn an_included_file_must_exist_and_have_the_same_version() {
    let include = |text: &str| {
        let main = "version: '3'\ninclude: i.yaml\nserver: {command: x}\ncentrifuge: {}\n";
        load(&folder(&[(".rr.yaml", main), ("i.yaml", text)]).1).unwrap_err().to_string()
    };
    let other = include("version: '2.7'\n");
    let expected = "i.yaml:1: version: expected the version of the main file, '3', found '2.7'";
    assert!(other.starts_with(expected), "{other}");
    assert!(include("a: b\n").starts_with("i.yaml:1: version: missing"));
    let missing = error("version: '3'\ninclude: [no.yaml, none.yaml]\n");
    assert!(missing.contains("\n2: include: cannot read no.yaml: No such file"), "{missing}");
    assert!(missing.contains("\n2: include: cannot read none.yaml: No such file"), "{missing}");
}

#[test]
fn variables_come_from_the_environment_then_from_dotenv_files_and_reach_the_workers() {
    let text = "version: '3'\nenvfile: .env\nserver: {command: \"${A} ${B} ${C} ${D:-none}\"}\ncentrifuge: {proxy_address: \"tcp://${HOST}:${PORT:-6001}\"}\n";
    let (folder, mut sources) = folder(&[
        (".rr.yaml", text),
        (".env", "A=envfile\nB=envfile\nC=envfile\n"),
        ("dot", "A=dot\nB=dot\n"),
    ]);
    sources.dotenv = Some("/nonexistent".into());
    let dot = folder.path().join("dot").display().to_string();
    let loaded =
        load(&with_env(sources, &[("A", "own"), ("HOST", "127.0.0.1"), ("DOTENV_PATH", &dot)])).unwrap();
    assert_eq!(loaded.config.server.command.argv, ["own", "dot", "envfile", "none"]);
    assert_eq!(loaded.config.proxy.address.to_string(), "tcp://127.0.0.1:6001");
    let added: Vec<&str> = loaded.env[3..].iter().map(|(name, _)| name.to_str().unwrap()).collect();
    assert_eq!(added, ["B", "C"]);
}

#[test]
fn dotenv_files_are_found_where_roadrunner_finds_them() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("work")).unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(".rr.yaml", "version: '3'\nenvfile: near.env\nserver: {command: '$A $B'}\ncentrifuge: {}\n");
    write("near.env", "A=beside the file\nB=b\n");
    write("work/dot.env", "A=from work\n");
    let sources = Sources {
        path: folder.path().join(".rr.yaml"),
        work_dir: Some(folder.path().join("work")),
        dotenv: Some("dot.env".into()),
        ..Sources::default()
    };
    assert_eq!(load(&sources).unwrap().config.server.command.argv, ["from", "work", "b"]);
    // The variable wins if it is set, even if it names no file.
    let env = vec![(OsString::from("DOTENV_PATH"), OsString::new())];
    let without = Sources { env, ..sources.clone() };
    assert_eq!(load(&without).unwrap().config.server.command.argv[..2], ["beside", "the"]);
    let missing = Sources { dotenv: Some(PathBuf::from("nope.env")), ..sources };
    let message = load(&missing).unwrap_err().to_string();
    assert!(message.starts_with("nope.env: No such file"), "{message}");
}

#[test]
fn bytes_that_are_not_text_are_for_workers_only() {
    use std::os::unix::ffi::OsStrExt as _;

    let (folder, mut sources) = folder(&[(".rr.yaml", &format!("{LEAST}envfile: .env\n"))]);
    std::fs::write(folder.path().join(".env"), b"A=hunter2\xe9\nB=x\n").unwrap();
    let loaded = load(&sources).unwrap();
    let value = loaded.env.iter().find(|(name, _)| name == "A").unwrap().1.as_bytes();
    assert_eq!(value, b"hunter2\xe9");
    let uses = ["rpc: {listen: 'unix://$A'}", "server.env: {C: '${A:-x}'}", "logs.level: ${NOPE:-$A}"];
    for line in uses {
        let text = format!("{LEAST}envfile: .env\n{line}\n");
        std::fs::write(&sources.path, text).unwrap();
        let message = load(&sources).unwrap_err().to_string();
        let key = line.split([' ', ':']).next().unwrap();
        let place = format!(".rr.yaml:5: {key}");
        assert!(
            message.contains(&place) && message.contains(": the value of ${A} is not UTF-8"),
            "{message}"
        );
        assert!(!message.contains("hunter2"), "{message}");
    }
    // A variable of the process, in a flag.
    std::fs::write(&sources.path, LEAST).unwrap();
    sources.env = vec![("A".into(), OsStr::from_bytes(b"\xff").into())];
    sources.overrides = vec!["logs.level=$A".into()];
    let message = load(&sources).unwrap_err().to_string();
    assert!(message.contains("-o logs.level: the value of ${A} is not UTF-8"), "{message}");
}

#[test]
fn an_envfile_may_be_named_by_a_variable() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(".rr.yaml", "version: '3'\nenvfile: .env.$APP_ENV\nserver: {command: $A}\ncentrifuge: {}\n");
    write(".env.prod", "A=php\n");
    let sources = |value: &str| Sources {
        path: folder.path().join(".rr.yaml"),
        env: vec![("APP_ENV".into(), value.into())],
        ..Sources::default()
    };
    assert_eq!(load(&sources("prod")).unwrap().config.server.command.argv, ["php"]);
    let message = load(&sources("nope")).unwrap_err().to_string();
    assert!(message.contains(".rr.yaml:2: envfile: cannot read .env.${APP_ENV}: No such file"), "{message}");
}

#[test]
fn the_working_directory_is_that_of_the_file_unless_given() {
    let (folder, mut sources) = folder(&[(".rr.yaml", LEAST)]);
    assert_eq!(load(&sources).unwrap().work_dir, folder.path());
    sources.work_dir = Some("/".into());
    assert_eq!(load(&sources).unwrap().work_dir, Path::new("/"));
    sources.work_dir = Some("/nonexistent".into());
    assert!(load(&sources).unwrap_err().to_string().contains("/nonexistent"));
}

#[test]
fn json_files_are_read_too() {
    let (_folder, sources) = folder(&[(
        "rr.json",
        "{\n  \"version\": \"3\",\n  \"server\": {\"command\": \"php app.php\"},\n  \"centrifuge\": {\"pool\": {\"num_workers\": -1}}\n}",
    )]);
    let error = load(&sources).unwrap_err().to_string();
    assert!(
        error.contains("rr.json:4: centrifuge.pool.num_workers: expected a whole number, found \"-1\""),
        "{error}"
    );
}

#[test]
fn only_the_first_document_of_a_file_counts() {
    for (more, warnings) in [("---\n", 0), ("...\n", 0), ("---\nserver: {command: x}\n", 1), ("---\n}{\n", 1)]
    {
        let text = format!("{WITH_COMMAND}centrifuge: {{}}\n{more}");
        let loaded = load_with(&text, &[], &[]).unwrap();
        assert_eq!(loaded.warnings.len(), warnings, "{more:?} {:?}", loaded.warnings);
        assert_eq!(loaded.config.server.command.argv, ["php", "app.php"]);
    }
}

#[test]
fn flags_may_set_required_keys() {
    let config =
        load_with("", &[], &["version=3", "server.command=php app.php", "centrifuge.name=x"]).unwrap().config;
    assert_eq!((config.version.as_str(), config.server.command.argv.len()), ("3", 2));
    for flag in ["version=3", "version='3'", "version=\"3\"", " version = 3 ", "VERSION=$V", "\"version=3"] {
        let text = "version: 3\nserver.command: x\ncentrifuge: {}\n";
        let config = load_with(text, &[("V", "3")], &[flag]).unwrap().config;
        assert_eq!(config.version, "3", "{flag}");
    }
    let message = load_with("version: 3\nserver.command: x\ncentrifuge: {}\n", &[], &[]).unwrap_err();
    assert!(message.contains("write version: '3'"), "{message}");
}

#[test]
fn flags_create_sections_lists_and_nested_keys() {
    let flags = [
        "rpc.listen=tcp://127.0.0.1:7001",
        "server.env.dsn=a=b&c=d",
        "server.env.quoted=\"a \\\"b\\\"\"",
        "logs.output=[stdout, \"stderr\"]",
        "logs.channels.server.output=stdout,stderr",
        "centrifuge.pool.watch=*.{php,py},x",
        "server.command='php app.php'",
        "centrifuge.pool.supervisor.exec_ttl=10s",
        "metrics.collect.m.type=counter",
        "metrics.collect.m.labels=a,b",
        "status=",
    ];
    let text = "version: '3'\nserver: {command: x}\nstatus: {address: x}\ncentrifuge: {}\n";
    let config = load_with(text, &[], &flags).unwrap().config;
    assert_eq!(config.rpc.unwrap().listen.to_string(), "tcp://127.0.0.1:7001");
    assert_eq!(
        config.server.env,
        [("DSN".to_owned(), "a=b&c=d".to_owned()), ("QUOTED".into(), "a \"b\"".into())]
    );
    assert_eq!(config.logs.output, ["stdout", "stderr"]);
    assert_eq!(config.logs.channels["server"].output, ["stdout", "stderr"]);
    assert_eq!(config.pool.watch.len(), 2);
    assert_eq!(config.server.command.argv, ["php", "app.php"]);
    assert_eq!(config.pool.supervisor.unwrap().exec_ttl, Duration::from_secs(10));
    assert_eq!(config.metrics.unwrap().collect["m"].labels, ["a", "b"]);
    assert_eq!(config.status, None);
}

#[test]
fn flags_may_name_files_to_include_and_to_take_variables_from() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(".rr.yaml", "server: {command: $A}\ncentrifuge: {pool: {num_workers: 1}}\n");
    write("more.yaml", "version: '3'\ncentrifuge: {pool: {num_workers: 2, max_jobs: 5}}\n");
    write(".env", "A=php app.php\n");
    let flags = ["include=more.yaml", "envfile=.env", "version=3", "centrifuge.pool.num_workers=3"];
    let sources = Sources {
        path: folder.path().join(".rr.yaml"),
        overrides: flags.map(str::to_owned).to_vec(),
        ..Sources::default()
    };
    let config = load(&sources).unwrap().config;
    assert_eq!((config.pool.num_workers, config.pool.max_jobs), (3, 5));
    assert_eq!(config.server.command.argv, ["php", "app.php"]);
}
