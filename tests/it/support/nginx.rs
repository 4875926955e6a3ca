//! Debian's nginx in front of bridges, with `config/nginx.conf`.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::{eventually, repository};

/// Where it listens: an address that no other program uses.
const HOST: &str = "127.0.1.6";

/// A running nginx; stopped when it is dropped.
pub struct Nginx {
    process: Child,
    port: u16,
    _folder: TempDir,
}

/// The binary. `None`, and a line that says so, without one.
pub fn binary() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = folders.map(|folder| folder.join("nginx")).find(|path| path.exists());
    if found.is_none() {
        eprintln!("skipped: there is no nginx; `make test` installs it as root (Debian: nginx-light)");
    }
    found
}

impl Nginx {
    /// Starts it in front of bridges at these addresses.
    pub async fn start(binary: &Path, bridges: &[String]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind((HOST, 0)).unwrap().local_addr().unwrap().port();
        write(folder.path(), bridges, &format!("{HOST}:{port}"));
        let test = run(binary, folder.path(), &["-t"]);
        assert!(test.status.success(), "{}", String::from_utf8_lossy(&test.stderr));
        let process = command(binary, folder.path()).spawn().unwrap();
        let nginx = Self { process, port, _folder: folder };
        eventually("nginx listens", || std::net::TcpStream::connect((HOST, port)).is_ok()).await;
        nginx
    }

    /// Its address.
    pub fn address(&self) -> String {
        format!("{HOST}:{}", self.port)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Killed, it would leave its workers behind.
        let _ = kill(Pid::from_raw(self.process.id().cast_signed()), Signal::SIGTERM);
        let _ = self.process.wait();
    }
}

/// Writes the shipped configuration with these addresses, and what it is included in.
fn write(folder: &Path, bridges: &[String], listen: &str) {
    let shipped = std::fs::read_to_string(repository().join("config/nginx.conf")).unwrap();
    let (servers, others): (Vec<&str>, Vec<&str>) =
        shipped.lines().partition(|line| line.trim_start().starts_with("server 10.0.0."));
    assert_eq!(servers.len(), 2);
    let ends = servers[0].split_once("30000").unwrap().1;
    let servers: Vec<_> = bridges.iter().map(|bridge| format!("    server {bridge}{ends}\n")).collect();
    let servers = servers.concat();
    let text = others.join("\n").replacen("keepalive ", &format!("\n{servers}    keepalive "), 1);
    let text = text.replacen("listen 127.0.0.1:30001 http2", &format!("listen {listen} http2"), 1);
    assert!(text.contains(listen) && text.contains(&bridges[0]), "{text}");
    std::fs::write(folder.join("causeway.conf"), text).unwrap();
    let folder = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {folder}/{name}; "))
        .concat();
    let main = format!(
        "daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;\nevents {{}}\nhttp {{ access_log off; {temporary}include {folder}/causeway.conf; }}\n"
    );
    std::fs::write(format!("{folder}/nginx.conf"), main).unwrap();
}

fn command(binary: &Path, folder: &Path) -> Command {
    let mut command = Command::new(binary);
    command.arg("-e").arg(folder.join("error.log")).arg("-c").arg(folder.join("nginx.conf"));
    command.stdin(Stdio::null());
    command
}

fn run(binary: &Path, folder: &Path, arguments: &[&str]) -> Output {
    command(binary, folder).args(arguments).output().unwrap()
}
