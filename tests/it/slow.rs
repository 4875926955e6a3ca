//! The slow log and the access log.

use std::path::Path;
use std::time::Duration;

use causeway::proto::proxy::RpcRequest;
use tonic::Request;

use crate::support::{Server, Setup, eventually, is_alive, python, repository, worker};

const SLOW: &str = "num_workers: 1, slow_after: 200ms";

/// The line of the first slow request.
fn slow_line(server: &Server) -> String {
    line_with(server, "slow request")
}

fn line_with(server: &Server, text: &str) -> String {
    server.wait_for_output(text);
    server.output().lines().find(|line| line.contains(text)).unwrap().to_owned()
}

/// The first line of a slow request with this place. A worker that is late has its answer in no line, and so there may be several.
async fn line_with_place(server: &Server, methods: &[&str], place: &str, flag: &Path) -> String {
    let client = server.client().await;
    for _ in 0..20 {
        let before = server.count_output("slow request");
        let calls: Vec<_> = methods.iter().map(|method| client.spawn_rpc(method, "1")).collect();
        eventually("a line more", || server.count_output("slow request") > before).await;
        std::fs::write(flag, "").unwrap();
        for call in calls {
            call.await.unwrap().unwrap();
        }
        std::fs::remove_file(flag).unwrap();
        let output = server.output();
        if let Some(line) = output.lines().find(|line| line.contains("slow request") && line.contains(place))
        {
            return line.to_owned();
        }
    }
    panic!("no line with {place}: {}", server.output());
}

/// Handlers that wait in `nap` until the file is there; in Python, `block` waits without letting others run. Neither waits in code of the
/// language's own library that has a place.
fn kits(flag: &str) -> [(String, &'static str); 3] {
    let python_app = |is_async: bool| {
        let (keyword, sleep, wait) =
            if is_async { ("async ", "await asyncio.sleep", "await ") } else { ("", "time.sleep", "") };
        let many = if is_async { "concurrency=8" } else { "" };
        format!(
            "import asyncio, os, sys, time
sys.path.insert(0, {source:?})
import causeway
app = causeway.App()
@app.on_rpc('nap')
{keyword}def handle(request):
    {wait}nap()
    return causeway.RpcResult(data='done')
{keyword}def nap():
    while not os.access({flag:?}, os.F_OK):
        {sleep}(0.01)
@app.on_rpc('block')
{keyword}def blocking(request):
    block()
def block():
    while not os.access({flag:?}, os.F_OK):
        time.sleep(0.01)
app.run({many})
",
            source = repository().join("workers/python/src").display().to_string(),
        )
    };
    let php = format!(
        "<?php
require {autoload:?};
function nap(): void
{{
    while (!file_exists({flag:?})) {{
        usleep(10000);
        clearstatcache();
    }}
}}
(new Causeway\\App(backtrace: true))
    ->onRpc('nap', function () {{
        nap();
        return new Causeway\\Result\\RpcResult('done');
    }})
    ->run();
",
        autoload = repository().join("workers/php/autoload.php").display().to_string(),
    );
    [(python_app(false), "app.py"), (python_app(true), "app.py"), (php, "app.php")]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_request_is_logged_while_it_runs_with_what_it_is_about_and_what_its_worker_does() {
    let server = worker().pool(SLOW).start();
    let (client, flag) = (server.client().await, server.path("flag"));
    let pid = client.worker_pid().await;
    let method = format!("wait:{}", flag.display());
    let message = RpcRequest { user: "42".into(), method, data: "1".into(), ..RpcRequest::default() };
    let mut request = Request::new(message);
    request.set_timeout(Duration::from_millis(50));
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    request.metadata_mut().insert("traceparent", traceparent.parse().unwrap());
    // On a busy machine the call may be given up before it has reached the worker.
    while client.call("Rpc", request_copy(&request)).await.is_err()
        && server.count_output("slow request") == 0
    {
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let line = slow_line(&server);
    for part in [
        &format!("\"pid\": {pid}"),
        "\"type\": \"rpc\"",
        "\"method\": \"wait:",
        "\"user\": \"42\"",
        "\"trace_id\": \"0af7651916cd43dd8448eb211c80319c\"",
        "\"state\": \"",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(is_alive(pid), "nothing was sent to it");
    std::fs::write(&flag, "").unwrap();
    client.rpc("echo", "1").await.unwrap();
    assert_eq!(client.worker_pid().await, pid);
}

fn request_copy(request: &Request<RpcRequest>) -> Request<RpcRequest> {
    let mut copy = Request::new(request.get_ref().clone());
    *copy.metadata_mut() = request.metadata().clone();
    copy
}

#[tokio::test(flavor = "multi_thread")]
async fn the_packages_say_where_in_the_code_a_slow_request_is() {
    let folder = tempfile::tempdir().unwrap();
    let flag = folder.path().join("flag");
    for (code, name) in kits(&flag.display().to_string()) {
        let path = folder.path().join(name);
        std::fs::write(&path, &code).unwrap();
        let is_php = path.extension().is_some_and(|extension| extension == "php");
        let interpreter = if is_php { "php".into() } else { python() };
        let server = Setup::new(&format!("{interpreter} {}", path.display())).pool(SLOW).start();
        let line = line_with_place(&server, &["nap"], " in nap\"", &flag).await;
        assert!(line.contains(&format!("\"place\": \"{}:", path.display())), "{line}");
        assert!(line.contains(if is_php { "{closure" } else { " in handle > " }), "{line}");
        assert_eq!(server.count_output("worker died"), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_blocks_the_event_loop_is_the_place_of_the_requests_that_it_holds_up() {
    let folder = tempfile::tempdir().unwrap();
    let (path, flag) = (folder.path().join("app.py"), folder.path().join("flag"));
    let [_, (code, _), _] = kits(&flag.display().to_string());
    std::fs::write(&path, code).unwrap();
    let server = Setup::new(&format!("{} {}", python(), path.display())).pool(SLOW).start();
    let line = line_with_place(&server, &["nap", "block"], " in block\"", &flag).await;
    assert!(line.contains(" in blocking > "), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_php_worker_is_not_interrupted_in_a_call_that_would_fail_nor_unless_it_has_asked_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.php");
    for (arguments, wait) in
        [("backtrace: true", "stream_select($read, $none, $none, 1)"), ("", "usleep(1000000)")]
    {
        let code = format!(
            "<?php
require {autoload:?};
set_error_handler(fn ($level, $message) => throw new ErrorException($message));
(new Causeway\\App({arguments}))
    ->onRpc('wait', function () {{
        [$near, $far] = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0);
        $read = [$near];
        $none = [];
        $begin = microtime(true);
        {wait};
        return new Causeway\\Result\\RpcResult(microtime(true) - $begin > 0.9 ? 'whole' : 'interrupted');
    }})
    ->run();
",
            autoload = repository().join("workers/php/autoload.php").display().to_string(),
        );
        std::fs::write(&path, code).unwrap();
        let server = Setup::new(&format!("php {}", path.display())).pool(SLOW).start();
        let call = server.client().await.spawn_rpc("wait", "1");
        let line = slow_line(&server);
        assert!(!line.contains("\"place\""), "{line}");
        assert!(call.await.unwrap().unwrap().contains("whole"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_offers_no_backtrace_gets_no_signal_and_one_that_does_not_catch_it_neither() {
    for setup in [worker(), worker().env("OFFERS", r#"{"backtrace":"SIGUSR2"}"#)] {
        let server = setup.pool(SLOW).start();
        let (client, flag) = (server.client().await, server.path("flag"));
        let pid = client.worker_pid().await;
        let call = client.spawn_rpc(&format!("wait:{}", flag.display()), "1");
        let line = slow_line(&server);
        assert!(!line.contains("\"place\""), "{line}");
        std::fs::write(&flag, "").unwrap();
        call.await.unwrap().unwrap();
        assert_eq!(client.worker_pid().await, pid);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_logged_where_the_access_log_is_on() {
    let server = worker().more("logs: {channels: {access: {output: access.log}}}\n").start();
    let client = server.client().await;
    client.rpc("echo", "12").await.unwrap();
    client.rpc("no such behaviour", "").await.unwrap_err();
    let log = || std::fs::read_to_string(server.path("access.log")).unwrap_or_default();
    eventually("both are logged", || log().lines().count() == 2).await;
    let text = log();
    let lines: Vec<&str> = text.lines().collect();
    for part in [
        "\"type\": \"rpc\"",
        "\"method\": \"echo\"",
        "\"code\": \"OK\"",
        "\"queue\": 0",
        "\"response_bytes\": ",
    ] {
        assert!(lines[0].contains(part), "{part}: {text}");
    }
    assert!(lines[1].contains("\"code\": \"INTERNAL\""), "{text}");
    assert!(!server.output().contains("\"response_bytes\""));

    // It is off unless it is asked for.
    let server = worker().start();
    server.client().await.rpc("echo", "1").await.unwrap();
    assert!(!server.output().contains("\"response_bytes\""));
}
