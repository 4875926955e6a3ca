//! Callers of `rpc.listen` and readers of the metrics who take more than their part. Beside them there is always another caller of RPC.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes, BytesMut};
use causeway::goridge::Flags;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::neighbour::{Cost, EVERY, SLOWEST, is_unharmed};
use crate::support::rpc::{Caller, Reply, frame};
use crate::support::{PATIENCE, Server, Setup, worker};

/// What the server holds at most when it has nothing to hold, in MB.
const EMPTY: u64 = 32;

/// What all connections of RPC may hold together, in MB.
const BUDGET: u64 = 128;

fn setup() -> Setup {
    worker().pool("num_workers: 3").rpc().more("metrics: {address: \"127.0.0.1:0\"}\n")
}

/// Plays an attack beside a caller of the proxy and one of RPC, neither of whom may be harmed.
async fn others_are_unharmed(what: &str, memory: u64, attack: impl AsyncFn(&Server)) -> Cost {
    let best = Mutex::new(Duration::MAX);
    let cost = is_unharmed(what, memory, setup, async |server| {
        let caller = RpcCaller::begin(server);
        attack(server).await;
        let slowest = caller.end().await;
        println!("{what}: the slowest call of RPC took {slowest:.1?}");
        let mut best = best.lock().unwrap();
        *best = slowest.min(*best);
    })
    .await;
    let best = best.into_inner().unwrap();
    // It has fewer attempts than the caller of the proxy.
    assert!(best <= SLOWEST * 3, "{what}: the slowest call of RPC took {best:?}");
    cost
}

/// Calls like the well-behaved caller of the proxy, in its own thread, until this is dropped: also beside an attack that fails.
struct RpcCaller {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<Duration>>,
}

impl Drop for RpcCaller {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}

impl RpcCaller {
    fn begin(server: &Server) -> Self {
        let address = server.rpc_address().trim_start_matches("tcp://").to_owned();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut stream = TcpStream::connect(address).await.unwrap();
                let (mut slowest, mut sequence) = (Duration::ZERO, 0);
                while !stopped.load(Relaxed) {
                    sequence += 1;
                    let begin = Instant::now();
                    stream.write_all(&frame(Flags::JSON, sequence, "rpc.Version", b"true")).await.unwrap();
                    let expected = frame(Flags::JSON, sequence, "rpc.Version", b"\"2025.1.15\"");
                    let mut reply = vec![0; expected.len()];
                    stream.read_exact(&mut reply).await.unwrap();
                    assert_eq!(reply, expected);
                    slowest = slowest.max(begin.elapsed());
                    tokio::time::sleep(EVERY).await;
                }
                slowest
            })
        });
        Self { stop, thread: Some(thread) }
    }

    async fn end(mut self) -> Duration {
        self.stop.store(true, Relaxed);
        let thread = self.thread.take().unwrap();
        tokio::task::spawn_blocking(|| thread.join().unwrap()).await.unwrap()
    }
}

/// Sends all calls at once, and returns that many replies. They have to be short enough that the server does not wait for them to be read.
async fn play(server: &Server, calls: &[Bytes], replies: usize) -> Vec<Reply> {
    let mut caller = server.caller().await;
    let all: Vec<u8> = calls.iter().flatten().copied().collect();
    timeout(PATIENCE, caller.send(&all)).await.unwrap();
    let mut came = Vec::new();
    while came.len() < replies {
        came.push(caller.next().await.expect("the server hung up"));
    }
    came
}

/// A MessagePack text.
fn text(out: &mut BytesMut, text: &str) {
    out.put_u8(0xa0 + u8::try_from(text.len()).unwrap());
    out.put_slice(text.as_bytes());
}

/// `{"name": "x", field: [nil, nil, ...]}` in MessagePack.
fn many_items(field: &str, count: u32) -> BytesMut {
    let mut out = BytesMut::new();
    out.put_u8(0x82);
    text(&mut out, "name");
    text(&mut out, "x");
    text(&mut out, field);
    out.put_u8(0xdd);
    out.put_u32(count);
    out.put_bytes(0xc0, usize::try_from(count).unwrap());
    out
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn arguments_of_a_million_tiny_values_are_refused_at_little_cost() {
    others_are_unharmed("tiny items", EMPTY + 96, async |server| {
        let nested = format!("{{\"channels\":[{}]}}", vec!["[]"; 1 << 21].join(","));
        let objects = format!("{{\"data\":[{}]}}", vec!["{\"\":0}"; 1 << 20].join(","));
        let calls = [
            frame(Flags::MSGPACK, 1, "metrics.Add", &many_items("labels", 16_000_000)),
            frame(Flags::MSGPACK, 2, "metrics.Add", &many_items("labels", 1_000_000)),
            frame(Flags::MSGPACK, 3, "centrifuge.Broadcast", &many_items("channels", 16_000_000)),
            frame(Flags::JSON, 4, "centrifuge.Broadcast", nested.as_bytes()),
            frame(Flags::JSON, 5, "centrifuge.Publish", objects.as_bytes()),
            frame(
                Flags::JSON,
                6,
                "metrics.Add",
                format!("{{\"labels\":[{}\"\"]}}", "\"\",".repeat(300_000)).as_bytes(),
            ),
            frame(Flags::PROTO, 7, "app.InfoWithContext", &[0x12, 0].repeat(1 << 20)),
            frame(Flags::JSON, 8, "rpc.Version", "[".repeat(1 << 19).as_bytes()),
        ];
        let mut replies = play(server, &calls, calls.len()).await;
        replies.sort_by_key(|reply| reply.sequence);
        let texts: Vec<String> = replies.iter().map(Reply::text).collect();
        assert!(replies.iter().all(Reply::is_error), "{texts:#?}");
        assert_eq!(texts[0], "rpc: the argument of metrics.Add is too long: 16000020 bytes, limit 1048576");
        assert_eq!(texts[1], "msgpack: the argument has more than 10000 values");
        assert_eq!(texts[2], "msgpack: the argument has more than 250000 values");
        for text in &texts[3..7] {
            assert!(text.contains("the argument has more than"), "{text}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn a_method_with_a_long_name_gets_a_short_reply_and_its_connection_stays_open() {
    others_are_unharmed("long names", EMPTY + 16, async |server| {
        let mut caller = server.caller().await;
        for (length, text) in [
            (4 << 20, "method name too long: 4194304 bytes, limit 256"),
            (300, "method name too long: 300 bytes, limit 256"),
        ] {
            for _ in 0..4 {
                caller.send(&frame(Flags::JSON, 7, &"x".repeat(length), b"")).await;
                let reply = caller.next().await.unwrap();
                assert_eq!((reply.sequence, reply.is_error(), &*reply.text()), (7, true, text));
                assert!(reply.method.is_empty());
            }
        }
        let long = format!("nope.{}", "x".repeat(251));
        let reply = caller.call(Flags::JSON, &long, b"").await;
        assert_eq!(reply.text(), "rpc: can't find service ".to_owned() + &long);
        let quoted = caller.json("resetter.Reset", &json!("x".repeat(1 << 19))).await.unwrap_err();
        assert_eq!(quoted.len(), 8192);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn unfinished_frames_on_many_connections_are_bounded_in_total() {
    let memory = EMPTY + BUDGET + 32;
    others_are_unharmed("half frames", memory, async |server| {
        let half = frame(Flags::JSON, 1, "centrifuge.Publish", &vec![b'x'; 16 << 20]);
        let half = half.slice(..8 << 20);
        let mut callers = Vec::new();
        for _ in 0..20 {
            let (mut caller, half) = (server.caller().await, half.clone());
            callers.push(tokio::spawn(async move {
                let _ = timeout(Duration::from_secs(2), caller.send(&half)).await;
                caller
            }));
        }
        let mut kept = Vec::new();
        for caller in callers {
            kept.push(caller.await.unwrap());
        }
        // Clients that do not finish a frame make room for one that does.
        let text = json!("x".repeat(512 << 10));
        let begin = Instant::now();
        while let Err(error) = server.caller().await.json("resetter.Reset", &text).await
            && error.contains("try again later")
        {
            assert!(begin.elapsed() < PATIENCE);
        }
        println!("a call of 512 KB had to wait {:?}", begin.elapsed());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn unread_replies_are_bounded_in_total() {
    others_are_unharmed("unread replies", EMPTY + 96, async |server| {
        let calls = frame(Flags::RAW, 1, "rpc.Config", b"").repeat(8_000);
        let mut deaf = Vec::new();
        for _ in 0..40 {
            let mut caller = server.caller().await;
            let calls = calls.clone();
            deaf.push(tokio::spawn(async move {
                let reads_nothing = async {
                    caller.send(&calls).await;
                    std::future::pending::<()>().await;
                };
                let _ = timeout(Duration::from_secs(2), reads_nothing).await;
                caller
            }));
        }
        for caller in deaf {
            drop(caller.await.unwrap());
        }
    })
    .await;
}

/// Makes calls for two seconds as fast as they are read, and reads the replies slowly.
async fn pipeline(address: String, calls: Vec<u8>) {
    let mut stream = TcpStream::connect(address.trim_start_matches("tcp://")).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let sending = async { while writer.write_all(&calls).await.is_ok() {} };
    let receiving = async {
        while let Ok(1..) = reader.read(&mut [0; 300]).await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let _ = timeout(Duration::from_secs(2), async { tokio::join!(sending, receiving) }).await;
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn no_calls_are_read_ahead_for_callers_that_read_their_replies_slowly() {
    others_are_unharmed("slow readers", EMPTY + 64, async |server| {
        let add = json!({"name": "none", "value": 1, "labels": ["x"]}).to_string();
        let calls = frame(Flags::JSON, 1, "metrics.Add", add.as_bytes()).repeat(2_000);
        let slow = (0..12).map(|_| tokio::spawn(pipeline(server.rpc_address(), calls.clone())));
        for slow in slow.collect::<Vec<_>>() {
            slow.await.unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn a_thousand_requests_for_statistics_cause_few_samples_of_proc() {
    let cost = others_are_unharmed("a thousand looks", EMPTY + 32, async |server| {
        let look = |sequence| frame(Flags::JSON, sequence, "informer.Workers", b"\"centrifuge\"");
        let calls: Vec<Bytes> = (1..=1024).map(look).collect();
        let replies = play(server, &calls, calls.len()).await;
        let workers =
            |reply: &Reply| serde_json::from_str::<Value>(&reply.text()).unwrap()["workers"][2].clone();
        assert!(replies.iter().all(|reply| workers(reply)["memoryUsage"].as_u64().unwrap() > 1 << 20));
    })
    .await;
    assert!(cost.threads < 32, "{cost}");
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn locks_with_long_names_are_bounded_in_bytes() {
    others_are_unharmed("long locks", EMPTY + 96, async |server| {
        let lock = |number: usize| {
            let name = format!("{number:04096}");
            let argument = json!({"resource": name, "id": name}).to_string();
            frame(Flags::JSON, u32::try_from(number).unwrap(), "lock.Lock", argument.as_bytes())
        };
        let calls: Vec<Bytes> = (0..8_600).map(lock).collect();
        let replies = play(server, &calls, calls.len()).await;
        let refused: Vec<&Reply> = replies.iter().filter(|reply| reply.is_error()).collect();
        assert!(refused.len() > 500 && refused.len() < 1_500, "{}", refused.len());
        assert_eq!(refused[0].text(), "limit of 64 MB for locks and waiters reached");
        let mut caller = server.caller().await;
        let first = json!({"resource": format!("{:04096}", 0), "id": format!("{:04096}", 0)});
        assert_eq!(caller.json("lock.Release", &first).await.unwrap()["ok"], true);
        let other = json!({"resource": "other", "id": "a"});
        assert_eq!(caller.json("lock.Lock", &other).await.unwrap()["ok"], true);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn thousands_of_locks_that_expire_together_are_released_in_slices() {
    others_are_unharmed("locks that end at once", EMPTY + 64, async |server| {
        let lock = |number: u32| {
            let argument = json!({"resource": number.to_string(), "id": "a", "ttl": 700_000}).to_string();
            frame(Flags::JSON, number, "lock.Lock", argument.as_bytes())
        };
        let calls: Vec<Bytes> = (0..10_000).map(lock).collect();
        play(server, &calls, calls.len()).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let exists = json!({"resource": "9999", "id": "*"});
        assert_eq!(server.caller().await.json("lock.Exists", &exists).await.unwrap()["ok"], false);
    })
    .await;
}

/// Gives the metrics 10,000 series with a label value of this many bytes. It may be called again.
pub(super) async fn make_metrics_large(server: &Server, name: &str, width: usize) {
    let declare = json!({"name": name, "collector": {"type": "counter", "help": "h", "labels": ["a"]}});
    let _ = server.caller().await.json("metrics.Declare", &declare).await;
    let add = |number: u32| {
        let argument = json!({"name": name, "value": 1, "labels": [format!("{number:0width$}")]}).to_string();
        frame(Flags::JSON, number, "metrics.Add", argument.as_bytes())
    };
    let calls: Vec<Bytes> = (0..10_000).map(add).collect();
    let replies = play(server, &calls, calls.len()).await;
    assert!(!replies.iter().any(Reply::is_error));
}

/// The answer of the metrics' address, headers included.
pub(super) async fn scrape(address: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    page
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn too_many_labels_are_refused_and_concurrent_scrapes_share_a_large_page() {
    others_are_unharmed("large pages", EMPTY + 96, async |server| {
        let mut caller = server.caller().await;
        let labels: Vec<String> = (0..9_000).map(|number| format!("l{number}")).collect();
        let declare = |labels: Value| json!({"name": "m", "collector": {"type": "counter", "help": "h", "labels": labels}});
        let refused = caller.json("metrics.Declare", &declare(json!(labels))).await.unwrap_err();
        assert_eq!(refused, "metrics_plugin_declare: a collector may have 64 labels, found 9000");
        make_metrics_large(server, "m", 100).await;
        let address = server.listening("metrics");
        let scrapes = (0..50).map(|_| scrape(&address));
        for page in futures_util::future::join_all(scrapes).await {
            assert!(page.contains("m{a=\"") && page.len() > 1_000_000, "{} bytes", page.len());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn floods_of_small_calls_do_not_starve_others() {
    others_are_unharmed("floods", EMPTY + 64, async |server| {
        let declare = json!({"name": "m", "collector": {"type": "counter", "help": "h"}});
        let _ = server.caller().await.json("metrics.Declare", &declare).await;
        let add = json!({"name": "m", "value": 1}).to_string();
        let wait = json!({"resource": "r", "id": "b", "wait": 300_000}).to_string();
        server
            .caller()
            .await
            .json("lock.Lock", &json!({"resource": "r", "id": "a", "ttl": 1_000_000}))
            .await
            .unwrap();
        for (method, argument) in [
            ("metrics.Add", &*add),
            ("app.Debug", "\"a line\""),
            ("jobs.Push", "{}"),
            ("centrifuge.Publish", r#"{"channel": "x", "data": {}}"#),
            ("resetter.Reset", "\"http\""),
            ("causeway.Stats", "\"\""),
            ("lock.Lock", &*wait),
        ] {
            let calls: Vec<Bytes> = (1..=2_000)
                .map(|sequence| frame(Flags::JSON, sequence, method, argument.as_bytes()))
                .collect();
            assert_eq!(play(server, &calls, calls.len()).await.len(), calls.len(), "{method}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn large_arguments_in_json_do_not_delay_other_calls() {
    others_are_unharmed("large JSON", EMPTY + 192, async |server| {
        let data = "x".repeat(4 << 20);
        let publish = json!({"channel": "x", "data": data}).to_string();
        let calls: Vec<Bytes> = (1..=4)
            .map(|sequence| frame(Flags::JSON, sequence, "centrifuge.Publish", publish.as_bytes()))
            .collect();
        let replies = play(server, &calls, calls.len()).await;
        // There is no Centrifugo here: that it is missed shows that the argument was read.
        assert!(replies.iter().all(|reply| reply.text().contains("Unavailable")), "{}", replies[0].text());
        let line = json!("x".repeat(3 << 20)).to_string();
        let mut caller: Caller = server.caller().await;
        assert!(!caller.call(Flags::JSON, "app.Debug", line.as_bytes()).await.is_error());
    })
    .await;
}
