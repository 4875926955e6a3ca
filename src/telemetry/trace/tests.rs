//! Settings, and what a collector gets.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opentelemetry_proto::tonic::collector::trace::v1 as collector;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::trace::v1 as official;
use prost::Message as _;

use super::config::{Exporter, Otel, OtlpClient};
use super::context::TraceContext;
use super::queue::{Dropped, Queue, Taken};
use super::settings::{Destination, Pace, Settings};
use super::span::{Kind, Parent, Span};
use super::{console, ids, otlp};
use crate::findings::{Findings, Machine, Weight};
use crate::telemetry::metrics::{Collect as _, Page};

fn settings(otel: &Otel, env: &[(&str, &str)]) -> (Option<Settings>, Vec<String>) {
    let env: Vec<(OsString, OsString)> =
        env.iter().map(|(name, value)| (name.into(), value.into())).collect();
    let mut findings = Findings::default();
    let settings = Settings::of(otel, &env, &mut findings);
    let shown = |finding: crate::findings::Finding| {
        let weight = if finding.weight == Weight::Mistake { "mistake" } else { "odd" };
        format!("{weight}: {}: {}", finding.key, finding.message)
    };
    (settings, findings.into_list().into_iter().map(shown).collect())
}

/// The endpoint, if nothing is wrong, and whether it is compressed.
fn endpoint(otel: &Otel, env: &[(&str, &str)]) -> (OtlpClient, String, bool) {
    let (settings, findings) = settings(otel, env);
    assert_eq!(findings, Vec::<String>::new());
    match settings.unwrap().destination {
        Destination::Collector(endpoint) => {
            let path = if endpoint.client == OtlpClient::Http { &*endpoint.path } else { "" };
            (endpoint.client, format!("{}{path}", endpoint.origin()), endpoint.is_compressed)
        }
        other => panic!("{other:?}"),
    }
}

fn otel(text: &str) -> Otel {
    serde_json::from_str(text).unwrap()
}

#[test]
fn without_settings_spans_go_where_roadrunner_sends_them() {
    let found = endpoint(&Otel::default(), &[]);
    assert_eq!(found, (OtlpClient::Http, "https://localhost:4318/v1/traces".into(), false));
    let found = endpoint(&otel(r#"{"insecure": true, "client": "grpc"}"#), &[]);
    assert_eq!(found, (OtlpClient::Grpc, "http://localhost:4317".into(), false));
}

#[test]
fn the_endpoint_of_the_section_wins_over_variables() {
    let env = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://env:1"), ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")];
    let url = |text: &str| endpoint(&otel(text), &env).1;
    assert_eq!(url(r#"{"endpoint": "a:1", "insecure": true}"#), "http://a:1/v1/traces");
    assert_eq!(url(r#"{"endpoint": "a:1", "custom_url": "x/y"}"#), "https://a:1/x/y");
    assert_eq!(url(r#"{"endpoint": "http://a/otlp"}"#), "http://a:4318/otlp");
    assert_eq!(url(r#"{"endpoint": "[::1]:5", "insecure": true}"#), "http://[::1]:5/v1/traces");
    assert_eq!(url("{}"), "http://env:1/v1/traces");
    assert!(endpoint(&Otel::default(), &env).2);
}

#[test]
fn variables_say_where_the_collector_is() {
    let url = |env: &[(&str, &str)]| endpoint(&Otel::default(), env).1;
    let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:1/base/");
    assert_eq!(url(&[base]), "http://a:1/base/v1/traces");
    assert_eq!(
        url(&[base, ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://b/spans")]),
        "https://b:4318/spans"
    );
    let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    assert_eq!(url(&[grpc, ("OTEL_EXPORTER_OTLP_ENDPOINT", "a:1")]), "https://a:1");
    let insecure = ("OTEL_EXPORTER_OTLP_INSECURE", "TRUE");
    assert_eq!(url(&[grpc, insecure, ("OTEL_EXPORTER_OTLP_ENDPOINT", "a:1")]), "http://a:1");
    // The last value of a name wins, and an empty one is none.
    assert_eq!(url(&[base, ("OTEL_EXPORTER_OTLP_ENDPOINT", "")]), "https://localhost:4318/v1/traces");
}

#[test]
fn what_is_said_first_about_tls_and_compression_counts() {
    let (general, own) = ("OTEL_EXPORTER_OTLP_INSECURE", "OTEL_EXPORTER_OTLP_TRACES_INSECURE");
    let url = |text: &str, env: &[(&str, &str)]| endpoint(&otel(text), env).1;
    assert!(url("{}", &[(general, "true"), (own, "false")]).starts_with("https:"));
    assert!(url("{}", &[(general, "false"), (own, "true")]).starts_with("http:"));
    assert!(url(r#"{"endpoint": "a:1"}"#, &[(general, "true")]).starts_with("http:"));
    let insecure = [(general, "true"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:1")];
    assert!(url(r#"{"insecure": false}"#, &insecure).starts_with("https:"));
    assert!(
        url(r#"{"insecure": true}"#, &[("OTEL_EXPORTER_OTLP_ENDPOINT", "https://a:1")]).starts_with("http:")
    );
    let gzip = [("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")];
    assert!(!endpoint(&otel(r#"{"compress": false}"#), &gzip).2);
}

#[test]
fn what_is_logged_of_an_endpoint_holds_no_path() {
    let otel = otel(r#"{"endpoint": "https://a:1/key?token=secret"}"#);
    let Some(Destination::Collector(endpoint)) = settings(&otel, &[]).0.map(|settings| settings.destination)
    else {
        panic!("no collector")
    };
    assert_eq!(endpoint.origin(), "https://a:1");
    assert!(!format!("{endpoint:?}").contains("secret"));
}

/// What is found wrong with an endpoint, and with these variables that name files of a folder.
fn found_with(url: &str, folder: &std::path::Path, env: &[(&str, &str)]) -> String {
    let env: Vec<(OsString, OsString)> =
        env.iter().map(|(name, value)| (name.into(), value.into())).collect();
    let mut findings = Findings::default();
    let otel = Otel { endpoint: Some(url.into()), ..Otel::default() };
    otel.validate(Machine { work_dir: folder, env: &env }, &mut findings);
    findings.into_list().into_iter().map(|finding| finding.message + "\n").collect()
}

#[test]
fn certificates_are_checked_before_the_start_if_they_are_used() {
    const AUTHORITIES: &str = "OTEL_EXPORTER_OTLP_CERTIFICATE";
    const OWN: &str = "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE";
    const KEY: &str = "OTEL_EXPORTER_OTLP_CLIENT_KEY";
    let folder = tempfile::tempdir().unwrap();
    let generated = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
    let files = [
        ("good", generated.cert.pem()),
        ("key", generated.signing_key.serialize_pem()),
        ("empty", String::new()),
        ("broken", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".into()),
    ];
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let found = |env: &[(&str, &str)]| found_with("https://a", folder.path(), env);
    assert_eq!(found(&[(AUTHORITIES, "good"), (OWN, "good"), (KEY, "key")]), "");
    for wrong in ["none", "empty", "broken"] {
        for variables in
            [&[(AUTHORITIES, wrong)][..], &[(OWN, wrong), (KEY, "key")], &[(OWN, "good"), (KEY, wrong)]]
        {
            let found = found(variables);
            assert!(found.contains(wrong) && found.lines().count() == 1, "{variables:?}: {found}");
        }
        assert_eq!(found_with("http://a", folder.path(), &[(AUTHORITIES, wrong)]), "");
    }
    for (half, other) in [(OWN, KEY), (KEY, OWN)] {
        let expected = format!("the variable {half} is ignored: expected together with {other}\n");
        assert_eq!(found(&[(half, "none")]), expected);
    }
}

#[test]
fn headers_are_the_section_s_or_the_variable_s() {
    let headers = |text: &str| {
        let env = [("OTEL_EXPORTER_OTLP_HEADERS", " api-key = s%20x , b=2")];
        match settings(&otel(text), &env).0.unwrap().destination {
            Destination::Collector(endpoint) => endpoint.headers,
            other => panic!("{other:?}"),
        }
    };
    let of_env = headers("{}");
    assert_eq!(
        (&of_env["api-key"], &of_env["b"], of_env.len()),
        (&"s x".parse().unwrap(), &"2".parse().unwrap(), 2)
    );
    assert!(of_env["api-key"].is_sensitive());
    let own = headers(r#"{"headers": {"c": "3"}}"#);
    assert_eq!((&own["c"], own.len()), (&"3".parse().unwrap(), 1));
}

#[test]
fn a_resource_has_the_names_of_the_section_then_of_the_variables() {
    let env = [
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=env,service.version=7,deployment.environment=a%2Cb"),
        ("OTEL_SERVICE_NAME", "named"),
    ];
    let resource = |text: &str, env: &[(&str, &str)]| settings(&otel(text), env).0.unwrap().resource;
    let value = |resource: &[(String, String)], key: &str| {
        let found: Vec<_> = resource.iter().filter(|(found, _)| found == key).collect();
        assert_eq!(found.len(), 1, "{key}");
        found[0].1.clone()
    };
    let of_env = resource("{}", &env);
    assert_eq!(value(&of_env, "service.name"), "named");
    assert_eq!(value(&of_env, "service.version"), "7");
    assert_eq!(value(&of_env, "deployment.environment"), "a,b");
    let own = resource(
        r#"{"service_name": "old", "service_version": "8", "resource": {"service_name": "new", "service_namespace": "shop"}}"#,
        &env,
    );
    assert_eq!(value(&own, "service.name"), "new");
    assert_eq!(value(&own, "service.version"), "8");
    assert_eq!(value(&own, "service.namespace"), "shop");
    let none = resource("{}", &[]);
    assert_eq!(value(&none, "service.name"), "RoadRunner");
    assert_eq!(value(&none, "service.version"), "1.0.0");
    assert_eq!(value(&none, "service.instance.id").len(), 36);
    assert_ne!(value(&none, "service.instance.id"), value(&resource("{}", &[]), "service.instance.id"));
}

#[test]
fn wrong_settings_are_mistakes_and_wrong_variables_are_ignored() {
    let found = |text: &str, env: &[(&str, &str)]| settings(&otel(text), env).1.join("\n");
    assert_eq!(
        found(r#"{"endpoint": "ftp://a"}"#, &[]),
        "mistake: otel.endpoint: expected host:port, or a URL such as http://host:port"
    );
    for endpoint in ["a:b", "a b", "http://", "http://user@host:1", "a:99999"] {
        let text = serde_json::json!({"endpoint": endpoint}).to_string();
        assert!(found(&text, &[]).starts_with("mistake: otel.endpoint"), "{endpoint}");
    }
    assert!(
        found(r#"{"sampler": "sometimes"}"#, &[])
            .starts_with("mistake: otel.sampler: expected one of always_on")
    );
    assert!(
        found(r#"{"sampler": "traceidratio", "sampler_arg": 2}"#, &[])
            .starts_with("mistake: otel.sampler_arg")
    );
    assert!(found(r#"{"custom_url": "a b"}"#, &[]).starts_with("mistake: otel.custom_url"));
    assert!(found(r#"{"headers": {"a b": "c"}}"#, &[]).starts_with("mistake: otel.headers.a b"));
    let wrong = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://a"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ("OTEL_RESOURCE_ATTRIBUTES", "=x"),
        ("OTEL_BSP_SCHEDULE_DELAY", "soon"),
    ];
    for (name, value) in wrong {
        let text = found("{}", &[(name, value)]);
        assert!(text.starts_with(&format!("odd: otel: the variable {name} is ignored: expected")), "{text}");
    }
    let (disabled, text) = settings(&Otel::default(), &[("OTEL_SDK_DISABLED", "True")]);
    assert_eq!(
        (disabled, &*text[0]),
        (None, "odd: otel: has no effect: the variable OTEL_SDK_DISABLED is true")
    );
}

#[test]
fn the_pace_is_that_of_the_variables_within_bounds() {
    let pace = |env: &[(&str, &str)]| settings(&Otel::default(), env).0.unwrap().pace;
    assert_eq!(pace(&[]), Pace::default());
    let found = pace(&[
        ("OTEL_BSP_SCHEDULE_DELAY", "200"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "999999999"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "0"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "7"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "3"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "4"),
    ]);
    let ms = Duration::from_millis;
    assert_eq!(
        found,
        Pace {
            delay: ms(200),
            capacity: 1 << 16,
            batch: 1,
            timeout: ms(4),
            patience: ms(7),
            ..Pace::default()
        }
    );
}

#[test]
fn exporters_that_are_no_collectors_have_no_endpoint() {
    let destination = |exporter| {
        let otel = Otel { exporter, endpoint: Some("nonsense and more".into()), ..Otel::default() };
        settings(&otel, &[]).0.map(|settings| settings.destination)
    };
    assert_eq!(destination(Exporter::Stdout), Some(Destination::Stdout));
    assert_eq!(destination(Exporter::Stderr), Some(Destination::Stderr));
    assert_eq!(destination(Exporter::Zipkin), None);
}

pub(super) fn span() -> Span {
    Span {
        name: "a.B/C".into(),
        kind: Kind::Server,
        context: TraceContext::parse(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap(),
        parent: Some(Parent { id: ids::span_id(), is_remote: true }),
        state: Some("a=1".into()),
        start: SystemTime::UNIX_EPOCH + Duration::from_nanos(1_700_000_000_000_000_001),
        took: Duration::from_nanos(5),
        attributes: vec![("rpc.method", "a.B/C".into()), ("worker.pid", 7_u32.into())],
        failure: Some("broken".into()),
    }
}

/// Attributes as text.
fn pairs(attributes: &[KeyValue]) -> Vec<(String, String)> {
    let text = |pair: &KeyValue| match pair.value.as_ref().unwrap().value.as_ref().unwrap() {
        any_value::Value::StringValue(text) => text.clone(),
        any_value::Value::IntValue(number) => number.to_string(),
        other => panic!("{other:?}"),
    };
    attributes.iter().map(|pair| (pair.key.clone(), text(pair))).collect()
}

#[test]
fn the_official_messages_read_what_is_encoded() {
    let resource = [("service.name".to_owned(), "shop".to_owned())];
    let (span, root) =
        (span(), Span { parent: None, failure: None, state: None, kind: Kind::Internal, ..span() });
    let parent = span.parent.unwrap().id.0;
    let bytes = otlp::encode(&resource, vec![span, root]);
    let mut read = collector::ExportTraceServiceRequest::decode(&bytes[..]).unwrap();
    // No field is lost.
    assert_eq!(read.encoded_len(), bytes.len());
    let mut all = read.resource_spans.remove(0);
    assert_eq!(all.schema_url, "https://opentelemetry.io/schemas/1.43.0");
    assert_eq!(pairs(&all.resource.unwrap().attributes), resource);
    let scope = all.scope_spans.remove(0);
    assert_eq!(scope.scope.as_ref().unwrap().name, "causeway");
    let [first, second] = &scope.spans[..] else { panic!("{scope:?}") };
    assert_eq!(first.trace_id, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes());
    assert_eq!(first.span_id, 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes());
    assert_eq!((&first.parent_span_id[..], &*first.trace_state), (&parent[..], "a=1"));
    assert_eq!((first.kind(), first.flags), (official::span::SpanKind::Server, 0x301));
    assert_eq!(first.start_time_unix_nano, 1_700_000_000_000_000_001);
    assert_eq!(first.end_time_unix_nano, 1_700_000_000_000_000_006);
    assert_eq!(
        pairs(&first.attributes),
        [("rpc.method".into(), "a.B/C".into()), ("worker.pid".into(), "7".into())]
    );
    let status = first.status.as_ref().unwrap();
    assert_eq!((status.code(), &*status.message), (official::status::StatusCode::Error, "broken"));
    assert_eq!(
        (second.kind(), second.flags, second.status.is_none()),
        (official::span::SpanKind::Internal, 0x101, true)
    );
    assert!(second.parent_span_id.is_empty());
}

#[test]
fn a_span_is_one_line_with_the_keys_of_go_s_sdk() {
    let resource = [("service.name".to_owned(), "shop".to_owned())];
    let lines = console::lines(&resource, &[span(), Span { parent: None, ..span() }]);
    let [first, second] = &lines.lines().collect::<Vec<_>>()[..] else { panic!("{lines}") };
    let first: serde_json::Value = serde_json::from_str(first).unwrap();
    assert_eq!(first["Name"], "a.B/C");
    assert_eq!(first["SpanContext"]["TraceID"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(first["Parent"]["Remote"], true);
    assert_eq!(first["SpanKind"], 2);
    assert_eq!(first["EndTime"], "2023-11-14T22:13:20.000000006Z");
    assert_eq!(
        first["Attributes"][1],
        serde_json::json!({"Key": "worker.pid", "Value": {"Type": "INT64", "Value": 7}})
    );
    assert_eq!(first["Status"], serde_json::json!({"Code": "Error", "Description": "broken"}));
    assert_eq!(first["Resource"][0]["Value"]["Value"], "shop");
    assert!(second.contains(r#""SpanID":"0000000000000000""#));
}

#[tokio::test]
async fn a_queue_is_bounded_and_counts_what_it_drops() {
    let queue = Arc::new(Queue::new(5, 2));
    for _ in 0..3 {
        queue.push([span(), span()]);
    }
    assert_eq!(queue.dropped(Dropped::QueueFull), 2);
    // A batch is ready.
    queue.ready().await;
    assert_eq!((queue.take().len(), queue.take().len(), queue.take().len()), (2, 2, 0));
    Taken::new(&queue, 4).exported(0);
    let mut page = Page::default();
    let write = Arc::clone(&queue).collect().await;
    write(&mut page);
    let text = page.finish();
    assert!(text.contains("\ncauseway_spans_exported_total 4\n"), "{text}");
    assert!(text.contains("\ncauseway_spans_dropped_total{reason=\"queue_full\"} 2\n"), "{text}");
    assert!(text.contains("\ncauseway_spans_dropped_total{reason=\"shutdown\"} 0\n"), "{text}");
}
