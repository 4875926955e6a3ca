//! The benchmark itself works, and every contender that is here answers rightly under load. How fast it is does not matter.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The benchmark with these arguments.
fn command(arguments: &[&str], out: &Path) -> Command {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let mut bench = Command::new(env!("CARGO_BIN_EXE_causeway-bench"));
    bench.args(arguments).arg("--out").arg(out);
    let python = repository.join("target/venv/bin/python");
    if std::env::var_os("PYTHON").is_none() && python.exists() {
        bench.env("PYTHON", python);
    }
    bench
}

/// Runs the benchmark successfully. Returns its standard output and standard error.
fn bench(arguments: &[&str], out: &Path) -> (String, String) {
    let output = command(arguments, out).output().unwrap();
    let [printed, reported] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(output.status.success(), "{printed}\n{reported}");
    (printed, reported)
}

#[test]
fn the_short_version_finds_no_wrong_answer_and_reports_every_row() {
    let out = tempfile::tempdir().unwrap();
    let (printed, reported) = bench(&["--short", "--markdown"], out.path());
    // What is missing on this machine is reported; --nocapture shows it.
    eprint!("{reported}");

    let results = std::fs::read(out.path().join("results.json")).unwrap();
    let results: serde_json::Value = serde_json::from_slice(&results).unwrap();
    let rows = results["rows"].as_array().unwrap();
    for name in [
        "one call at a time",
        "1 x 32",
        "1 x 256, 64 workers",
        "1 MB, 1 x 4",
        "publish over RPC, 16 connections",
    ] {
        let row = rows.iter().find(|row| row["row"] == name).unwrap_or_else(|| panic!("no row {name}"));
        let causeway = &row["series"][0];
        assert_eq!(causeway["contender"], "Causeway");
        assert!(causeway["rounds"][0]["figures"]["peak_mb"].as_f64().unwrap() > 0.5, "{causeway}");
        assert!(printed.contains(&format!("| {name} | Causeway |")), "{printed}");
    }
    // Whatever is installed beside them.
    for contender in ["Causeway, protocol 2, 1 worker", "Causeway, 4 classic workers", "bare tonic"] {
        let row = rows.iter().find(|row| row["row"] == "C handler, 1 x 256").unwrap();
        let series = row["series"].as_array().unwrap();
        let series = series.iter().find(|series| series["contender"] == contender).unwrap();
        assert!(series["rounds"][0]["figures"]["server_us"].as_f64().unwrap() > 0.0, "{series}");
    }
    for (name, contender, figure) in [
        ("10,000 streams, 2 workers", "Causeway", "rate"),
        ("1 x 32, spans over gRPC", "Causeway, all traced", "exported_spans"),
        ("500 workers, 8 callers", "Causeway, scraped", "scrape_ms"),
    ] {
        let row = rows.iter().find(|row| row["row"] == name).unwrap();
        let series = row["series"].as_array().unwrap();
        let series = series.iter().find(|series| series["contender"] == contender).unwrap();
        assert!(series["rounds"][0]["figures"][figure].as_f64().unwrap() > 0.0, "{series}");
    }
    assert!(std::fs::read_to_string(out.path().join("latency.svg")).unwrap().contains("1 x 32"));
}

#[test]
fn the_long_run_compares_its_end_with_its_beginning() {
    let out = tempfile::tempdir().unwrap();
    let (printed, reported) = bench(&["--soak", "0.02"], out.path());
    assert!(reported.lines().count() >= 2, "{reported}");
    let lines: Vec<_> = printed.lines().collect();
    let [calls, cpu, memory] = lines[..] else { panic!("{printed}") };
    assert!(calls.ends_with(" calls in 0.02 minutes"), "{calls}");
    assert!(cpu.starts_with("CPU µs per call: ") && cpu.contains(" in the last: x "), "{cpu}");
    assert!(memory.starts_with("resident MB: ") && !memory.contains("NaN"), "{memory}");
}

#[test]
fn deaths_and_resets_fail_no_call_but_those_of_the_dying_workers() {
    let out = tempfile::tempdir().unwrap();
    // It fails if another call does.
    let (printed, _) = bench(&["--soak", "0.1", "--disturb", "--markdown"], out.path());
    assert!(printed.contains(" workers died, 3 resets; "), "{printed}");
    let rows: Vec<_> = printed.lines().filter(|line| line.starts_with("| ")).collect();
    assert!(rows[0].contains("| tenth | minutes | calls/s |"), "{printed}");
    assert!(rows.last().unwrap().starts_with("| last / first |  | x "), "{printed}");
    let slices = std::fs::read(out.path().join("soak.json")).unwrap();
    let slices: Vec<serde_json::Value> = serde_json::from_slice(&slices).unwrap();
    for figure in ["calls", "resident_mb", "descriptors", "threads", "p99_us"] {
        assert!(slices.iter().all(|slice| slice[figure].as_f64().unwrap() > 0.0), "{figure}: {slices:?}");
    }
    for death in ["killed", "asked"] {
        assert!(slices.iter().any(|slice| slice[death] == 1), "{death}: {slices:?}");
    }
    assert!(std::fs::read_to_string(out.path().join("soak.svg")).unwrap().contains("<polyline"));
}

#[test]
fn a_soak_that_is_interrupted_writes_its_results() {
    let out = tempfile::tempdir().unwrap();
    let mut soak = command(&["--soak", "60", "--disturb"], out.path());
    let mut soak = soak.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let reported = BufReader::new(soak.stderr.take().unwrap());
    // The first sample.
    let mut lines = reported.lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains(" descriptors, ")), "it ends by itself");
    kill(Pid::from_raw(soak.id().cast_signed()), Signal::SIGINT).unwrap();
    // The pipe must not be closed before it ends.
    lines.for_each(drop);
    let output = soak.wait_with_output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && printed.contains("; interrupted"), "{printed}");
    assert!(out.path().join("soak.svg").exists());
}
