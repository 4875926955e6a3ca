//! Processes that are measured, or that measure. They never outlive this one, and are read off `/proc`.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::sys::time::{TimeVal, TimeValLike as _};
use nix::time::ClockId;
use nix::unistd::Pid;

/// How long a process may take to exit before it is killed.
const FAREWELL: Duration = Duration::from_secs(10);

/// The pause between two checks for the exit of a process.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// Bytes of output that an error shows.
const LAST_WORDS: usize = 2000;

/// A running process, terminated when it is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program` in `folder`; its output goes to a file there. It dies with this process, for whatever reason.
    pub(crate) fn start<A: AsRef<OsStr>>(
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
        folder: &Path,
        env: &[(&str, &OsStr)],
    ) -> anyhow::Result<Self> {
        let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy();
        let log = folder.join(format!("{name}.log"));
        let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        // It dies with the thread that started it, here the first one of this program.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(arguments)
            .current_dir(folder)
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            // A terminal interrupts this program alone, which then stops the others.
            .process_group(0)
            .stderr(output.try_clone()?)
            .stdout(output)
            .spawn()
            .context("cannot run setpriv, which is part of util-linux")?;
        Ok(Self { child, log })
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// CPU time that the process has used, without its children.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        cpu(self.pid())
    }

    /// Memory in MB (10^6 bytes), by its name in `/proc/PID/status`: `VmHWM` is the peak resident size, `VmRSS` the current one.
    pub(crate) fn memory(&self, name: &str) -> anyhow::Result<f64> {
        Ok(self.status(name)? * 1024.0 / 1e6)
    }

    /// Threads that it has.
    pub(crate) fn threads(&self) -> anyhow::Result<f64> {
        self.status("Threads")
    }

    /// Descriptors that it has open.
    pub(crate) fn descriptors(&self) -> anyhow::Result<usize> {
        let path = format!("/proc/{}/fd", self.pid());
        Ok(std::fs::read_dir(&path).with_context(|| format!("cannot read {path}"))?.count())
    }

    /// A number in `/proc/PID/status`.
    fn status(&self, name: &str) -> anyhow::Result<f64> {
        let path = format!("/proc/{}/status", self.pid());
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let number = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        number.with_context(|| format!("{path} has no {name}"))
    }

    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for the exit, no longer than `patience`.
    pub(crate) fn wait(&mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("it has not exited after {} s", patience.as_secs());
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Asks it to stop. Returns how long that took.
    pub(crate) fn stop(&mut self, patience: Duration) -> anyhow::Result<Duration> {
        let begin = Instant::now();
        kill(self.pid(), Signal::SIGTERM).context("cannot ask it to stop")?;
        self.wait(patience)?;
        Ok(begin.elapsed())
    }

    /// All of its output.
    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The end of its output.
    pub(crate) fn last_words(&self) -> String {
        let text = self.output();
        let cut = text.len().saturating_sub(LAST_WORDS);
        let start = (cut..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
        text[start..].trim().to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = kill(self.pid(), Signal::SIGTERM);
        if self.wait(FAREWELL).is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// CPU time that a process has used, without its children.
pub(crate) fn cpu(pid: Pid) -> anyhow::Result<Duration> {
    let clock = ClockId::pid_cpu_clock_id(pid).context("the process has no CPU clock")?;
    Ok(clock.now().context("the process's CPU clock cannot be read")?.into())
}

/// CPU time that this process has used, and its children that have exited.
pub(crate) fn own_cpu() -> anyhow::Result<Duration> {
    let children = getrusage(UsageWho::RUSAGE_CHILDREN).context("the CPU time of children is unknown")?;
    let micros = |time: TimeVal| u64::try_from(time.num_microseconds()).unwrap_or(0);
    let children = micros(children.user_time()) + micros(children.system_time());
    Ok(cpu(Pid::this())? + Duration::from_micros(children))
}

/// How often a process fell asleep so far, over all of its threads.
pub(crate) fn sleeps(pid: Pid) -> u64 {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let of_thread = |thread: std::fs::DirEntry| {
        let status = std::fs::read_to_string(thread.path().join("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        line.trim().parse::<u64>().ok()
    };
    threads.filter_map(of_thread).sum()
}

/// All children of a process, their children, and so on.
pub(crate) fn descendants(pid: Pid) -> Vec<Pid> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(child) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // The second field, in brackets, is a name that may contain anything; the fourth is the parent.
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        children.entry(parent.unwrap_or(0)).or_default().push(child);
    }
    let mut found = vec![pid.as_raw()];
    for index in 0.. {
        let Some(parent) = found.get(index) else { break };
        found.extend(children.remove(parent).unwrap_or_default());
    }
    found.into_iter().skip(1).map(Pid::from_raw).collect()
}

/// A port that was free a moment ago. It may be taken by now.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").context("there is no free port")?;
    Ok(listener.local_addr()?.port())
}
