//! Collectors, from declaration to page.

use super::exposition::Page;
use super::*;

fn collector(kind: CollectorKind, labels: &[&str]) -> Collector {
    Collector {
        kind,
        namespace: String::new(),
        subsystem: String::new(),
        help: "Some help.".into(),
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        buckets: Vec::new(),
        objectives: Vec::new(),
    }
}

fn write(
    registry: &Registry,
    write: Write,
    name: &str,
    labels: &[&str],
    value: f64,
) -> Result<(), WriteError> {
    registry.write(write, name, labels.iter().map(|label| (*label).to_owned()).collect(), value)
}

fn page(registry: &Registry) -> String {
    let mut page = Page::default();
    registry.write_to(&mut page);
    page.finish()
}

#[test]
fn the_page_shows_every_kind_as_in_roadrunner() {
    let registry = Registry::default();
    let declare = |name: &str, collector: Collector| registry.declare(name, &collector).unwrap();
    declare("app gauge-ü", collector(CollectorKind::Gauge, &[]));
    declare("app_cfg", collector(CollectorKind::Counter, &[]));
    declare("app_total", collector(CollectorKind::Counter, &["path", "code"]));
    let buckets = vec![0.1, 1.0, 10.0, f64::INFINITY];
    declare("app_hist", Collector { buckets, ..collector(CollectorKind::Histogram, &["kind"]) });
    declare("app_sum", collector(CollectorKind::Summary, &[]));
    let objectives = vec![(0.9, 0.01), (0.5, 0.05)];
    declare("app_quantiles", Collector { objectives, ..collector(CollectorKind::Summary, &["a-b"]) });
    let named =
        Collector { namespace: "ns".into(), subsystem: "sub".into(), ..collector(CollectorKind::Gauge, &[]) };
    declare("app_ns", named);
    declare("app_unseen", collector(CollectorKind::Counter, &["never"]));

    write(&registry, Write::Set, "app gauge-ü", &[], -2.0).unwrap();
    write(&registry, Write::Sub, "app gauge-ü", &[], 0.25).unwrap();
    write(&registry, Write::Add, "app_cfg", &["ignored"], 3.0).unwrap();
    write(&registry, Write::Add, "app_total", &["/b", "500"], 1.5).unwrap();
    write(&registry, Write::Add, "app_total", &["/z", "200"], 1.5).unwrap();
    for value in [0.5, 1.0, 100.0] {
        write(&registry, Write::Observe, "app_hist", &["k"], value).unwrap();
    }
    write(&registry, Write::Observe, "app_sum", &[], 0.25).unwrap();
    write(&registry, Write::Observe, "app_quantiles", &["x"], 0.0).unwrap();
    insta::assert_snapshot!(page(&registry), @r#"
    # HELP app_gauge__ Some help.
    # TYPE app_gauge__ gauge
    app_gauge__ -2.25
    # HELP app_cfg Some help.
    # TYPE app_cfg counter
    app_cfg 3
    # HELP app_hist Some help.
    # TYPE app_hist histogram
    app_hist_bucket{kind="k",le="0.1"} 0
    app_hist_bucket{kind="k",le="1"} 2
    app_hist_bucket{kind="k",le="10"} 2
    app_hist_bucket{kind="k",le="+Inf"} 3
    app_hist_sum{kind="k"} 101.5
    app_hist_count{kind="k"} 3
    # HELP app_quantiles Some help.
    # TYPE app_quantiles summary
    app_quantiles{a_b="x",quantile="0.5"} 0
    app_quantiles{a_b="x",quantile="0.9"} 0
    app_quantiles_sum{a_b="x"} 0
    app_quantiles_count{a_b="x"} 1
    # HELP app_sum Some help.
    # TYPE app_sum summary
    app_sum_sum 0.25
    app_sum_count 1
    # HELP app_total Some help.
    # TYPE app_total counter
    app_total{code="200",path="/z"} 1.5
    app_total{code="500",path="/b"} 1.5
    # HELP ns_sub_app_ns Some help.
    # TYPE ns_sub_app_ns gauge
    ns_sub_app_ns 0
    "#);
}

#[test]
fn the_first_declaration_stays_and_each_name_is_unique() {
    let registry = Registry::default();
    let (counter, gauge) = (collector(CollectorKind::Counter, &[]), collector(CollectorKind::Gauge, &["a"]));
    registry.declare("m", &counter).unwrap();
    registry.declare("m", &gauge).unwrap();
    write(&registry, Write::Add, "m", &[], 1.0).unwrap();
    registry.declare("m-x", &counter).unwrap();
    for taken in ["m_x", "rr_centrifugo_total_workers", "causeway_requests_total", "process_open_fds"] {
        assert_eq!(registry.declare(taken, &counter), Err(DeclareError::Duplicate), "{taken}");
    }
    assert!(registry.unregister("m"));
    assert!(!registry.unregister("m"));
    registry.declare("m", &gauge).unwrap();
    assert_eq!(write(&registry, Write::Set, "m", &["x"], 1.0), Ok(()));
}

#[test]
fn an_invalid_declaration_is_refused() {
    let registry = Registry::default();
    let histogram =
        |buckets: &[f64]| Collector { buckets: buckets.into(), ..collector(CollectorKind::Histogram, &[]) };
    for (name, collector, text) in [
        ("", collector(CollectorKind::Gauge, &["a"]), "is invalid: \"\" is not a valid metric name"),
        ("m", histogram(&[2.0, 1.0]), "histogram buckets must be in increasing order: 2 >= 1"),
        ("m", histogram(&[1.0, 1.0]), "histogram buckets must be in increasing order: 1 >= 1"),
        ("m", histogram(&[f64::NAN]), "histogram buckets must be in increasing order: NaN >= NaN"),
        ("m", collector(CollectorKind::Gauge, &["a", "a"]), "duplicate label name \"a\" for metric \"m\""),
        ("m", collector(CollectorKind::Gauge, &["a-b", "a_b"]), "duplicate label name \"a_b\""),
        ("m", collector(CollectorKind::Gauge, &[""]), "\"\" is not a valid label name"),
        ("m", collector(CollectorKind::Gauge, &["__name__"]), "\"__name__\" is not a valid label name"),
        ("m", collector(CollectorKind::Histogram, &["le"]), "\"le\" is a reserved label name"),
    ] {
        let error = registry.declare(name, &collector).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }
    assert_eq!(page(&registry), "");
}

#[test]
fn a_refused_call_changes_nothing() {
    let registry = Registry::default();
    registry.declare("c", &collector(CollectorKind::Counter, &["a", "b"])).unwrap();
    registry.declare("g", &collector(CollectorKind::Gauge, &["a"])).unwrap();
    registry.declare("h", &collector(CollectorKind::Histogram, &[])).unwrap();
    let before = page(&registry);
    let count = WriteError::LabelCount { expected: 2, found: vec!["x".into()] };
    for (operation, name, labels, value, error) in [
        (Write::Add, "none", &[][..], 1.0, WriteError::Undefined),
        (Write::Sub, "c", &["x", "y"], 1.0, WriteError::Unsupported),
        (Write::Add, "h", &[], 1.0, WriteError::Unsupported),
        (Write::Observe, "g", &["x"], 1.0, WriteError::Unsupported),
        (Write::Add, "c", &[], 1.0, WriteError::LabelsRequired(CollectorKind::Counter)),
        (Write::Add, "c", &["x"], 1.0, count),
        (Write::Add, "c", &["x", "y"], -1.0, WriteError::Negative(-1.0)),
        (Write::Observe, "h", &[], f64::INFINITY, WriteError::NotFinite(f64::INFINITY)),
    ] {
        assert_eq!(write(&registry, operation, name, labels, value), Err(error));
    }
    assert_eq!(page(&registry), before);
    assert!(write(&registry, Write::Observe, "h", &[], f64::NAN).is_err());
    assert!(write(&registry, Write::Set, "g", &["x"], f64::NAN).is_ok());
}

#[test]
fn each_collector_is_bounded() {
    let registry = Registry::default();
    let labels: Vec<String> = (0..60_000).map(|number| format!("l{number}")).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let long = "x".repeat(600);
    for (name, collector, text) in [
        ("m", collector(CollectorKind::Gauge, &labels), "a collector may have 64 labels, found 60000"),
        (
            &*long,
            collector(CollectorKind::Gauge, &[]),
            "a collector may have 512 bytes in its name, found 600",
        ),
        (
            "m",
            collector(CollectorKind::Gauge, &[&long]),
            "a collector may have 512 bytes in the name of a label, found 600",
        ),
        (
            "m",
            Collector { help: "x".repeat(5_000), ..collector(CollectorKind::Gauge, &[]) },
            "a collector may have 4096 bytes of help, found 5000",
        ),
        (
            "m",
            Collector { buckets: vec![1.0; 600], ..collector(CollectorKind::Histogram, &[]) },
            "a collector may have 512 buckets, found 600",
        ),
        (
            "m",
            Collector { objectives: vec![(0.5, 0.1); 65], ..collector(CollectorKind::Summary, &[]) },
            "a collector may have 64 objectives, found 65",
        ),
    ] {
        assert_eq!(registry.declare(name, &collector).unwrap_err().to_string(), text);
    }
    registry.declare("m", &collector(CollectorKind::Gauge, &labels[..64])).unwrap();
}

#[test]
fn the_number_of_collectors_is_bounded() {
    let registry = Registry::default();
    for number in 0..10_000 {
        registry.declare(&format!("m{number}"), &collector(CollectorKind::Counter, &["a"])).unwrap();
    }
    let one_more = collector(CollectorKind::Counter, &[]);
    assert_eq!(registry.declare("one_more", &one_more), Err(DeclareError::TooMany));
    assert!(registry.unregister("m7"));
    assert_eq!(registry.declare("one_more", &one_more), Ok(()));
}

#[test]
fn series_are_bounded_in_bytes_and_existing_ones_go_on() {
    let registry = Registry::default();
    registry.declare("m", &collector(CollectorKind::Histogram, &["a"])).unwrap();
    let observe = |value: &str| write(&registry, Write::Observe, "m", &[value], 1.0);
    let long = WriteError::LongValue { found: 5_000, most: 4_096 };
    assert_eq!(observe(&"x".repeat(5_000)), Err(long));
    let fitting = (0..5_000).take_while(|number| observe(&format!("{number:04000}")).is_ok()).count();
    // Each is on fourteen lines of the page.
    assert!((800..900).contains(&fitting), "{fitting}");
    assert_eq!(observe("another"), Ok(()), "there is room for a shorter one");
    assert_eq!(observe(&format!("{:04000}", 0)), Ok(()));
    assert_eq!(observe(&format!("{:04000}", 5_001)), Err(WriteError::TooManyBytes));
    let page = page(&registry);
    assert!(page.len() <= 64 << 20 && page.contains("m_count{a=\"another\"} 1"), "{} bytes", page.len());
    assert!(registry.unregister("m"));
    assert_eq!(registry.size(), 0, "what is unregistered counts no more");
}

#[test]
fn sketches_count_towards_the_budget_and_are_given_back() {
    let registry = Registry::default();
    let summary = Collector { objectives: vec![(0.5, 0.1)], ..collector(CollectorKind::Summary, &["a"]) };
    registry.declare("m", &summary).unwrap();
    let declared = registry.size();
    for exponent in -6..6 {
        write(&registry, Write::Observe, "m", &["x"], 10_f64.powi(exponent)).unwrap();
    }
    assert!(registry.size() > declared + 4_096, "{} {declared}", registry.size());
    page(&registry);
    assert!(registry.unregister("m"));
    assert_eq!(registry.size(), 0);
}

#[test]
fn a_page_of_many_series_has_each_once_and_in_order() {
    let registry = Registry::default();
    registry.declare("m", &collector(CollectorKind::Counter, &["a"])).unwrap();
    for number in 0..1_000 {
        write(&registry, Write::Add, "m", &[&format!("{number:04}")], 1.0).unwrap();
    }
    let lines: Vec<String> = (0..1_000).map(|number| format!("m{{a=\"{number:04}\"}} 1\n")).collect();
    let expected = format!("# HELP m Some help.\n# TYPE m counter\n{}", lines.concat());
    assert_eq!(page(&registry), expected);
}
