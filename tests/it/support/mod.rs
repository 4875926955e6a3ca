//! A server process, a client for it, and their end.

pub mod browser;
pub mod centrifugo;
pub mod chance;
pub mod collector;
pub mod dns;
pub mod frames;
pub mod gob;
pub mod holdings;
pub mod http_app;
pub mod inventory;
pub mod neighbour;
pub mod nginx;
pub mod pki;
pub mod pool;
pub mod ports;
pub mod real_centrifugo;
pub mod redis;
pub mod rpc;
pub mod streams;

use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use causeway::proto::proxy::{RpcRequest, RpcResponse};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// How long anything may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The variable that marks a server and all that it started: it names the server's folder.
pub const MARK: &str = "CAUSEWAY_TEST_FOLDER";

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_causeway");

pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The interpreter that has the Python package's dependencies.
pub fn python() -> String {
    let own = repository().join("target/venv/bin/python");
    let fallback = if own.exists() { own.display().to_string() } else { "python3".into() };
    std::env::var("PYTHON").unwrap_or(fallback)
}

/// A configuration to be started.
pub struct Setup {
    pub folder: Arc<TempDir>,
    command: String,
    relay: String,
    proxy_address: String,
    pool: String,
    server: String,
    centrifuge: String,
    more: String,
    env: Vec<(String, String)>,
    through: Vec<String>,
    work_dir: Option<PathBuf>,
}

/// The worker that behaves as it is asked to, well or badly.
pub fn worker() -> Setup {
    Setup::new(&format!("python3 {}", repository().join("tests/workers/worker.py").display()))
}

impl Setup {
    pub fn new(command: &str) -> Self {
        Self {
            folder: Arc::new(tempfile::tempdir().unwrap()),
            command: command.into(),
            relay: "pipes".into(),
            proxy_address: "tcp://127.0.0.1:0".into(),
            pool: "num_workers: 1".into(),
            server: String::new(),
            centrifuge: String::new(),
            more: String::new(),
            env: Vec::new(),
            through: Vec::new(),
            work_dir: None,
        }
    }

    /// `centrifuge.pool`, in braces' notation; one worker unless given.
    pub fn pool(mut self, pool: &str) -> Self {
        self.pool = pool.into();
        self
    }

    pub fn relay(mut self, relay: &str) -> Self {
        self.relay = match relay {
            "tcp" => "tcp://127.0.0.1:0".into(),
            "unix" => "unix://relay.sock".into(),
            other => other.into(),
        };
        self
    }

    /// Where callers connect; any port of the loopback unless given.
    pub fn proxy_address(mut self, address: &str) -> Self {
        self.proxy_address = address.into();
        self
    }

    /// More lines of the `server` section.
    pub fn server(mut self, lines: &str) -> Self {
        self.server.push_str(lines);
        self
    }

    /// One more line of the `centrifuge` section.
    pub fn centrifuge(mut self, line: &str) -> Self {
        self.centrifuge = format!("  {line}\n");
        self
    }

    /// RPC on any port.
    pub fn rpc(self) -> Self {
        self.more("rpc: {listen: tcp://127.0.0.1:0}\n")
    }

    /// More sections.
    pub fn more(mut self, sections: &str) -> Self {
        self.more.push_str(sections);
        self
    }

    /// Workers whose boots go wrong while the returned file exists, in the way that `variable` names (tests/workers/worker.py).
    pub fn boots_unless(self, variable: &str) -> (Self, PathBuf) {
        self.boots_unless_with(variable, "")
    }

    /// The same with a `suffix` to the variable's value.
    pub fn boots_unless_with(self, variable: &str, suffix: &str) -> (Self, PathBuf) {
        let flag = self.path("flag");
        let value = format!("{}{suffix}", flag.display());
        (self.env(variable, &value), flag)
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// What is run as a worker, instead.
    pub fn command(mut self, command: &str) -> Self {
        self.command = command.into();
        self
    }

    /// Where workers run; the folder of the configuration unless given. For a pool alone.
    pub fn work_dir(mut self, folder: &Path) -> Self {
        self.work_dir = Some(folder.to_owned());
        self
    }

    /// In the folder of another server, whose configuration it replaces.
    pub fn beside(mut self, server: &Server) -> Self {
        self.folder = Arc::clone(&server.folder);
        self
    }

    /// Another program that starts the server.
    pub fn through(mut self, words: &[&str]) -> Self {
        self.through = words.iter().map(|&word| word.into()).collect();
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the server and waits until it answers calls.
    pub fn start(self) -> Server {
        let mut server = self.spawn();
        server.find_address();
        server
    }

    /// Writes the configuration into its folder.
    fn write(&self) {
        let text = format!(
            "version: '3'\nserver:\n  command: \"{}\"\n  relay: {}\n{}\ncentrifuge:\n  proxy_address: {}\n{}  pool: {{{}}}\n{}\n",
            self.command.replace('"', "\\\""),
            self.relay,
            self.server,
            self.proxy_address,
            self.centrifuge,
            self.pool,
            self.more
        );
        std::fs::write(self.path(".rr.yaml"), text).unwrap();
    }

    /// Starts the server and waits for nothing.
    pub fn spawn(self) -> Server {
        self.spawn_onto(Stdio::piped(), Stdio::piped())
    }

    /// The same with these for its standard output and error; what goes into pipes of this process is read.
    pub fn spawn_onto(self, stdout: impl Into<Stdio>, stderr: impl Into<Stdio>) -> Server {
        self.write();
        let mut words = self.through.iter().map(String::as_str).chain([BINARY, "serve"]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words).envs(self.env).stdout(stdout).stderr(stderr);
        Server::spawn(command, self.folder)
    }
}

impl Server {
    /// Starts the server of a project that has its own configuration, with the environment of `command`.
    pub fn in_project(folder: Arc<TempDir>, mut command: Command) -> Self {
        command.arg("serve").stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut server = Self::spawn(command, folder);
        server.find_address();
        server
    }

    fn spawn(mut command: Command, folder: Arc<TempDir>) -> Self {
        command.current_dir(folder.path()).env(MARK, folder.path()).stdin(Stdio::null());
        let mut child = command.spawn().unwrap();
        let text = Arc::new(Text::default());
        if let Some(stdout) = child.stdout.take() {
            text.follow(stdout);
        }
        if let Some(stderr) = child.stderr.take() {
            text.follow(stderr);
        }
        Self { child, text, address: String::new(), folder }
    }

    /// Waits until it serves, and notes where.
    fn find_address(&mut self) {
        let started = self.wait_for_output(", address: ");
        started.rsplit_once(", address: ").unwrap().1.clone_into(&mut self.address);
    }
}

/// What a process prints.
#[derive(Default)]
struct Text {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl Text {
    /// The lines so far, also after a test has failed while it looked at them.
    fn lines(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn follow(self: &Arc<Self>, reader: impl Read + Send + 'static) {
        let text = Arc::clone(self);
        std::thread::spawn(move || {
            for line in BufReader::new(reader).lines().map_while(Result::ok) {
                text.lines().push(line);
                text.more.notify_all();
            }
        });
    }
}

/// A running server; killed when it is dropped.
pub struct Server {
    child: Child,
    text: Arc<Text>,
    address: String,
    pub folder: Arc<TempDir>,
}

impl Server {
    /// Waits for a line of standard output or error that contains `part`, and returns the first.
    pub fn wait_for_output(&self, part: &str) -> String {
        self.wait_for_line(part, |line| line.contains(part))
    }

    fn wait_for_line(&self, wanted: &str, is_wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.text.lines();
        loop {
            if let Some(line) = lines.iter().find(|line| is_wanted(line)) {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no line holds {wanted:?}:\n{}", lines.join("\n"));
            lines = self.text.more.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// Waits until the server of this log channel is listening. Returns its address as it is logged.
    pub fn logged_address(&self, channel: &str) -> String {
        let under_3 = format!("msg=listening logger={channel} address=");
        let under_2025 = format!("{channel:12}\tlistening\t");
        let line =
            self.wait_for_line(&under_2025, |line| line.contains(&under_2025) || line.contains(&under_3));
        match line.split_once(&under_3) {
            Some((_, address)) => address.split(' ').next().unwrap().to_owned(),
            None => json(line.rsplit_once('\t').unwrap().1)["address"].as_str().unwrap().to_owned(),
        }
    }

    /// Waits until the server of this log channel is listening. Returns its host and port.
    pub fn listening(&self, channel: &str) -> String {
        self.logged_address(channel).strip_prefix("tcp://").unwrap().to_owned()
    }

    /// How many lines hold `part` so far.
    pub fn count_output(&self, part: &str) -> usize {
        self.text.lines().iter().filter(|line| line.contains(part)).count()
    }

    pub fn output(&self) -> String {
        self.text.lines().join("\n")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(self.child.id().cast_signed());
        nix::sys::signal::kill(pid, signal).unwrap();
    }

    /// Waits until the process has exited.
    pub async fn exit(&mut self) -> ExitStatus {
        eventually("the server ends", || self.child.try_wait().unwrap().is_some()).await;
        self.child.wait().unwrap()
    }

    pub async fn client(&self) -> Client {
        Self::client_of(&self.address).await
    }

    /// A client of the server at this address, within the runtime of the caller.
    pub async fn client_of(address: &str) -> Client {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let mut connector = HttpConnector::new();
        // Otherwise a call may wait 40 ms for an acknowledgement.
        connector.set_nodelay(true);
        let timed = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .http2_only(true)
            .build(connector);
        let origin = format!("http://{address}").parse().unwrap();
        Client { channel: endpoint.connect().await.unwrap(), timed, origin }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- what the server printed:\n{}", self.output());
        }
    }
}

/// Centrifugo's part.
#[derive(Clone)]
pub struct Client {
    pub channel: Channel,
    /// tonic's own channel ends a call at its deadline by itself; this one leaves that to the server.
    timed: hyper_util::client::legacy::Client<HttpConnector, tonic::body::Body>,
    origin: http::Uri,
}

impl Client {
    /// An RPC of the client with this method. Returns the data of the result.
    pub async fn rpc(&self, method: &str, data: &str) -> Result<String, Status> {
        self.rpc_within(method, data, PATIENCE).await
    }

    pub async fn rpc_within(&self, method: &str, data: &str, timeout: Duration) -> Result<String, Status> {
        let message = RpcRequest {
            method: method.into(),
            data: data.as_bytes().to_vec().into(),
            ..RpcRequest::default()
        };
        let mut request = Request::new(message);
        request.set_timeout(timeout);
        let mut grpc = tonic::client::Grpc::with_origin(self.timed.clone(), self.origin.clone())
            .max_decoding_message_size(usize::MAX);
        grpc.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
        let path = "/centrifugal.centrifugo.proxy.CentrifugoProxy/RPC".parse().unwrap();
        let codec = tonic_prost::ProstCodec::<RpcRequest, RpcResponse>::default();
        let response = grpc.unary(request, path, codec).await?.into_inner();
        Ok(String::from_utf8(response.result.unwrap_or_default().data.to_vec()).unwrap())
    }

    /// Any method of the service, with the messages of an RPC.
    pub async fn call(&self, method: &str, request: Request<RpcRequest>) -> Result<RpcResponse, Status> {
        let mut grpc = tonic::client::Grpc::new(self.channel.clone()).max_decoding_message_size(usize::MAX);
        grpc.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
        let path = format!("/centrifugal.centrifugo.proxy.CentrifugoProxy/{method}").parse().unwrap();
        let codec = tonic_prost::ProstCodec::<RpcRequest, RpcResponse>::default();
        grpc.unary(request, path, codec).await.map(tonic::Response::into_inner)
    }

    /// The same RPC in its own task.
    pub fn spawn_rpc(&self, method: &str, data: &str) -> tokio::task::JoinHandle<Result<String, Status>> {
        let (client, method, data) = (self.clone(), method.to_owned(), data.to_owned());
        tokio::spawn(async move { client.rpc(&method, &data).await })
    }

    /// The pid of a worker, as it says itself.
    pub async fn worker_pid(&self) -> u32 {
        json(&self.rpc("pid", "").await.unwrap())["pid"].as_u64().unwrap().try_into().unwrap()
    }
}

pub fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Looks again and again until it is so.
pub async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Whether a process runs; a zombie does not.
pub fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').unwrap().1.trim_start().starts_with(['Z', 'X']))
}

/// Stops a process, and waits until none of its threads runs.
pub async fn stop(pid: u32) {
    let process = nix::unistd::Pid::from_raw(pid.cast_signed());
    nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGSTOP).unwrap();
    eventually("the process stops", || {
        let mut threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
        threads.all(|thread| {
            let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with('T'))
        })
    })
    .await;
}

/// A folder with files.
pub fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// A process that is killed with the test.
pub struct Killed(pub Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
