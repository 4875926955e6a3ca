//! An application behind Centrifugo's HTTP proxy, in this process.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// Answers the events that are named in the paths of requests. It keeps them, and answers with files as `tests/workers/json_worker.py` does.
pub struct HttpApp {
    pub address: String,
    requests: Arc<Mutex<Vec<(String, Value)>>>,
    _task: AbortOnDropHandle<()>,
}

impl HttpApp {
    /// Starts it; its answers are in `folder`.
    pub async fn start(folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::default();
        let task = tokio::spawn(serve(listener, folder.to_owned(), Arc::clone(&requests)));
        Self { address, requests, _task: AbortOnDropHandle::new(task) }
    }

    /// Types and bodies of all requests.
    pub fn requests(&self) -> Vec<(String, Value)> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(listener: TcpListener, folder: PathBuf, requests: Arc<Mutex<Vec<(String, Value)>>>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (folder, requests) = (folder.clone(), Arc::clone(&requests));
        let answered = service_fn(move |request: Request<Incoming>| {
            let (folder, requests) = (folder.clone(), Arc::clone(&requests));
            async move {
                let kind = request.uri().path().trim_start_matches('/').to_owned();
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let body: Value = serde_json::from_slice(&body).unwrap();
                let answer = answer(&folder, &kind, &body);
                requests.lock().unwrap_or_else(PoisonError::into_inner).push((kind, body));
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(answer))))
            }
        });
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answered);
        tokio::spawn(async move { drop(connection.await) });
    }
}

fn answer(folder: &Path, kind: &str, body: &Value) -> String {
    let name = ["method", "channel", "name"].iter().find_map(|key| body[key].as_str()).unwrap_or_default();
    let files = [format!("answer.{kind}.{name}"), format!("answer.{kind}"), "answer".into()];
    let answer = files.iter().find_map(|file| std::fs::read_to_string(folder.join(file)).ok());
    let soon = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 4;
    answer.unwrap_or_else(|| "{}".into()).replace("\"SOON\"", &soon.to_string())
}
