//! Answers of more than one message, from workers of both protocols.

use std::time::Duration;

use bytes::Bytes;
use causeway::pool::{AnswerStream, Caller, Error, Opened, Request, RequestType, Timings};
use causeway::proto::proxy::{RpcRequest, RpcResponse};
use prost::Message as _;

use crate::support::pool::TestPool;
use crate::support::{Setup, eventually, is_alive, worker};

/// A worker of protocol 2.
fn many(concurrency: usize) -> Setup {
    worker().env("OFFERS", &format!("{{\"protocol\":2,\"concurrency\":{concurrency}}}"))
}

/// One worker of each kind.
fn both() -> [Setup; 2] {
    [worker(), many(8)]
}

impl TestPool {
    async fn try_open(&self, method: &str) -> Result<Opened, Error> {
        let request =
            RpcRequest { method: method.into(), data: Bytes::from_static(b"\"1\""), ..Default::default() };
        let body = Bytes::from(request.encode_to_vec());
        let kind = RequestType::of("rpc");
        let request =
            Request { caller: Caller::NONE, kind, trace: None, context: b"{}", body: &body, deadline: None };
        self.pool.open(&request, &mut Timings::default()).await
    }

    async fn open(&self, method: &str) -> AnswerStream {
        match self.try_open(method).await {
            Ok(Opened::Stream(stream)) => stream,
            other => panic!("{other:?}"),
        }
    }

    /// Nothing is in hand any more.
    async fn is_at_rest(&self) {
        eventually("nothing is in hand", || self.pool.workers().iter().all(|worker| worker.in_hand == 0))
            .await;
    }
}

fn data(message: &Bytes) -> String {
    let data = RpcResponse::decode(message.clone()).unwrap().result.unwrap_or_default().data;
    String::from_utf8(data.to_vec()).unwrap()
}

/// The next message.
async fn next(stream: &mut AnswerStream) -> String {
    data(&stream.next().await.unwrap().unwrap())
}

/// All messages up to the end, which has to be a good one.
async fn all(mut stream: AnswerStream) -> Vec<String> {
    let mut seen = Vec::new();
    while let Some(message) = stream.next().await {
        seen.push(data(&message.unwrap()));
    }
    seen
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_messages_of_a_stream_come_in_their_order_and_then_its_end() {
    for relay in ["pipes", "tcp", "unix"] {
        for setup in both() {
            let test = setup.relay(relay).pool_alone().await;
            for method in ["chunks:1", "chunks:3", "pinged:12"] {
                if method != "pinged:12" || test.pool.workers()[0].concurrency == 1 {
                    let count = method.split_once(':').unwrap().1.parse().unwrap();
                    assert_eq!(all(test.open(method).await).await, numbers(count), "{method}");
                }
                assert_eq!(test.rpc("echo", "between").await.unwrap(), "between");
            }
            test.is_at_rest().await;
            test.end().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_one_message_is_one_though_it_might_be_more() {
    for setup in both() {
        let test = setup.pool_alone().await;
        let Ok(Opened::Answer(answer)) = test.try_open("maybe").await else { panic!("it is streamed") };
        assert_eq!(data(&answer.body), "\"1\"");
        drop(answer);
        assert!(
            matches!(test.try_open("error:no").await, Err(Error::Worker { message, .. }) if message == "no")
        );
        test.is_at_rest().await;
        test.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unary_call_fails_when_its_answer_is_streamed_and_the_worker_goes_on() {
    for setup in both() {
        let test = setup.pool_alone().await;
        let pid = test.worker_pid().await;
        for method in ["chunks:3", "endless", "unfinished"] {
            if method == "unfinished" && test.pool.workers()[0].concurrency > 1 {
                // It would never be finished.
                continue;
            }
            let error = test.rpc(method, "").await.unwrap_err();
            assert_eq!(error, Error::Streamed { pid }, "{method}");
            assert_eq!(test.rpc("echo", "1").await.unwrap(), "1");
        }
        test.is_at_rest().await;
        assert_eq!(test.worker_pid().await, pid);
        test.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_dropped_is_ended_by_its_worker_which_goes_on() {
    for setup in both() {
        let test = setup.pool_alone().await;
        let pid = test.worker_pid().await;
        for messages in [1, 3] {
            let mut stream = test.open("endless").await;
            for number in 0..messages {
                assert_eq!(next(&mut stream).await, number.to_string());
            }
            drop(stream);
            test.is_at_rest().await;
            assert_eq!(test.rpc("echo", "1").await.unwrap(), "1");
        }
        assert_eq!(test.worker_pid().await, pid);
        test.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_the_error_of_its_worker_or_with_its_death() {
    for setup in both() {
        let test = setup.pool_alone().await;
        let mut stream = test.open("broken_off").await;
        assert_eq!(next(&mut stream).await, "1");
        let error = stream.next().await.unwrap().unwrap_err();
        assert!(matches!(error, Error::Worker { message, .. } if message == "of my own"));
        assert!(stream.next().await.is_none());
        drop(stream);

        let flag = test.folder.path().join("flag");
        let mut stream = test.open(&format!("dies:{}", flag.display())).await;
        assert_eq!(next(&mut stream).await, "1");
        std::fs::write(&flag, "").unwrap();
        let error = stream.next().await.unwrap().unwrap_err();
        assert!(matches!(error, Error::WorkerDied { how, .. } if how == "exit status 3"));
        assert!(stream.next().await.is_none());
        assert_eq!(test.rpc("echo", "1").await.unwrap(), "1");
        test.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_does_not_end_its_stream_ends_it_with_an_error() {
    let test = worker().pool_alone().await;
    let mut stream = test.open("unfinished").await;
    assert_eq!(next(&mut stream).await, "1");
    assert!(matches!(stream.next().await, Some(Err(Error::NoAnswer { .. }))));
    drop(stream);
    assert_eq!(test.rpc("echo", "1").await.unwrap(), "1");
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_reset_a_stream_goes_on_for_stream_timeout_and_ends_with_an_error() {
    for setup in both() {
        let test = setup.pool("num_workers: 1, stream_timeout: 2s").pool_alone().await;
        let flag = test.folder.path().join("flag");
        let mut stream = test.open(&format!("held:{}", flag.display())).await;
        let pid = stream.pid();
        assert_eq!(next(&mut stream).await, "1");
        let begin = tokio::time::Instant::now();
        assert_eq!(test.pool.reset().await, Ok(()));
        assert_eq!(test.rpc("echo", "by the new one").await.unwrap(), "by the new one");
        let error = stream.next().await.unwrap().unwrap_err();
        assert_eq!(error, Error::StreamTimeout { limit: Duration::from_secs(2) });
        assert!(begin.elapsed() >= Duration::from_secs(2));
        assert!(stream.next().await.is_none());
        std::fs::write(&flag, "").unwrap();
        eventually("the old one leaves", || !is_alive(pid)).await;
        test.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_ends_in_time_after_a_reset_ends_well() {
    for setup in both() {
        let test = setup.pool_alone().await;
        let flag = test.folder.path().join("flag");
        let mut stream = test.open(&format!("held:{}", flag.display())).await;
        assert_eq!(next(&mut stream).await, "1");
        assert_eq!(test.pool.reset().await, Ok(()));
        std::fs::write(&flag, "").unwrap();
        assert!(stream.next().await.is_none());
        let pid = stream.pid();
        drop(stream);
        eventually("the old one leaves", || !is_alive(pid)).await;
        test.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_sends_as_many_messages_ahead_as_it_is_granted() {
    const COUNT: usize = 1000;
    let test = many(8).pool_alone().await;
    assert_eq!(all(test.open(&format!("windowed:{COUNT}")).await).await, numbers(COUNT));

    // One that sends more has its stream ended; the others are not touched.
    let other = test.open("windowed:200").await;
    let mut flood = test.open("chunks:1000").await;
    let mut seen = 0;
    let error = loop {
        match flood.next().await.unwrap() {
            Ok(_) => seen += 1,
            Err(error) => break error,
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    assert!(matches!(error, Error::Broken { .. }), "{error}");
    assert!((64..COUNT).contains(&seen), "{seen}");
    assert_eq!(all(other).await, numbers(200));
    drop(flood);
    test.is_at_rest().await;
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_s_messages_reach_the_handler_of_its_stream() {
    let test = many(8).pool_alone().await;
    let mut stream = test.open("parrot").await;
    assert_eq!(next(&mut stream).await, "hello");
    let mut input = stream.input().unwrap();
    assert!(stream.input().is_none());
    let sending = tokio::spawn(async move {
        for number in 0..300 {
            assert!(input.send(number.to_string().into()).await);
        }
        assert!(input.send("bye".into()).await);
        input
    });
    for number in 0..300 {
        assert_eq!(next(&mut stream).await, number.to_string());
    }
    assert_eq!(next(&mut stream).await, "bye");
    assert!(stream.next().await.is_none());
    let mut input = sending.await.unwrap();
    assert!(!input.send("too late".into()).await);
    drop(stream);
    test.end().await;

    let single = worker().pool_alone().await;
    let mut stream = single.open("chunks:2").await;
    assert!(stream.input().is_none());
    drop(stream);
    single.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_and_requests_share_a_worker() {
    let test = many(64).pool_alone().await;
    let flag = test.folder.path().join("flag");
    let held = format!("held:{}", flag.display());
    let mut streams = Vec::new();
    for _ in 0..50 {
        let mut stream = test.open(&held).await;
        assert_eq!(next(&mut stream).await, "1");
        streams.push(stream);
    }
    assert_eq!(test.pool.workers()[0].in_hand, 50);
    let load = test.load(8, "echo");
    load.goes_on(200).await;
    load.end().await;
    std::fs::write(&flag, "").unwrap();
    for mut stream in streams {
        assert!(stream.next().await.is_none());
    }
    test.is_at_rest().await;
    test.end().await;
}
