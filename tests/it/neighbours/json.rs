//! Messages that are converted for workers without protobuf.

use std::time::Duration;

use causeway::proto::proxy::RpcRequest;
use tonic::{Code, Request};

use crate::support::neighbour::is_unharmed;
use crate::support::{Client, repository, worker};

/// Bytes of large messages, a little less than the limit.
const LARGE: usize = 15 << 20;

/// A pool of workers without protobuf beside the default one, for methods that begin with `repeat`.
fn setup() -> crate::support::Setup {
    let command = format!("python3 {}", repository().join("tests/workers/json_worker.py").display());
    let pools = format!(
        "max_message_size: 16MB\n  pools: {{json: {{match: {{methods: ['repeat:*']}}, command: \"{command}\", num_workers: 2}}}}"
    );
    worker().pool("num_workers: 2").centrifuge(&pools)
}

/// Sends a request to a worker without protobuf and returns the code of the failure.
async fn fails(client: Client, message: RpcRequest) -> Code {
    let mut request = Request::new(RpcRequest { method: "repeat:0".into(), ..message });
    request.set_timeout(Duration::from_mins(1));
    client.call("RPC", request).await.unwrap_err().code()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_grow_without_bounds_as_json() {
    is_unharmed("requests that grow as JSON", 200, setup, async |server| {
        let escaped = || RpcRequest { user: "\u{1}".repeat(LARGE), ..RpcRequest::default() };
        let binary = || RpcRequest { data: vec![0xff; LARGE].into(), ..RpcRequest::default() };
        for message in [escaped, binary] {
            let callers = futures_util::future::join_all((0..4).map(|_| server.client())).await;
            let codes = callers.into_iter().map(|caller| fails(caller, message()));
            for code in futures_util::future::join_all(codes).await {
                assert_eq!(code, Code::ResourceExhausted);
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_deep_or_long_json() {
    is_unharmed("answers that are deep or long JSON", 200, setup, async |server| {
        for piece in ["[", "{\"a\":", " ", "{\"result\":{\"user\":\"\\ud800"] {
            let callers = futures_util::future::join_all((0..4).map(|_| server.client())).await;
            let (method, data) =
                (format!("repeat:{}", LARGE / piece.len()), serde_json::json!(piece).to_string());
            let answers = callers.iter().map(|caller| caller.rpc(&method, &data));
            for answer in futures_util::future::join_all(answers).await {
                assert_eq!(answer.unwrap_err().code(), Code::Internal);
            }
        }
    })
    .await;
}
