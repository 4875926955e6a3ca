//! Workers that print: noise between frames, floods of lines, unexpected answers.

use std::time::Duration;

use crate::support::neighbour::is_unharmed;
use crate::support::{Server, Setup, worker};

/// What the server may hold in memory, in MB: its own, and what may wait to be written to its log.
const MEMORY: u64 = 96;

fn workers() -> Setup {
    worker().pool("num_workers: 3")
}

/// Two workers do this at once; the results of their calls do not matter.
async fn misbehave(server: &Server, method: &str) {
    let client = server.client().await;
    let calls = [client.spawn_rpc(method, "\"x\""), client.spawn_rpc(method, "\"x\"")];
    for call in calls {
        if let Ok(answer) = call.await.unwrap() {
            assert_eq!(answer, "\"x\"", "{method}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn noise_that_could_start_a_frame_does_not_affect_others() {
    let coloured = "1b5b33316d7265641b5b306d20";
    let all = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20";
    for (text, size) in
        [("13", 1 << 18), ("15", 1 << 18), ("1d", 1 << 20), (coloured, 1 << 20), (all, 1 << 20)]
    {
        let method = format!("spew:{text},{size}");
        is_unharmed(&method, MEMORY, workers, async |server| misbehave(server, &method).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn repeated_pieces_of_headers_do_not_affect_others() {
    // The header of an answer: with each byte cut off it is another kind of noise. Some of it breaks the protocol.
    let head = "140000000000000000000000";
    is_unharmed("pieces of headers", MEMORY, workers, async |server| {
        for bytes in [2, 5, 10, 11] {
            misbehave(server, &format!("spew:{},{}", &head[..2 * bytes], 1 << 18)).await;
        }
        misbehave(server, &format!("random:{}", 1 << 20)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn floods_of_short_lines_do_not_affect_others_and_lost_lines_are_reported() {
    for (relay, stream) in [("pipes", 2), ("pipes", 1), ("unix", 1), ("tcp", 2)] {
        let method = format!("yes:{stream},1");
        is_unharmed(
            &format!("{method} over {relay}"),
            MEMORY,
            || workers().relay(relay),
            async |server| {
                misbehave(server, &method).await;
                let dropped = server.wait_for_output("worker output dropped");
                assert!(dropped.contains("WARN") && dropped.contains("\"lines\""), "{dropped}");
            },
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn floods_from_idle_workers_do_not_affect_others() {
    for (relay, stream) in [("pipes", 1), ("pipes", 2), ("unix", 1)] {
        let method = format!("yes_afterwards:{stream},1");
        is_unharmed(
            &format!("{method} over {relay}"),
            MEMORY,
            || workers().relay(relay),
            async |server| {
                misbehave(server, &method).await;
                tokio::time::sleep(Duration::from_millis(1200)).await;
            },
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn floods_of_long_records_do_not_affect_others() {
    for record in ["60000,500", "1000000,8", "3000000,3"] {
        let method = format!("records:{record}");
        is_unharmed(&method, MEMORY, workers, async |server| misbehave(server, &method).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn a_flood_of_unexpected_answers_does_not_affect_others_and_is_logged_in_few_lines() {
    is_unharmed("spare:100000", MEMORY, workers, async |server| {
        misbehave(server, "spare:100000").await;
        assert!(server.count_output("unrequested answer") < 50, "{}", server.output());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn workers_that_print_instead_of_starting_do_not_affect_others() {
    let folder = tempfile::tempdir().unwrap();
    let flag = folder.path().join("flag");
    let setup = || {
        let _ = std::fs::remove_file(&flag);
        worker()
            .env("BOOT_FLOODS", &flag.display().to_string())
            .pool("num_workers: 3, allocate_timeout: 20s, reset_timeout: 1s")
            .rpc()
    };
    is_unharmed("a flood before the handshake", MEMORY, setup, async |server| {
        std::fs::write(&flag, "").unwrap();
        let mut caller = server.caller().await;
        caller.json("resetter.Reset", &"centrifuge".into()).await.unwrap_err();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn a_burst_of_an_ordinary_application_is_logged_completely() {
    let server = worker().start();
    let client = server.client().await;
    for method in ["lines:10000", "records:900000,2"] {
        assert_eq!(client.rpc(method, "1").await.unwrap(), "1");
    }
    server.wait_for_output("#9999 /srv/app");
    assert_eq!(server.count_output("Kernel.php(123): handle()"), 10_000);
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while server.count_output(&"x".repeat(899_900)) < 2 {
        assert!(std::time::Instant::now() < deadline, "records of a megabyte are whole");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.count_output("worker output dropped"), 0);
}
