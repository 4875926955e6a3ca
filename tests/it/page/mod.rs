//! The page at `status.address`: what browsers and scripts see, and whom it obeys.

mod access;
mod browser;
mod events;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{PATIENCE, Server, Setup, json, worker};

const STATUS: &str = "status";

fn setup() -> Setup {
    worker().rpc().more("status: {address: '127.0.0.1:0', control: true}\n")
}

/// An answer, taken apart.
struct Answer {
    code: u16,
    /// In lower case.
    head: String,
    body: String,
}

/// Sends a request with these headers, one in each line, and a body.
async fn request(server: &Server, line: &str, headers: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(server.listening(STATUS)).await.unwrap();
    let (headers, length) = (headers.replace('\n', "\r\n"), body.len());
    let request = format!(
        "{line} HTTP/1.1\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("in time").unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { code, head: head.to_lowercase(), body: body.to_owned() }
}

async fn get(server: &Server, path: &str) -> Answer {
    request(server, &format!("GET {path}"), "Host: localhost", "").await
}

async fn document(server: &Server, path: &str) -> Value {
    json(&get(server, path).await.body)
}

/// The token that the page contains.
async fn token(server: &Server) -> String {
    let page = get(server, "/").await.body;
    let (_, token) = page.split_once("<meta name=\"token\" content=\"").unwrap();
    token.split('"').next().unwrap().to_owned()
}
