//! Users, TLS, a cluster, sentinels.

use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use redis::RedisConnectionInfo;
use serde_json::json;
use tempfile::TempDir;

use super::{begin, bridge, bridge_with, granted, of, ok, patient, queued};
use crate::support::redis::{HOST, Redis, redis, redis_in, sentinel_in, words};
use crate::support::rpc::Caller;
use crate::support::{PATIENCE, Server, eventually, folder, worker};

/// What a user needs. `docs/guide/locks.md` has the same.
const RULES: &str = "~rr:lock:* ~rr:fence* &rr:lock:* +evalsha +eval +time +zadd +zrem +zcard +zscore +zrange \
                     +zremrangebyscore +persist +pexpireat +del +get +set +publish +subscribe +unsubscribe +ping";

/// Locks on one server, and waits for it on the other.
async fn exclude_each_other(one: &Server, two: &Server) {
    let (mut a, mut b) = (one.caller().await, two.caller().await);
    assert!(a.json("lock.LockFenced", &of("a")).await.unwrap()["ok"] == true);
    begin(&mut b, "LockFenced", patient("b")).await;
    queued(&mut b).await;
    assert!(ok(&mut a, "Release", of("a")).await);
    assert!(granted(&mut b).await);
    assert!(ok(&mut a, "ForceRelease", of("")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_needs_few_rights() {
    let text = std::fs::read_to_string(crate::support::repository().join("docs/guide/locks.md")).unwrap();
    for word in RULES.split_whitespace() {
        assert!(text.contains(word), "docs/guide/locks.md lacks {word}");
    }
    let user = format!("user app on >hunter2 {RULES}\nuser default on nopass ~* &* +@all\n");
    let folder = folder(&[("users.acl", &user)]);
    let redis = redis_in(folder, &["--aclfile", "users.acl"], RedisConnectionInfo::default());
    let login = ", username: app, password: hunter2";
    let (one, two) = (bridge_with(&redis, login), bridge_with(&redis, login));
    exclude_each_other(&one, &two).await;
    for server in [&one, &two] {
        assert!(!server.output().contains("hunter2"));
        let config = server.caller().await.json("rpc.Config", &json!(true)).await.unwrap();
        assert!(!config.to_string().contains("hunter2"));
    }
}

/// An authority, a certificate for the host and its key, as files.
fn certificates() -> TempDir {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Otherwise it has the name of the certificate, which OpenSSL takes for signed by itself.
    params.distinguished_name.push(DnType::CommonName, "authority");
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![HOST.to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    folder(&[("ca.pem", &ca.pem()), ("redis.pem", &certificate.pem()), ("redis.key", &key.serialize_pem())])
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_with_a_client_certificate_works_and_a_stranger_s_authority_is_refused() {
    let files = certificates();
    let path = |name: &str| files.path().join(name).display().to_string();
    let (ca, cert, key) = (path("ca.pem"), path("redis.pem"), path("redis.key"));
    let secure = std::net::TcpListener::bind((HOST, 0)).unwrap().local_addr().unwrap().port().to_string();
    let redis = redis(&[
        "--tls-port",
        &secure,
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &ca,
    ]);
    let section = |tls: &str| {
        format!("lock: {{driver: redis, config: {{addrs: ['{HOST}:{secure}'], tls: {{{tls}}}}}}}\n")
    };
    let start = |tls: &str| worker().rpc().more(&section(tls)).start();
    let full = format!("root_ca: {ca}, cert: {cert}, key: {key}");
    exclude_each_other(&start(&full), &bridge(&redis)).await;
    let other = certificates();
    for tls in [
        format!("root_ca: {}, cert: {cert}, key: {key}", other.path().join("ca.pem").display()),
        // Redis wants a client's certificate.
        format!("root_ca: {ca}"),
    ] {
        let mut server = worker().rpc().more(&section(&tls)).spawn();
        assert_eq!(server.exit().await.code(), Some(1));
        assert!(server.output().contains("lock redis: "), "{}", server.output());
    }
}

/// Three masters, each with a third of the slots.
async fn cluster() -> Vec<Redis> {
    let nodes: Vec<Redis> =
        (0..3).map(|_| redis(&["--cluster-enabled", "yes", "--cluster-announce-ip", HOST])).collect();
    for (node, slots) in nodes.iter().zip(["0 5460", "5461 10922", "10923 16383"]) {
        let _: () = node.run(&format!("CLUSTER ADDSLOTSRANGE {slots}"));
        let _: () = nodes[0].run(&format!("CLUSTER MEET {HOST} {}", node.port));
    }
    eventually("the cluster is complete", || {
        nodes.iter().all(|node| node.run::<String>("CLUSTER INFO").contains("cluster_state:ok"))
    })
    .await;
    nodes
}

async fn try_until(caller: &mut Caller, method: &str, argument: &serde_json::Value) -> serde_json::Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match caller.json(method, argument).await {
            Ok(reply) => return reply,
            Err(text) => assert!(Instant::now() < deadline, "{text}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_followed_to_the_node_of_each_key() {
    let nodes = cluster().await;
    let addrs = |nodes: &[&Redis]| {
        let addrs: Vec<String> = nodes.iter().map(|node| format!("'{}'", node.address())).collect();
        format!("lock: {{driver: redis, config: {{addrs: [{}]}}}}\n", addrs.join(", "))
    };
    let one = worker().rpc().more(&addrs(&[&nodes[0], &nodes[1]])).start();
    let two = worker().rpc().more(&addrs(&[&nodes[2], &nodes[0]])).start();
    exclude_each_other(&one, &two).await;
    let mut caller = one.caller().await;
    for resource in ["a", "b", "c", "d", "{x}y", "x}y", "{}", "a{", "naïve key"] {
        let mut last = 0;
        for _ in 0..2 {
            let argument = json!({"resource": resource, "id": "i"});
            let reply = caller.json("lock.LockFenced", &argument).await.unwrap();
            let token = reply["token"].as_i64().unwrap();
            assert!(reply["ok"] == true && token > last, "{resource}: {reply}");
            last = token;
            assert!(ok(&mut caller, "Release", argument).await);
        }
    }
    let keys: Vec<usize> = nodes.iter().map(|node| node.run("DBSIZE")).collect();
    assert!(keys.iter().all(|keys| *keys > 0), "each has tokens: {keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failover_by_the_sentinels_locks_are_those_of_the_new_master() {
    let master = redis(&[]);
    let replica = redis(&["--replicaof", HOST, &master.port.to_string(), "--replica-announce-ip", HOST]);
    eventually("the replica is in step", || {
        replica.run::<String>("INFO replication").contains("master_link_status:up")
    })
    .await;
    let sentinel = sentinel(&master);
    let more = ", master_name: mymaster";
    let server = worker().rpc().more(&sentinel.section(more)).start();
    let mut caller = server.caller().await;
    assert!(ok(&mut caller, "Lock", of("a")).await);
    let _: i64 = master.run("WAIT 1 10000");
    eventually("the sentinel knows the replica", || {
        sentinel.run::<String>("INFO sentinel").contains("slaves=1")
    })
    .await;
    eventually("a failover begins", || {
        words("SENTINEL FAILOVER mymaster").query::<()>(&mut sentinel.connection()).is_ok()
    })
    .await;
    eventually("the replica is the master", || {
        replica.run::<String>("INFO replication").contains("role:master")
    })
    .await;
    eventually("the master is a replica", || master.run::<String>("INFO replication").contains("role:slave"))
        .await;
    assert_eq!(try_until(&mut caller, "lock.Exists", &of("a")).await, json!({"ok": true}));
    assert_eq!(try_until(&mut caller, "lock.Release", &of("a")).await, json!({"ok": true}));
    assert_eq!(replica.run::<usize>("DBSIZE"), 0);
}

fn sentinel(master: &Redis) -> Redis {
    let settings = format!(
        "sentinel monitor mymaster {HOST} {} 1\nsentinel down-after-milliseconds mymaster 1000\nsentinel failover-timeout mymaster 10000\n",
        master.port
    );
    let folder = folder(&[("sentinel.conf", &settings)]);
    sentinel_in(folder)
}
