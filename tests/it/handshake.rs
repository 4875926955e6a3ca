//! What workers offer in their handshake.

use crate::support::{json, worker};

const PROTO: u64 = 0x80;
const JSON: u64 = 0x08;

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_may_name_itself_and_its_codec_in_its_handshake_and_in_each_echo() {
    for relay in ["pipes", "tcp", "unix"] {
        let offers = r#"{"protocol":1,"name":"raw 1.0","codec":"json"}"#;
        let test = worker().relay(relay).env("OFFERS", offers).pool_alone().await;
        for _ in 0..2 {
            assert_eq!(json(&test.rpc("flags", "").await.unwrap())["flags"], JSON, "{relay}");
        }
        test.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_names_no_codec_has_that_of_its_pool() {
    for (pool, flag) in [("num_workers: 1", PROTO), ("num_workers: 1, codec: json", JSON)] {
        let test = worker().pool(pool).pool_alone().await;
        assert_eq!(json(&test.rpc("flags", "").await.unwrap())["flags"], flag);
        test.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_offers_what_cannot_be_served_does_not_start_and_the_message_says_why() {
    let cases = [
        (r#"{"protocol":3}"#, "it offers protocol 3, but this server speaks"),
        (r#"{"codec":"xml"}"#, "it offers the codec \"xml\", but this server knows proto and json"),
    ];
    for (relay, (offers, reason)) in [("pipes", cases[0]), ("pipes", cases[1]), ("unix", cases[1])] {
        let error = worker().relay(relay).env("OFFERS", offers).try_pool_alone().await.err().unwrap();
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_learn_from_their_environment_what_they_may_offer() {
    let test = worker().pool_alone().await;
    let env = json(&test.rpc("env", "").await.unwrap());
    assert_eq!(env["CAUSEWAY_PROTOCOLS"], "1,2");
    assert!(env["CAUSEWAY_CODECS"].as_str().unwrap().split(',').any(|codec| codec == "proto"));
    test.end().await;
}
