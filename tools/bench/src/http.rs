//! Requests to the pages that operators see.

use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Gets what is at `path`, over a connection of its own. Returns the body as it is transferred.
///
/// # Errors
/// If its status is not 200.
pub(crate) async fn get(address: &str, path: &str, encoding: &str) -> anyhow::Result<Vec<u8>> {
    let read = async {
        let mut answer = Vec::new();
        request(address, path, encoding, "close").await?.read_to_end(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = tokio::time::timeout(PATIENCE, read).await;
    let mut answer = answer.with_context(|| format!("{path} is not served"))??;
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").context("an answer has no headers")?;
    let body = answer.split_off(end + 4);
    if !answer.starts_with(b"HTTP/1.1 200 ") {
        bail!("{path} is answered with {}", answer.escape_ascii());
    }
    Ok(body)
}

/// Sends a request. Returns the connection.
pub(crate) async fn request(
    address: &str,
    path: &str,
    encoding: &str,
    connection: &str,
) -> anyhow::Result<TcpStream> {
    let mut stream =
        TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept-Encoding: {encoding}\r\nConnection: {connection}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    Ok(stream)
}
