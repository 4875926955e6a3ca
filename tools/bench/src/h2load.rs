//! The load: h2load, which logs how long each call took.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use crate::message::{Message, framed};
use crate::process::Process;

/// How long one run may take, so that a contender that no longer answers does not stall the benchmark.
const PATIENCE: Duration = Duration::from_mins(5);

/// The load on one contender.
#[derive(Debug)]
pub(crate) struct Load {
    uri: String,
    body: PathBuf,
    connections: usize,
    streams: usize,
    /// Bytes of one answer, including gRPC's prefix.
    answer: usize,
    folder: TempDir,
}

/// The outcome of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) requests_per_second: f64,
    /// Microseconds per call, in ascending order.
    pub(crate) latencies: Vec<u32>,
}

impl Outcome {
    /// How many calls take about this many seconds; no fewer than this run has made.
    pub(crate) fn calls_within(&self, seconds: f64) -> usize {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
        let calls = (self.requests_per_second * seconds) as usize;
        calls.max(self.latencies.len())
    }
}

impl Load {
    /// A load on `address`. A right answer has `answer` bytes.
    pub(crate) fn new(
        address: &str,
        (connections, streams): (usize, usize),
        message: Message,
        answer: usize,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let body = folder.path().join("body");
        std::fs::write(&body, framed(&message.request(0))).context("cannot write the message")?;
        let uri = format!("http://{address}{}", message.path());
        Ok(Self { uri, body, connections, streams, answer: answer + 5, folder })
    }

    /// Makes calls until the process is dropped; no measurement takes as long as all of them.
    ///
    /// # Errors
    /// If h2load cannot be started.
    pub(crate) fn begin(&self) -> anyhow::Result<Process> {
        Process::start(Path::new("h2load"), self.arguments(100_000), self.folder.path(), &[])
    }

    fn arguments(&self, requests: usize) -> Vec<String> {
        vec![
            format!("-n{requests}"),
            format!("-c{}", self.connections),
            format!("-m{}", self.streams),
            format!("-d{}", self.body.display()),
            "-Hcontent-type: application/grpc".into(),
            "-Hte: trailers".into(),
            self.uri.clone(),
        ]
    }

    /// Makes `requests` calls and waits for all answers.
    ///
    /// # Errors
    /// If a call has no answer, or one with another number of bytes than a right answer.
    pub(crate) fn run(&self, requests: usize) -> anyhow::Result<Outcome> {
        let log = self.folder.path().join("latencies");
        // h2load requires at least one request per connection, and appends to its log.
        let requests = requests.max(self.connections);
        let _ = std::fs::remove_file(&log);
        let mut arguments = self.arguments(requests);
        arguments.insert(0, format!("--log-file={}", log.display()));
        let mut process = Process::start(Path::new("h2load"), &arguments, self.folder.path(), &[])?;
        let status = process.wait(PATIENCE).context("h2load")?;
        let output = process.output();
        let command = || format!("h2load {}\n{}", arguments.join(" "), process.last_words());
        if !status.success() {
            bail!("h2load exited with {status}: {}", command());
        }
        let requests_per_second = self.read(&output, requests).with_context(command)?;
        let latencies = read_log(&log).with_context(command)?;
        if latencies.len() != requests {
            bail!("{} of {requests} calls are in the log of {}", latencies.len(), command());
        }
        Ok(Outcome { requests_per_second, latencies })
    }

    /// Calls per second, if all calls have succeeded.
    fn read(&self, output: &str, requests: usize) -> anyhow::Result<f64> {
        let succeeded =
            number_before(output, " succeeded").context("its output lacks the number of successes")?;
        let data = number_before(output, ") data").context("its output lacks the amount of data")?;
        if succeeded != requests {
            bail!("only {succeeded} of {requests} calls were answered");
        }
        if data != requests * self.answer {
            bail!(
                "{requests} answers have {data} bytes instead of {} each: some calls have failed",
                self.answer
            );
        }
        let rate = output.split(" req/s").next().and_then(|text| text.rsplit(' ').next());
        rate.and_then(|rate| rate.parse().ok()).context("its output lacks the rate")
    }
}

/// The number in front of the first `text`.
fn number_before(output: &str, text: &str) -> Option<usize> {
    let (before, _) = output.split_once(text)?;
    before[before.rfind(|c: char| !c.is_ascii_digit())? + 1..].parse().ok()
}

/// The third column of each line.
fn read_log(path: &Path) -> anyhow::Result<Vec<u32>> {
    let text = std::fs::read_to_string(path).context("h2load has written no log")?;
    let mut latencies = Vec::new();
    for line in text.lines() {
        let mut columns = line.split('\t');
        let (Some(_), Some("200"), Some(micros)) = (columns.next(), columns.next(), columns.next()) else {
            bail!("a call has another status than 200: {line:?}");
        };
        latencies.push(micros.parse().with_context(|| format!("unexpected line in the log: {line:?}"))?);
    }
    latencies.sort_unstable();
    Ok(latencies)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "finished in 5.02ms, 19940.18 req/s, 3.71MB/s
requests: 100 total, 100 started, 100 done, 100 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 100 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 19.06KB (19518) total, 1.26KB (1290) headers (space savings 92.41%), 14.65KB (15000) data
";

    fn load(answer: usize) -> Load {
        Load::new("localhost:1", (1, 1), Message::Rpc(100), answer).unwrap()
    }

    #[test]
    fn the_rate_is_read_from_the_output() {
        assert!((load(145).read(OUTPUT, 100).unwrap() - 19940.18).abs() < 1e-9);
    }

    #[test]
    fn failed_calls_are_detected_by_their_missing_bytes() {
        let error = load(146).read(OUTPUT, 100).unwrap_err();
        assert_eq!(
            error.to_string(),
            "100 answers have 15000 bytes instead of 151 each: some calls have failed"
        );
        assert_eq!(
            load(145).read(OUTPUT, 101).unwrap_err().to_string(),
            "only 100 of 101 calls were answered"
        );
    }
}
