//! The load: h2load, which reads how long each call took.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use crate::message::{Message, framed};
use crate::process::Process;

/// How long one run may take. Not a matter of speed: whoever does not answer any more would hold us for ever.
const PATIENCE: Duration = Duration::from_mins(5);

/// The load on one contender.
#[derive(Debug)]
pub(crate) struct Load {
    uri: String,
    body: PathBuf,
    connections: usize,
    streams: usize,
    /// Bytes of one answer, gRPC's prefix included.
    answer: usize,
    folder: TempDir,
}

/// What a run of h2load showed.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) requests_per_second: f64,
    /// Microseconds per call, in ascending order.
    pub(crate) latencies: Vec<u32>,
}

impl Load {
    /// A load on `address`, whose right answers have `answer` bytes.
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

    /// Makes `requests` calls, and waits for all answers.
    ///
    /// # Errors
    /// When one of them was not answered, or with another number of bytes than a right answer has.
    pub(crate) fn run(&self, requests: usize) -> anyhow::Result<Outcome> {
        let log = self.folder.path().join("latencies");
        // h2load wants at least one request for each connection, and appends to its log.
        let requests = requests.max(self.connections);
        let _ = std::fs::remove_file(&log);
        let arguments = [
            format!("-n{requests}"),
            format!("-c{}", self.connections),
            format!("-m{}", self.streams),
            format!("-d{}", self.body.display()),
            "-Hcontent-type: application/grpc".into(),
            "-Hte: trailers".into(),
            format!("--log-file={}", log.display()),
            self.uri.clone(),
        ];
        let mut process = Process::start(Path::new("h2load"), &arguments, self.folder.path(), &[])?;
        let status = process.wait(PATIENCE).context("h2load")?;
        let output = process.output();
        let told = || format!("h2load {}\n{}", arguments.join(" "), process.last_words());
        if !status.success() {
            bail!("h2load has ended with {status}: {}", told());
        }
        let requests_per_second = self.read(&output, requests).with_context(told)?;
        let latencies = read_log(&log).with_context(told)?;
        if latencies.len() != requests {
            bail!("{} of {requests} calls are in the log of {}", latencies.len(), told());
        }
        Ok(Outcome { requests_per_second, latencies })
    }

    /// Calls per second, if all was well.
    fn read(&self, output: &str, requests: usize) -> anyhow::Result<f64> {
        let succeeded = number_before(output, " succeeded").context("it does not say how many succeeded")?;
        let data = number_before(output, ") data").context("it does not say how much data there was")?;
        if succeeded != requests {
            bail!("{succeeded} of {requests} calls were answered");
        }
        if data != requests * self.answer {
            bail!(
                "{requests} answers have {data} bytes and not {} each: some calls have failed",
                self.answer
            );
        }
        let rate = output.split(" req/s").next().and_then(|text| text.rsplit(' ').next());
        rate.and_then(|rate| rate.parse().ok()).context("it does not say how fast it was")
    }
}

/// The number in front of the first `text`.
fn number_before(output: &str, text: &str) -> Option<usize> {
    let (before, _) = output.split_once(text)?;
    before[before.rfind(|c: char| !c.is_ascii_digit())? + 1..].parse().ok()
}

/// The third column of each line.
fn read_log(path: &Path) -> anyhow::Result<Vec<u32>> {
    let text = std::fs::read_to_string(path).context("there is no log")?;
    let mut latencies = Vec::new();
    for line in text.lines() {
        let mut columns = line.split('\t');
        let (Some(_), Some("200"), Some(micros)) = (columns.next(), columns.next(), columns.next()) else {
            bail!("a call had another status than 200: {line:?}");
        };
        latencies.push(micros.parse().with_context(|| format!("{line:?} is no line of its log"))?);
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
    fn what_h2load_prints_is_read() {
        assert!((load(145).read(OUTPUT, 100).unwrap() - 19940.18).abs() < 1e-9);
    }

    #[test]
    fn failed_calls_are_found_by_their_missing_bytes() {
        let error = load(146).read(OUTPUT, 100).unwrap_err();
        assert_eq!(
            error.to_string(),
            "100 answers have 15000 bytes and not 151 each: some calls have failed"
        );
        assert_eq!(load(145).read(OUTPUT, 101).unwrap_err().to_string(), "100 of 101 calls were answered");
    }
}
