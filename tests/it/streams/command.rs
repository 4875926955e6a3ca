//! `causeway call subscribe_stream`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::support::streams::Events;
use crate::support::{BINARY, Killed, PATIENCE, Server, json, worker};

/// The command, with what it prints line by line.
struct Shown {
    child: Killed,
    lines: Receiver<String>,
    input: Option<ChildStdin>,
}

impl Shown {
    fn begin(server: &Server, args: &[&str]) -> Self {
        let mut child = Command::new(BINARY)
            .args(["call", "subscribe_stream", "--user", "42", "--address", server.address()])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { child: Killed(child), lines, input }
    }

    /// The next line, as soon as it is printed.
    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("another line")
    }

    fn message(&self) -> Value {
        json(&self.line())
    }

    fn say(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Waits until it has ended by itself: its exit code, and what it has printed to standard error.
    fn end(mut self) -> (Option<i32>, String) {
        assert_eq!(self.lines.recv_timeout(PATIENCE).ok(), None, "nothing more is printed");
        let child: &mut Child = &mut self.child.0;
        let code = child.wait().unwrap().code();
        let mut text = String::new();
        child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        (code, text)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_shown_as_they_come_until_the_stream_ends() {
    let server = worker().rpc().start();
    let mut caller = server.caller().await;
    for (number, args) in [&["--json"][..], &[]].into_iter().enumerate() {
        let events = Events::of(&server, &format!("events{number}"));
        let shown = Shown::begin(&server, &[&["--channel", &events.channel()], args].concat());
        let is_json = !args.is_empty();
        if is_json {
            assert_eq!(shown.message(), json!({"subscribe_response": {"result": {}}}));
        } else {
            assert_eq!(shown.line(), "result (empty)");
        }
        let id = events.id().await;
        assert_eq!(events.seen()[0]["data"], "");
        for data in [json!({"n": 1}), json!("two")] {
            caller.json("stream.Publish", &json!({"id": id, "data": data})).await.unwrap();
            if is_json {
                assert_eq!(shown.message(), json!({"publication": {"data": data}}));
            } else {
                assert_eq!(shown.line(), data.to_string());
            }
        }
        caller.json("stream.Close", &json!({"id": id})).await.unwrap();
        assert_eq!(shown.end(), (Some(0), String::new()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_ends_the_command_and_its_stream() {
    let server = worker().rpc().start();
    let events = Events::of(&server, "events");
    let shown = Shown::begin(&server, &["--channel", &events.channel()]);
    assert_eq!(shown.line(), "result (empty)");
    kill(Pid::from_raw(i32::try_from(shown.child.0.id()).unwrap()), Signal::SIGINT).unwrap();
    assert_eq!(shown.end(), (None, String::new()), "it is ended by the signal");
    let end = &events.at_least(2).await[1];
    assert_eq!((&end["type"], &end["context"]["reason"]), (&json!("streamend"), &json!(["connection"])));
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_the_input_are_published_and_an_error_ends_the_command_with_one_line() {
    let server = worker().pool("num_workers: 2").rpc().start();
    let events = Events::of(&server, "events");
    let mut shown = Shown::begin(&server, &["--bidirectional", "--channel", &events.channel()]);
    assert_eq!(shown.line(), "result (empty)");
    shown.say("{\"n\": 1}\n");
    let seen = events.at_least(2).await;
    assert_eq!((&seen[1]["type"], &seen[1]["data"]), (&json!("streampublish"), &json!("{\"n\": 1}")));
    shown.say("\"reject\"");
    let (code, text) = shown.end();
    assert_eq!(code, Some(1));
    assert_eq!(text, "causeway: FailedPrecondition: publication rejected: 403 rejected\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_is_shown() {
    let server = worker().start();
    let events = Events::of(&server, "events");
    let shown = Shown::begin(&server, &["--channel", &format!("refused:{}", events.path().display())]);
    assert_eq!(shown.line(), "error 403: rejected");
    assert_eq!(shown.end(), (Some(0), String::new()));
}
