//! Starting the server that is to take over from this one.
//!
//! It is not to end with this process, so nothing ties it to this one: it is no child (its parent exits at once, and so it belongs to init or
//! the service manager), it has no mark of this run, and it leaves this run's cgroup as soon as it runs.

use std::ffi::OsString;
use std::io::{self, PipeReader, Read as _};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::children::{NotAdopting, Starting};
use super::foreign_process::ForeignProcess;
use super::limits;

/// A server to start.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    /// The name under which it is called, and its arguments.
    pub(crate) arguments: Vec<OsString>,
    pub(crate) directory: PathBuf,
    /// Variables that it gets besides those of this process, or does not get.
    pub(crate) variables: Vec<(&'static str, Option<&'static str>)>,
}

/// Starts it with `channel` as its standard input, and waits until the kernel has loaded the program. Blocks. Returns `None` if it has exited
/// already.
///
/// # Errors
/// Any error of fork(2) and execve(2).
pub(crate) fn start(launch: &Launch, channel: OwnedFd) -> io::Result<Option<ForeignProcess>> {
    let mut arguments = launch.arguments.iter();
    let mut command = Command::new(&launch.program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments).current_dir(&launch.directory).stdin(Stdio::from(channel));
    for (name, value) in &launch.variables {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let (reader, writer) = io::pipe()?;
    let (report, open_files) = (writer.as_raw_fd(), limits::original_open_files());
    // SAFETY: the closure only makes system calls: it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(move || {
            if let Some(limits) = open_files {
                limits::restore_open_files(limits)?;
            }
            leave_parent(report)
        });
    }
    // While it is forked, it is unknown; and then it must not become a child of this process.
    let starting = Starting::begin();
    let not_adopting = NotAdopting::begin();
    let middle = command.spawn();
    drop(writer);
    let waited = middle.and_then(|mut middle| middle.wait());
    drop((not_adopting, starting));
    waited?;
    find(reader)
}

/// Goes on in a child, whose pid is written to `report`. This process exits.
fn leave_parent(report: RawFd) -> io::Result<()> {
    // SAFETY: the process has a single thread; the parent calls nothing but write(2) and _exit(2).
    unsafe {
        match libc::fork() {
            -1 => Err(io::Error::last_os_error()),
            0 => Ok(()),
            child => {
                let pid = child.to_ne_bytes();
                libc::write(report, pid.as_ptr().cast(), pid.len());
                libc::_exit(0)
            }
        }
    }
}

fn find(mut report: PipeReader) -> io::Result<Option<ForeignProcess>> {
    let mut pid = [0; 4];
    report.read_exact(&mut pid)?;
    let pid = i32::from_ne_bytes(pid).cast_unsigned();
    Ok(ForeignProcess::find(pid))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::super::channel;
    use super::*;

    fn launch(program: &str, arguments: &[&str]) -> Launch {
        Launch {
            program: program.into(),
            arguments: arguments.iter().map(Into::into).collect(),
            directory: "/".into(),
            variables: vec![("CAUSEWAY_TEST", Some("1")), ("HOME", None)],
        }
    }

    #[tokio::test]
    async fn it_is_no_child_has_its_own_variables_and_can_be_waited_for() {
        let (near, far) = channel::pair().unwrap();
        let script = "test \"$CAUSEWAY_TEST$HOME\" = 1 && test \"$PWD\" = / && echo yes >&0; exec sleep 1000";
        let process = start(&launch("/bin/sh", &["successor", "-c", script]), far).unwrap().unwrap();
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.pid())).unwrap();
        let parent = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(1).unwrap().to_owned();
        assert_ne!(parent, std::process::id().to_string());
        let near = channel::Channel::open(near).unwrap();
        assert_eq!(near.receive().await.unwrap().unwrap().0, b"yes\n");
        drop(near);
        process.signal(nix::sys::signal::Signal::SIGKILL).unwrap();
        process.ended().await;
    }

    #[test]
    fn a_program_that_cannot_be_executed_is_reported() {
        let (near, far) = channel::pair().unwrap();
        let error = start(&launch("/nosuch", &["x"]), far).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let _ = near.as_fd();
    }
}
