//! Starting a process so that it cannot outlive the supervisor, and killing all of its group.

use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Stdio;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Gid, Group, Pid, Uid, User, getgrouplist};
use tokio::process::{Child, Command};

use super::family::{self, Member, Starting};
use super::{guard, limits};

/// A process to be started.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    /// The program and its arguments; never empty.
    pub(crate) argv: Vec<String>,
    /// The whole environment, nothing is inherited; the last value of a name wins.
    pub(crate) env: Vec<(OsString, OsString)>,
    /// Where it starts; resolved anew at each start, so that a symlink may have moved on.
    pub(crate) work_dir: PathBuf,
    /// Whom it runs as.
    pub(crate) identity: Option<Identity>,
    /// Whether standard input is a pipe to us (else `/dev/null`). Standard output and error always are pipes.
    pub(crate) stdin: bool,
    /// Whether all that it starts ends with it, what has left its group included. Otherwise that ends with the server.
    pub(crate) ends_family: bool,
}

/// A process that was started.
#[derive(Debug)]
pub(crate) struct Started {
    /// It, to be waited for.
    pub(crate) child: Child,
    /// Its place among those that the guard and the reaper know.
    pub(crate) member: Member,
}

/// A user and the groups that go with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    uid: Option<Uid>,
    gid: Option<Gid>,
    /// All groups, the supplementary ones included; looked up beforehand, since a child between `fork` and `exec` may not allocate.
    groups: Vec<Gid>,
}

impl Identity {
    /// Looks up the user and the group that stand in the settings.
    ///
    /// # Errors
    /// Says which of them does not exist, or that only root may change them; without the key of the setting.
    pub(crate) fn resolve(user: Option<&str>, group: Option<&str>) -> Result<Option<Self>, String> {
        let (user, group) = (user.filter(|name| !name.is_empty()), group.filter(|name| !name.is_empty()));
        if user.is_none() && group.is_none() {
            return Ok(None);
        }
        if !Uid::effective().is_root() {
            return Err("only root can run workers as another user or group".into());
        }
        let user = user
            .map(|name| match User::from_name(name) {
                Ok(Some(user)) => Ok(user),
                Ok(None) => Err(format!("there is no user `{name}`")),
                Err(error) => Err(format!("cannot look up `{name}`: {error}")),
            })
            .transpose()?;
        let group = group
            .map(|name| match Group::from_name(name) {
                Ok(Some(group)) => Ok(group.gid),
                Ok(None) => Err(format!("there is no group `{name}`")),
                Err(error) => Err(format!("cannot look up `{name}`: {error}")),
            })
            .transpose()?;
        let gid = group.or(user.as_ref().map(|user| user.gid));
        let named = user.as_ref().and_then(|user| CString::new(user.name.as_str()).ok());
        let groups = match (gid, named) {
            (Some(gid), Some(name)) => getgrouplist(&name, gid)
                .map_err(|error| format!("cannot look up the groups of the user: {error}"))?,
            (gid, _) => gid.into_iter().collect(),
        };
        Ok(Some(Self { uid: user.map(|user| user.uid), gid, groups }))
    }

    /// To whom a socket file has to belong so that this user may connect to it: the user alone, or a group where that is all there is.
    pub(crate) fn owner(&self) -> (Option<u32>, Option<u32>) {
        match self.uid {
            Some(uid) => (Some(uid.as_raw()), None),
            None => (None, self.gid.map(Gid::as_raw)),
        }
    }

    /// Becomes this user. Runs between `fork` and `exec`.
    fn assume(&self) -> io::Result<()> {
        if let Some(gid) = self.gid {
            nix::unistd::setgroups(&self.groups)?;
            nix::unistd::setgid(gid)?;
        }
        if let Some(uid) = self.uid {
            nix::unistd::setuid(uid)?;
        }
        Ok(())
    }
}

/// Starts `spec` in a process group of its own, and in the cgroup in which this process is.
///
/// The kernel kills the child when the calling *thread* ends (`PR_SET_PDEATHSIG` follows the thread, not the process), so only a thread
/// that lives as long as the supervisor may call this. Needs a tokio runtime to be entered.
///
/// # Errors
/// What the kernel says: no such file, permission denied, no more processes.
pub(crate) fn spawn(spec: &Spec) -> io::Result<Started> {
    let starting = Starting::begin();
    let (number, mark) = Starting::mark();
    let mut command = Command::new(&spec.argv[0]);
    command
        .args(&spec.argv[1..])
        .env_clear()
        .envs(spec.env.iter().map(|(name, value)| (name, value)))
        .envs(mark.map(|mark| (family::MARK, mark)))
        .current_dir(&spec.work_dir)
        .stdin(if spec.stdin { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let (supervisor, identity, guard) = (std::process::id(), spec.identity.clone(), guard::descriptor());
    let open_files = limits::original_open_files();
    // SAFETY: the closure makes system calls only; it allocates nothing and takes no lock.
    unsafe {
        command.as_std_mut().pre_exec(move || {
            if let Some(identity) = &identity {
                identity.assume()?;
            }
            // After the change of user, since that clears the parent-death signal.
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
            if nix::unistd::getppid() != Pid::from_raw(supervisor.cast_signed()) {
                // The supervisor died before the signal was armed.
                libc::_exit(1);
            }
            if let Some(line) = guard {
                guard::write(line, &[libc::getpid()]);
            }
            if let Some(limits) = open_files {
                limits::restore_open_files(limits)?;
            }
            // Whatever descriptors the supervisor itself inherited stay with it. An old kernel without this call passes them on.
            libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
            Ok(())
        });
    }
    let child = command.spawn()?;
    let member = starting.done(child.id().unwrap_or_default(), number, spec.ends_family);
    Ok(Started { child, member })
}

/// How many bytes stand in a pipe that nobody has read.
pub(crate) fn unread(pipe: BorrowedFd<'_>) -> Option<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: FIONREAD writes one integer, to a place that is ours.
    let result = unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &raw mut bytes) };
    if result == 0 { usize::try_from(bytes).ok() } else { None }
}

/// Kills every process of the group that `leader` leads; nothing happens when none is left.
pub(crate) fn kill_group(leader: u32) {
    let _ = killpg(Pid::from_raw(leader.cast_signed()), Signal::SIGKILL);
}

/// Lets every process of the group that `leader` leads go on that was stopped by a signal.
pub(crate) fn continue_group(leader: u32) {
    let _ = killpg(Pid::from_raw(leader.cast_signed()), Signal::SIGCONT);
}
