//! `causeway workers -i`, on a terminal and through a pipe.

use std::fs::File;
use std::io::{Read, Write as _};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::tcgetattr;
use nix::unistd::Pid;

use crate::support::{BINARY, Killed, PATIENCE, Server, worker};

/// What a process shows.
struct Shown {
    chunks: Receiver<Vec<u8>>,
    text: String,
}

impl Shown {
    fn follow(mut reader: impl Read + Send + 'static) -> Self {
        let (sender, chunks) = channel();
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(read @ 1..) = reader.read(&mut chunk) {
                if sender.send(chunk[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { chunks, text: String::new() }
    }

    /// Waits until `part` is shown. Returns the output up to there and consumes it.
    fn until(&mut self, part: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        while !self.text.contains(part) {
            let left = deadline.saturating_duration_since(Instant::now());
            let chunk = self.chunks.recv_timeout(left);
            let chunk = chunk.unwrap_or_else(|error| panic!("{error}: {part:?} in {:?}", self.text));
            self.text.push_str(&String::from_utf8_lossy(&chunk));
        }
        std::mem::take(&mut self.text)
    }
}

fn server() -> Server {
    worker().more("rpc: {listen: unix://rpc.sock}\n").start()
}

fn command(server: &Server) -> Command {
    let mut command = Command::new(BINARY);
    command.args(["workers", "-i"]).current_dir(server.folder.path()).stdin(Stdio::null());
    command
}

fn through_a_pipe(server: &Server) -> (Killed, Shown) {
    let mut child = Killed(command(server).stdout(Stdio::piped()).spawn().unwrap());
    let shown = Shown::follow(child.0.stdout.take().unwrap());
    (child, shown)
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_pipe_tables_follow_one_another_until_a_signal() {
    let server = server();
    let (mut child, mut shown) = through_a_pipe(&server);
    for _ in 0..2 {
        let table = shown.until("┘\n");
        assert!(table.contains("requests/s, 0 waiting, 1 workers wanted"), "{table}");
        assert!(table.contains("│ ready  │") && !table.contains('\u{1b}'), "{table}");
    }
    kill(Pid::from_raw(child.0.id().cast_signed()), Signal::SIGINT).unwrap();
    assert!(child.0.wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_stands_first_with_its_reason_and_fifteen_minutes_are_graphs() {
    let reports = "pools: {reports: {required: false, command: sh -c 'echo no database >&2; exit 3'}}";
    let server = worker().centrifuge(reports).more("rpc: {listen: unix://rpc.sock}\n").start();
    let (_child, mut shown) = through_a_pipe(&server);
    shown.until("✕ no ready worker in centrifuge.reports, for ");
    let reason = shown.until("no database");
    assert!(reason.contains("last failed start: `sh -c "), "{reason}");
    // A point takes five seconds.
    let graph = shown.until("  now 0.0, at most 0.0\n");
    assert!(graph.contains("requests/s  ") && graph.contains("▁  now"), "{graph}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_server_is_shown_again() {
    let mut server = server();
    let (_child, mut shown) = through_a_pipe(&server);
    shown.until("Workers of");
    server.signal(Signal::SIGTERM);
    assert!(server.exit().await.success());
    shown.until("cannot connect to unix://rpc.sock");
    let mut again = Command::new(BINARY);
    again.args(["serve", "-s"]).current_dir(server.folder.path());
    let _again = Killed(again.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    shown.until("Workers of");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_a_key_quits_and_the_terminal_is_restored() {
    let server = server();
    let size = Winsize { ws_row: 20, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    for key in [b"q", b"\x03"] {
        let OpenptyResult { master, slave } = openpty(&size, None).unwrap();
        let before = tcgetattr(&slave).unwrap();
        let mut command = command(&server);
        command.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap());
        let mut child = Killed(command.env_remove("NO_COLOR").spawn().unwrap());
        let mut keyboard = File::from(master);
        let mut shown = Shown::follow(keyboard.try_clone().unwrap());

        let first = shown.until("┘");
        assert!(first.contains("\u{1b}[?1049h") && first.contains("requests/s"), "{first:?}");
        assert!(first.contains("\u{1b}[93mcentrifuge\u{1b}[0m"), "{first:?}");
        assert!(!tcgetattr(&slave).unwrap().local_flags.eq(&before.local_flags), "keys come at once");
        keyboard.write_all(key).unwrap();
        // The earlier screen and the cursor are restored.
        let end = shown.until("\u{1b}[?1049l");
        assert!(end.contains("\u{1b}[?25h"), "{end:?}");
        assert!(child.0.wait().unwrap().success());
        let after = tcgetattr(&slave).unwrap();
        assert_eq!((after.local_flags, after.output_flags), (before.local_flags, before.output_flags));
        assert_eq!((after.input_flags, after.control_flags), (before.input_flags, before.control_flags));
    }
}
