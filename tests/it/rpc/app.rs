//! Lines of log that workers write over RPC.

use causeway::goridge::Flags;
use serde_json::{Value, json};

use crate::support::{json, worker};

#[tokio::test(flavor = "multi_thread")]
async fn entries_have_their_level_and_attributes() {
    let server = worker().rpc().more("logs: {channels: {app: {mode: production}}}\n").start();
    let mut caller = server.caller().await;
    for (method, level) in [("Error", "error"), ("Warning", "warn"), ("Info", "info"), ("Debug", "debug")] {
        let text = format!("one {level}");
        assert_eq!(caller.json(&format!("app.{method}"), &json!(text)).await, Ok(json!(true)));
        let line = json(&server.wait_for_output(&text));
        assert_eq!(
            (&line["level"], &line["logger"], &line["msg"]),
            (&json!(level), &json!("app"), &json!(text))
        );

        let text = format!("another {level}");
        let attributes = [("user", "42"), ("note", "tab\there \"q\""), ("msg", "x")];
        let attributes = attributes.map(|(key, value)| json!({"key": key, "value": value}));
        let entry = json!({"message": text, "log_attrs": attributes});
        let reply = caller.json(&format!("app.{method}WithContext"), &entry).await;
        assert_eq!(reply, Ok(json!({})));
        let line = server.wait_for_output(&text);
        assert!(line.contains(&format!("\"level\":\"{level}\"")), "{line}");
        assert!(line.ends_with(r#""user":"42","note":"tab\there \"q\"","fields.msg":"x"}"#), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_lines_bypass_the_log() {
    let server = worker().rpc().more("logs: {channels: {app: {mode: 'off'}}}\n").start();
    let mut caller = server.caller().await;
    assert_eq!(caller.json("app.Info", &json!("not to be seen")).await, Ok(json!(true)));
    assert_eq!(caller.json("app.Log", &json!("as it is\n")).await, Ok(json!(true)));
    server.wait_for_output("as it is");
    // message 1: "bare ", then one attribute: key "a", value "b", and the end of the line.
    let entry = b"\x0a\x04bare\x12\x07\x0a\x01a\x12\x02b\n";
    let reply = caller.call(Flags::PROTO, "app.LogWithContext", entry).await;
    assert_eq!((reply.is_error(), reply.text()), (false, String::new()));
    assert_eq!(server.wait_for_output("bare a:"), "bare a:b");
    let error = caller.json("app.Emergency", &Value::from("x")).await.unwrap_err();
    assert_eq!(error, "rpc: can't find method app.Emergency");
    assert!(!server.output().contains("not to be seen"));
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_lines_end_with_one_line_feed_under_compat_3() {
    let server = worker().rpc().more("causeway: {compat: 3}\n").start();
    let mut caller = server.caller().await;
    for text in ["without", "with one\n", "with two\n\n", "the last"] {
        assert_eq!(caller.json("app.Log", &json!(text)).await, Ok(json!(true)));
    }
    let attributes = json!([{"key": "k", "value": "v"}, {"key": "k2", "value": "v2"}]);
    let entry = json!({"message": "msg", "log_attrs": attributes});
    assert_eq!(caller.json("app.LogWithContext", &entry).await, Ok(json!({})));
    server.wait_for_output("msg k:v,k2:v2");
    let output = server.output();
    assert!(output.contains("without\nwith one\nwith two\nthe last\nmsg k:v,k2:v2"), "{output}");
}
