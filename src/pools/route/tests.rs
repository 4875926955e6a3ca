use std::fmt::Write as _;

use prost::Message as _;

use Verdict::{Fits, HasNoChannel, HasNoMethod, NoMatch, OtherChannel, OtherMethod, OtherType};

use super::*;
use crate::pools::{Glob, Match};
use crate::proto::proxy::{
    ConnectRequest, NotifyCacheEmptyRequest, PublishRequest, RpcRequest, SubRefreshRequest, SubscribeRequest,
};

/// `types; methods; channels`, each with its values separated by spaces.
fn rule(text: &str) -> Match {
    let globs = |text: &str| text.split_whitespace().map(|glob| Glob::new(glob).unwrap()).collect();
    let mut keys = text.split(';').map(globs);
    let mut next = || keys.next().unwrap_or_default();
    Match { types: next(), methods: next(), channels: next() }
}

fn rpc(method: &str) -> (&'static str, String, Vec<u8>) {
    (
        "rpc",
        method.into(),
        RpcRequest { user: "42".into(), method: method.into(), ..RpcRequest::default() }.encode_to_vec(),
    )
}

/// One call of each kind, with its method or channel.
fn calls() -> Vec<(&'static str, String, Vec<u8>)> {
    let channel = "chat:1".to_owned();
    let connect =
        ConnectRequest { client: "c".into(), channels: vec![channel.clone()], ..ConnectRequest::default() };
    let subscribe =
        SubscribeRequest { client: "c".into(), channel: channel.clone(), ..SubscribeRequest::default() };
    let publish = PublishRequest {
        channel: "news".into(),
        data: b"chat:1".to_vec().into(),
        ..PublishRequest::default()
    };
    let refresh = SubRefreshRequest { channel: channel.clone(), ..SubRefreshRequest::default() };
    let empty = NotifyCacheEmptyRequest { channel: channel.clone() };
    let mut broken = rpc("report.daily").2;
    broken.push(0xff);
    let mut twice = rpc("report.daily").2;
    twice.extend(rpc("sum").2);
    vec![
        ("connect", String::new(), connect.encode_to_vec()),
        rpc("report.daily"),
        rpc("sum"),
        rpc(""),
        ("rpc", "report.daily, broken".into(), broken),
        ("rpc", "report.daily, then sum".into(), twice),
        ("subscribe", channel.clone(), subscribe.encode_to_vec()),
        ("publish", "news".into(), publish.encode_to_vec()),
        ("subrefresh", channel.clone(), refresh.encode_to_vec()),
        ("notifycacheempty", channel, empty.encode_to_vec()),
        ("invented", "chat:1".into(), subscribe.encode_to_vec()),
    ]
}

/// A table of the calls and the numbers of their pools.
fn table(rules: &[&str]) -> String {
    let routes = Routes::new(rules.iter().map(|text| rule(text)));
    let mut table = String::new();
    for (kind, text, message) in calls() {
        writeln!(table, "{} {}", routes.pool(kind, &message), format!("{kind} {text}").trim()).unwrap();
    }
    table
}

#[test]
fn without_matches_every_call_goes_to_the_default_pool() {
    assert!(table(&[]).lines().all(|line| line.starts_with("0 ")));
    assert!(table(&[";;"]).lines().all(|line| line.starts_with("0 ")), "a pool without a match gets none");
}

#[test]
fn the_first_match_decides() {
    insta::assert_snapshot!(table(&["rpc; report.* export", ";; chat:*", "rpc", "connect sub*"]), @"
    4 connect
    1 rpc report.daily
    3 rpc sum
    3 rpc
    0 rpc report.daily, broken
    3 rpc report.daily, then sum
    2 subscribe chat:1
    0 publish news
    2 subrefresh chat:1
    2 notifycacheempty chat:1
    0 invented chat:1
    ");
    insta::assert_snapshot!(table(&["*; ;", "rpc"]), @"
    1 connect
    1 rpc report.daily
    1 rpc sum
    1 rpc
    1 rpc report.daily, broken
    1 rpc report.daily, then sum
    1 subscribe chat:1
    1 publish news
    1 subrefresh chat:1
    1 notifycacheempty chat:1
    1 invented chat:1
    ");
    insta::assert_snapshot!(table(&["; *;", "publish invented"]), @"
    0 connect
    1 rpc report.daily
    1 rpc sum
    1 rpc
    0 rpc report.daily, broken
    1 rpc report.daily, then sum
    0 subscribe chat:1
    2 publish news
    0 subrefresh chat:1
    0 notifycacheempty chat:1
    2 invented chat:1
    ");
}

#[test]
fn keys_are_all_required_and_values_are_alternatives() {
    insta::assert_snapshot!(table(&["subscribe;; news chat:?", "rpc connect; sum report.daily", "invented;; chat:*"]), @"
    0 connect
    2 rpc report.daily
    2 rpc sum
    0 rpc
    0 rpc report.daily, broken
    2 rpc report.daily, then sum
    1 subscribe chat:1
    0 publish news
    0 subrefresh chat:1
    0 notifycacheempty chat:1
    0 invented chat:1
    ");
}

#[test]
fn the_explanation_names_the_key_that_a_match_fails() {
    let routes = Routes::new(["connect", ";; chat:*", "; sum", "", "rpc; report.*", "rpc"].map(rule));
    let verdicts = |kind: &str, text: &str| {
        routes.explain(kind, text).into_iter().map(|step| step.verdict).collect::<Vec<_>>()
    };
    assert_eq!(verdicts("rpc", "report.a"), [OtherType, HasNoChannel, OtherMethod, NoMatch, Fits]);
    assert_eq!(verdicts("connect", ""), [Fits]);
    assert_eq!(
        verdicts("publish", "news"),
        [OtherType, OtherChannel, HasNoMethod, NoMatch, OtherType, OtherType]
    );
}

#[test]
fn pools_that_no_call_reaches_are_found() {
    let unreachable = |text: &str| rule(text).unreachable().is_some();
    assert!(
        unreachable("")
            && unreachable("; a; b")
            && unreachable("connect; a")
            && unreachable("connect refresh;; a")
    );
    assert!(
        !unreachable("connect") && !unreachable("; a") && !unreachable("*;; a") && !unreachable("invented")
    );
    let covered = |rules: &[&str]| {
        let rules: Vec<Match> = rules.iter().map(|text| rule(text)).collect();
        let (last, earlier) = rules.split_last().unwrap();
        last.covered_by(earlier)
    };
    assert_eq!(covered(&["rpc", "rpc; report.*"]), [0]);
    assert_eq!(covered(&["rpc; report.*", "rpc; report.daily report.*.x"]), [0]);
    assert_eq!(covered(&["connect", "rpc", "rpc connect"]), [0, 1]);
    assert_eq!(covered(&[";; *", ";; chat:*"]), [0]);
    assert_eq!(covered(&["sub* publish map* notifycacheempty sharedpollrefresh", ";; chat:*"]), [0]);
    assert_eq!(covered(&["*", "invented", "x"]), [0]);
    for rules in [
        &["rpc; report.*", "rpc"][..],
        &["rpc; report.daily", "rpc; report.*"],
        &["connect", "rpc connect"],
        &["subscribe;; chat:*", ";; chat:*"],
        &["rpc; a", "rpc; b", "rpc; a b"],
        &["connect", "invented"],
        &["connect refresh rpc publish sub* map* notify* shared*", "*"],
    ] {
        assert_eq!(covered(rules), [0; 0], "{rules:?}");
    }
}
