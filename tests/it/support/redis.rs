//! A Redis of the test's own: Debian's `redis-server`.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use redis::{Cmd, Connection, ConnectionAddr, FromRedisValue, IntoConnectionInfo as _, RedisConnectionInfo};
use tempfile::TempDir;

use super::PATIENCE;
use super::ports::free_port;

/// Where it listens: an address that no other program uses.
pub const HOST: &str = "127.0.1.4";

/// A running server; killed when it is dropped.
pub struct Redis {
    child: Option<Child>,
    pub port: u16,
    pub folder: TempDir,
    arguments: Vec<String>,
    login: RedisConnectionInfo,
}

/// One with these arguments more. It keeps what it holds over a restart.
pub fn redis(arguments: &[&str]) -> Redis {
    redis_in(tempfile::tempdir().unwrap(), arguments, RedisConnectionInfo::default())
}

/// The same in a folder that may hold files for it, with a user for the test itself.
pub fn redis_in(folder: TempDir, arguments: &[&str], login: RedisConnectionInfo) -> Redis {
    let arguments = arguments.iter().map(|&argument| argument.into()).collect();
    let mut redis = Redis { child: None, port: free_port(HOST), folder, arguments, login };
    redis.start();
    redis
}

/// A sentinel with the settings in `sentinel.conf` of this folder.
pub fn sentinel_in(folder: TempDir) -> Redis {
    let mut redis = Redis {
        child: None,
        port: free_port(HOST),
        folder,
        arguments: vec!["--sentinel".into()],
        login: RedisConnectionInfo::default(),
    };
    redis.start();
    redis
}

impl Redis {
    /// Starts it, again after [`Redis::kill`], and waits until it answers.
    pub fn start(&mut self) {
        let mut command = Command::new("redis-server");
        if self.arguments == ["--sentinel"] {
            command.arg(self.folder.path().join("sentinel.conf"));
        } else {
            command.args(["--save", "", "--appendonly", "yes", "--appendfsync", "always"]);
        }
        let child = command
            .args(["--bind", HOST, "--port", &self.port.to_string(), "--dir"])
            .arg(self.folder.path())
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("redis-server (Debian: apt-get install redis-server)");
        self.child = Some(child);
        let deadline = Instant::now() + PATIENCE;
        while self.try_connect().is_none() {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "redis-server does not start: {ended:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The address for `lock.config.addrs`.
    pub fn address(&self) -> String {
        format!("{HOST}:{}", self.port)
    }

    /// The `lock` section, with more of its `config` in braces' notation.
    pub fn section(&self, more: &str) -> String {
        format!("lock: {{driver: redis, config: {{addrs: ['{}']{more}}}}}\n", self.address())
    }

    fn try_connect(&self) -> Option<Connection> {
        let info = ConnectionAddr::Tcp(HOST.into(), self.port).into_connection_info().ok()?;
        let client = redis::Client::open(info.set_redis_settings(self.login.clone())).ok()?;
        let mut connection = client.get_connection().ok()?;
        // It may still be reading its file.
        redis::cmd("PING").query::<()>(&mut connection).ok()?;
        Some(connection)
    }

    /// A connection of the test's own.
    pub fn connection(&self) -> Connection {
        self.try_connect().expect("a connection to redis-server")
    }

    /// Runs a command such as `ZRANGE key 0 -1`, again if the connection is lost: one that becomes a replica closes them.
    pub fn run<T: FromRedisValue>(&self, command: &str) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let result = self.try_connect().map(|mut connection| words(command).query(&mut connection));
            match result {
                Some(Ok(value)) => return value,
                Some(Err(error)) if !error.is_io_error() => panic!("{command}: {error}"),
                other => assert!(Instant::now() < deadline, "{command}: {:?}", other.map(Result::err)),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Lets it go on after [`super::stop`].
    pub fn go_on(&self) {
        kill(Pid::from_raw(self.pid().cast_signed()), Signal::SIGCONT).unwrap();
    }

    /// Ends it without a chance to save anything.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A command of words without blanks.
pub fn words(command: &str) -> Cmd {
    let mut words = command.split(' ');
    let mut command = redis::cmd(words.next().unwrap());
    for word in words {
        command.arg(word);
    }
    command
}
