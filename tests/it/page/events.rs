//! The stream of snapshots.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::{STATUS, setup};
use crate::support::neighbour::is_unharmed;
use crate::support::{PATIENCE, Server, json};

const FOLLOW: &[u8] = b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Connects with so small a buffer that hardly anything fits into the kernel.
async fn follow(server: &Server) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(server.listening(STATUS).parse().unwrap()).await.unwrap();
    stream.write_all(FOLLOW).await.unwrap();
    stream
}

/// The next line that begins with this.
async fn line(stream: &mut BufReader<TcpStream>, begin: &str) -> String {
    let mut line = String::new();
    let read = async {
        while !line.starts_with(begin) {
            line.clear();
            assert!(stream.read_line(&mut line).await.unwrap() > 0, "the stream has ended");
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("in time");
    line
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_is_a_snapshot() {
    let server = setup().start();
    let mut stream = BufReader::new(follow(&server).await);
    assert!(line(&mut stream, "HTTP/1.1").await.contains(" 200 "));
    assert_eq!(line(&mut stream, "content-type").await.trim(), "content-type: text/event-stream");
    let mut times = Vec::new();
    for _ in 0..3 {
        let event = line(&mut stream, "data: ").await;
        let snapshot = json(event.strip_prefix("data: ").unwrap());
        assert_eq!(snapshot["pools"][0]["name"], "centrifuge");
        times.push(snapshot["at"].as_f64().unwrap());
    }
    assert!(times.is_sorted() && times[0] < times[2], "{times:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_readers_that_do_not_read_are_not_felt() {
    let setup = || setup().pool("num_workers: 3");
    is_unharmed("events that are not read", 64, setup, async |server| {
        let mut streams = Vec::new();
        for _ in 0..50 {
            streams.push(follow(server).await);
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        let ready = super::get(server, "/ready").await;
        assert_eq!(ready.code, 200);
        let snapshot = super::get(server, "/api/snapshot").await;
        assert_eq!(snapshot.code, 200);
        let mut refused = 0;
        for stream in streams {
            let mut stream = BufReader::new(stream);
            if line(&mut stream, "HTTP/1.1").await.contains(" 503 ") {
                refused += 1;
            }
        }
        assert_eq!(refused, 50 - 32, "a server has so many streams at a time");
    })
    .await;
}
