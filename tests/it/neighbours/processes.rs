//! Strangers that try to take requests of others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::neighbour::is_unharmed;
use crate::support::{json, worker};

/// Claims to be the process `pid`, which is about to be started, and counts the bytes that it receives.
async fn impersonate(relay: String, pid: u32, stolen: Arc<AtomicUsize>) {
    let Ok(mut stranger) = TcpStream::connect(relay).await else { return };
    let mut frame = [0; 12];
    if stranger.read_exact(&mut frame).await.is_err() {
        return;
    }
    // A handshake has no options; the header holds the length of its payload.
    let length = u32::from_le_bytes([frame[2], frame[3], frame[4], frame[5]]);
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    if stranger.read_exact(&mut payload).await.is_err()
        || stranger.write_all(&causeway::goridge::pid_request(pid)).await.is_err()
    {
        return;
    }
    while let Ok(read @ 1..) = stranger.read(&mut payload).await {
        stolen.fetch_add(read, Relaxed);
    }
}

/// The pid of the last process that was started.
fn last_pid() -> u32 {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap();
    load.split_whitespace().last().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn a_stranger_that_guesses_the_pid_of_the_next_worker_reads_no_request() {
    let setup = || worker().relay("tcp").pool("num_workers: 3").rpc();
    let cost = is_unharmed("guessed pids", 48, setup, async |server| {
        let client = server.client().await;
        let env = json(&client.rpc("env", "").await.unwrap());
        let relay = env["RR_RELAY"].as_str().unwrap()["tcp://".len()..].to_owned();
        let stolen = Arc::new(AtomicUsize::new(0));
        let mut caller = server.caller().await;
        let (mut guessed, mut rounds) = (0, 0);
        // Other programs on the machine start processes too, so a round may have no right guess.
        while rounds < 2 || guessed == 0 {
            rounds += 1;
            assert!(rounds < 20, "no guess was right");
            let mut strangers = tokio::task::JoinSet::new();
            let last = last_pid();
            for pid in last + 1..last + 100 {
                strangers.spawn(impersonate(relay.clone(), pid, Arc::clone(&stolen)));
            }
            caller.json("resetter.Reset", &"centrifuge".into()).await.unwrap();
            for _ in 0..10 {
                assert_eq!(client.rpc("echo", "\"1\"").await.unwrap(), "\"1\"");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            strangers.shutdown().await;
            let workers = caller.json("informer.Workers", &"centrifuge".into()).await.unwrap();
            let pids =
                workers["workers"].as_array().unwrap().iter().map(|worker| worker["pid"].as_u64().unwrap());
            guessed += pids.filter(|pid| (u64::from(last) + 1..u64::from(last) + 100).contains(pid)).count();
        }
        assert_eq!(stolen.load(Relaxed), 0, "bytes were sent to a stranger");
    })
    .await;
    assert!(cost.calls > 20, "{cost}");
}
