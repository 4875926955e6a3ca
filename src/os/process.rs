//! Starting a process so that it cannot outlive the server, and signalling its group.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{self, pipe};
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::LazyLock;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Group, Pid, Uid, User, getgrouplist, getgroups};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};

use super::child::{self, Child, Ours};
use super::children::{Member, Starting};
use super::vfork::Program;
use super::{guard_line, limits, run};

/// A process to start.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    /// The program and its arguments; never empty.
    pub(crate) argv: Vec<String>,
    /// The whole environment; nothing is inherited. The last value of a name wins.
    pub(crate) env: Vec<(OsString, OsString)>,
    /// Its working directory; resolved at each start, so that a symlink may have been switched meanwhile.
    pub(crate) work_dir: PathBuf,
    /// The user and groups that it runs as, if not ours.
    pub(crate) identity: Option<Identity>,
    /// The permissions that files which it creates lack, if not those of ours.
    pub(crate) umask: Option<u32>,
    /// Whether standard input is a pipe from us, else `/dev/null`. Standard output and error always are pipes to us.
    pub(crate) stdin: bool,
    /// Whether everything that it starts ends with it, including what has left its group. Otherwise that ends with the server.
    pub(crate) ends_family: bool,
}

/// A process that was started.
#[derive(Debug)]
pub(crate) struct Started {
    /// To be waited for.
    pub(crate) child: Child,
    /// Keeps it on the list of children, and on the guard's.
    pub(crate) member: Member,
}

/// A user and the groups that go with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    uid: Option<Uid>,
    gid: Option<Gid>,
    /// All groups, including supplementary ones. Looked up beforehand, since a child between `fork` and `exec` must not allocate.
    groups: Vec<Gid>,
}

/// Why workers cannot run as a user or group.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    #[error("only root can run workers as another user or group")]
    NotRoot,
    #[error("there is no user `{0}`")]
    NoUser(String),
    #[error("there is no group `{0}`")]
    NoGroup(String),
    #[error("cannot look up `{name}`: {error}")]
    Lookup { name: String, error: Errno },
}

impl Identity {
    /// Looks up the user and the group of the settings, and supplementary groups beyond those of the user.
    ///
    /// # Errors
    /// Without the key of the setting.
    pub(crate) fn resolve(
        user: Option<&str>,
        group: Option<&str>,
        more: &[String],
    ) -> Result<Option<Self>, IdentityError> {
        let (user, group) = (user.filter(|name| !name.is_empty()), group.filter(|name| !name.is_empty()));
        if user.is_none() && group.is_none() && more.is_empty() {
            return Ok(None);
        }
        if !Uid::effective().is_root() {
            return Err(IdentityError::NotRoot);
        }
        let failed = |name: &str, error| IdentityError::Lookup { name: name.to_owned(), error };
        let user = user.map(|name| {
            let found = User::from_name(name).map_err(|error| failed(name, error))?;
            found.ok_or_else(|| IdentityError::NoUser(name.to_owned()))
        });
        let user = user.transpose()?;
        let find = |name: &str| {
            let found = Group::from_name(name).map_err(|error| failed(name, error))?;
            // A volume's group may have no name in a container.
            let number =
                || name.bytes().all(|digit| digit.is_ascii_digit()).then(|| name.parse().ok()).flatten();
            let gid = found.map(|group| group.gid).or_else(|| number().map(Gid::from_raw));
            gid.ok_or_else(|| IdentityError::NoGroup(name.to_owned()))
        };
        let group = group.map(find).transpose()?;
        let gid = group.or(user.as_ref().map(|user| user.gid));
        let named = user.as_ref().and_then(|user| CString::new(user.name.as_str()).ok());
        let mut groups = match (gid, named) {
            (Some(gid), Some(name)) => {
                getgrouplist(&name, gid).map_err(|error| failed(&name.to_string_lossy(), error))?
            }
            (Some(gid), None) => vec![gid],
            (None, _) => getgroups().map_err(|error| failed("this process", error))?,
        };
        for name in more {
            let gid = find(name)?;
            if !groups.contains(&gid) {
                groups.push(gid);
            }
        }
        Ok(Some(Self { uid: user.map(|user| user.uid), gid, groups }))
    }

    /// The owner and group of a socket file that this user may connect to: only the user, or only the group if there is no user.
    pub(crate) fn owner(&self) -> (Option<u32>, Option<u32>) {
        match self.uid {
            Some(uid) => (Some(uid.as_raw()), None),
            None => (None, self.gid.map(Gid::as_raw)),
        }
    }

    /// Switches this process to the user and groups. Runs between `fork` and `exec`.
    fn assume(&self) -> io::Result<()> {
        nix::unistd::setgroups(&self.groups)?;
        if let Some(gid) = self.gid {
            nix::unistd::setgid(gid)?;
        }
        if let Some(uid) = self.uid {
            nix::unistd::setuid(uid)?;
        }
        Ok(())
    }
}

/// Starts `spec` in a process group of its own, and in the cgroup of this process.
///
/// The kernel kills the child when the calling *thread* ends (`PR_SET_PDEATHSIG` follows the thread, not the process), so call this only on
/// a thread that lives as long as the server, within a tokio runtime.
///
/// # Errors
/// Any error of clone(2), execve(2) or the change of user: no such file, permission denied, no more processes.
pub(crate) fn spawn(spec: &Spec) -> io::Result<Started> {
    static HAS_PIDFDS: LazyLock<bool> = LazyLock::new(child::has_pidfds);
    let starting = Starting::begin();
    let mut preparation = Preparation::new(spec);
    let child = match &spec.identity {
        None if *HAS_PIDFDS => vfork(spec, &starting, &mut preparation),
        // The C library changes the user of all threads that share the memory, and the kernel marks it.
        _ => fork(spec, &starting),
    };
    match child {
        Ok(child) => {
            let member = starting.done(child.id().unwrap_or_default(), spec.ends_family);
            Ok(Started { child, member })
        }
        Err(error) => {
            starting.failed(preparation.pid);
            Err(error)
        }
    }
}

/// Starts it without a copy of this process's memory.
fn vfork(spec: &Spec, starting: &Starting, preparation: &mut Preparation) -> io::Result<Child> {
    let mark = starting.mark().map(|mark| (run::VARIABLE.into(), mark.into()));
    let program = Program::new(&spec.argv, spec.env.iter().cloned().chain(mark).collect(), &spec.work_dir)?;
    let ((stdin, input), (output, stdout), (errors, stderr)) = (pipe()?, pipe()?, pipe()?);
    let stdin = if spec.stdin { OwnedFd::from(stdin) } else { File::open("/dev/null")?.into() };
    let descriptors = [stdin.as_raw_fd(), stdout.as_raw_fd(), stderr.as_raw_fd()];
    let pid = program.spawn(descriptors, &mut || preparation.carry_out())?;
    let mut child = Child::ours(Ours::adopt(pid)?);
    if spec.stdin {
        child.stdin = Some(ChildStdin::from_std(OwnedFd::from(input).into())?);
    }
    child.stdout = Some(ChildStdout::from_std(OwnedFd::from(output).into())?);
    child.stderr = Some(ChildStderr::from_std(OwnedFd::from(errors).into())?);
    Ok(child)
}

/// Starts it as the standard library does.
fn fork(spec: &Spec, starting: &Starting) -> io::Result<Child> {
    let mut command = Command::new(&spec.argv[0]);
    command
        .args(&spec.argv[1..])
        .env_clear()
        .envs(spec.env.iter().map(|(name, value)| (name, value)))
        .envs(starting.mark().map(|mark| (run::VARIABLE, mark)))
        .current_dir(&spec.work_dir)
        .stdin(if spec.stdin { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let (identity, mut preparation) = (spec.identity.clone(), Preparation::new(spec));
    // SAFETY: the closure only makes system calls; it allocates nothing and takes no lock.
    unsafe {
        command.as_std_mut().pre_exec(move || {
            if let Some(identity) = &identity {
                identity.assume()?;
            }
            // After the change of user, since that clears the parent-death signal.
            Ok(preparation.carry_out()?)
        });
    }
    Ok(Child::forked(command.spawn()?))
}

/// What a child does before it executes its program.
struct Preparation {
    server: Pid,
    guard: Option<RawFd>,
    open_files: Option<(u64, u64)>,
    umask: Option<Mode>,
    /// The child's pid, from when it is on the guard's list. Only a child that shares the memory sets it here.
    pid: Option<u32>,
}

impl Preparation {
    fn new(spec: &Spec) -> Self {
        Self {
            server: nix::unistd::getpid(),
            guard: guard_line::descriptor(),
            open_files: limits::original_open_files(),
            umask: spec.umask.map(Mode::from_bits_truncate),
            pid: None,
        }
    }

    /// Only makes system calls: it allocates nothing and takes no lock.
    fn carry_out(&mut self) -> nix::Result<()> {
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
        if nix::unistd::getppid() != self.server {
            // The server died before the signal was armed.
            // SAFETY: ends the process without running the server's exit handlers.
            unsafe { libc::_exit(1) };
        }
        if let Some(line) = self.guard {
            let pid = nix::unistd::getpid().as_raw();
            guard_line::write(line, &[pid]);
            self.pid = Some(pid.cast_unsigned());
        }
        if let Some(limits) = self.open_files {
            limits::restore_open_files(limits)?;
        }
        if let Some(umask) = self.umask {
            nix::sys::stat::umask(umask);
        }
        // Descriptors that the server itself inherited stay with it. A kernel before 5.11 passes them on.
        // SAFETY: a plain system call.
        unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
        Ok(())
    }
}

/// Bytes in a pipe that have not been read yet.
pub(crate) fn unread(pipe: BorrowedFd<'_>) -> Option<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: FIONREAD writes one integer, to a variable of ours.
    let result = unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &raw mut bytes) };
    if result == 0 { usize::try_from(bytes).ok() } else { None }
}

/// Kills every process of the group of `leader`; does nothing if none is left.
pub(crate) fn kill_group(leader: u32) {
    let _ = killpg(Pid::from_raw(leader.cast_signed()), Signal::SIGKILL);
}

/// Continues every process of the group of `leader` that was stopped by a signal.
pub(crate) fn continue_group(leader: u32) {
    let _ = killpg(Pid::from_raw(leader.cast_signed()), Signal::SIGCONT);
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;
    use std::time::{Duration, Instant};

    use nix::poll::{PollFd, PollFlags, poll};
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    use super::super::children;
    use super::*;

    #[test]
    fn a_group_without_a_name_has_its_number() {
        if !Uid::effective().is_root() {
            return;
        }
        let groups = |name: &str| Identity::resolve(None, None, &[name.to_owned()]);
        let found = groups("54321").unwrap().unwrap();
        assert!(found.groups.contains(&Gid::from_raw(54321)), "{found:?}");
        for wrong in ["+54321", "99999999999", "no such group"] {
            assert!(matches!(groups(wrong), Err(IdentityError::NoGroup(name)) if name == wrong));
        }
    }

    fn spec(program: &str) -> Spec {
        Spec {
            argv: vec![program.into()],
            env: Vec::new(),
            work_dir: "/".into(),
            identity: None,
            umask: None,
            stdin: false,
            ends_family: false,
        }
    }

    /// Follows the guard's list until each group on it is known as a child's. Other tests may start children meanwhile.
    fn settles(line: &OwnedFd) -> bool {
        let (mut list, mut records) = (Vec::new(), [0; 1024]);
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            if poll(&mut [PollFd::new(line.as_fd(), PollFlags::POLLIN)], 10_u8).unwrap() > 0 {
                let read = nix::unistd::read(line, &mut records).unwrap();
                guard_line::apply(&records[..read], &mut list);
            } else if list.iter().all(|group| children::is_child(group.cast_unsigned())) {
                return true;
            }
        }
        false
    }

    #[tokio::test]
    async fn the_guard_forgets_a_child_that_could_not_execute_its_program() {
        // With room for what other tests send, too.
        let flags = SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap();
        guard_line::use_first(ours);
        assert!(spawn(&spec("/nosuch")).is_err());
        assert!(settles(&theirs));
        // As with another user, where this process does not learn the child's pid.
        let starting = Starting::begin();
        assert!(fork(&spec("/nosuch"), &starting).is_err());
        starting.failed(None);
        assert!(settles(&theirs));
    }
}
