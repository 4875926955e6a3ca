//! Starting a program without a copy of this process's memory.
//!
//! `fork` copies page tables, and both sides then copy each page that they write to; for a server with many workers that is most of what a
//! start costs. Here the child runs in this process's memory, on a stack of its own, until it executes the program; the calling thread
//! waits for that, and no other. So the child may only make system calls: no allocation, no lock, no signal handler of ours, and nothing of
//! the C library that knows of threads, such as `setuid`, which would signal those of the server.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString, c_char, c_int, c_void};
use std::io;
use std::os::fd::RawFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;
use std::ptr;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::unistd::Pid;

/// The child's stack in units of 16 bytes, its alignment.
const STACK: usize = (64 << 10) / size_of::<u128>();

/// Where a program is looked for when its environment does not say.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// What runs a file that is no program.
const SHELL: &std::ffi::CStr = c"/bin/sh";

/// A program to start.
#[derive(Debug)]
pub(super) struct Program {
    /// The paths under which it may be, in order.
    paths: Vec<CString>,
    argv: Vec<CString>,
    env: Vec<CString>,
    work_dir: CString,
}

/// What the child does before it executes the program; it may only make system calls, and returns an error's number.
pub(super) type Prepare<'a> = &'a mut dyn FnMut() -> nix::Result<()>;

/// What the child reads and writes.
struct Child<'a> {
    paths: Vec<*const c_char>,
    argv: Vec<*const c_char>,
    /// The shell, the path, and the arguments.
    shell: Vec<*const c_char>,
    env: Vec<*const c_char>,
    work_dir: *const c_char,
    stdio: [RawFd; 3],
    prepare: Prepare<'a>,
    error: c_int,
}

impl Program {
    /// # Errors
    /// If an argument, a variable or the path contains a zero byte.
    pub(super) fn new(
        argv: &[String],
        env: BTreeMap<OsString, OsString>,
        work_dir: &Path,
    ) -> io::Result<Self> {
        let name = argv.first().map(String::as_str).unwrap_or_default();
        let paths = candidates(name, env.get(OsStr::new("PATH")).map(OsString::as_os_str));
        let variables = env.into_iter().map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            name.into_vec()
        });
        Ok(Self {
            paths: strings(paths)?,
            argv: strings(argv.iter().map(|word| word.as_bytes().to_vec()))?,
            env: strings(variables)?,
            work_dir: CString::new(work_dir.as_os_str().as_bytes())?,
        })
    }

    /// Starts the program with these descriptors as standard input, output and error, each from 3 up, in a process group of its own.
    ///
    /// # Errors
    /// Any error of clone(2), chdir(2), execve(2) or `prepare`.
    pub(super) fn spawn(&self, stdio: [RawFd; 3], prepare: Prepare<'_>) -> io::Result<Pid> {
        let argv = pointers(&self.argv);
        let mut child = Child {
            paths: pointers(&self.paths),
            shell: [&[SHELL.as_ptr(), ptr::null()], argv.get(1..).unwrap_or(&[ptr::null()])].concat(),
            argv,
            env: pointers(&self.env),
            work_dir: self.work_dir.as_ptr(),
            stdio,
            prepare,
            error: 0,
        };
        let mut stack = vec![0_u128; STACK];
        // A handler of ours must not run in the child.
        let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
        // SAFETY: the stack and all that the child uses outlive it, since this thread waits until it has executed the program or exited.
        // Only the child touches them meanwhile.
        let pid = Errno::result(unsafe {
            let top = stack.as_mut_ptr().add(STACK).cast();
            let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
            libc::clone(enter, top, flags, (&raw mut child).cast())
        });
        before.thread_set_mask()?;
        let pid = Pid::from_raw(pid?);
        // SAFETY: the child has written it, behind the compiler's back.
        match unsafe { ptr::read_volatile(&raw const child.error) } {
            0 => Ok(pid),
            error => {
                let _ = nix::sys::wait::waitpid(pid, None);
                Err(io::Error::from_raw_os_error(error))
            }
        }
    }
}

/// The child's life.
extern "C" fn enter(child: *mut c_void) -> c_int {
    // SAFETY: `spawn` passes a `Child` that lives until this process has its own memory, and touches it only afterwards. What follows makes
    // system calls alone.
    unsafe {
        let child = &mut *child.cast::<Child<'_>>();
        let error = execute(child) as c_int;
        ptr::write_volatile(&raw mut child.error, error);
        libc::_exit(127)
    }
}

/// Becomes the program. Returns why not.
///
/// # Safety
/// All pointers of `child` are valid, and its lists end with null.
unsafe fn execute(child: &mut Child<'_>) -> Errno {
    // SAFETY: plain system calls with valid pointers.
    unsafe {
        for (number, descriptor) in (0..).zip(child.stdio) {
            if libc::dup2(descriptor, number) < 0 {
                return Errno::last();
            }
        }
        if libc::chdir(child.work_dir) < 0 || libc::setpgid(0, 0) < 0 {
            return Errno::last();
        }
        if let Err(error) = (child.prepare)() {
            return error;
        }
        reset_signals();
        let mut denied = false;
        for path in child.paths.iter().filter(|path| !path.is_null()) {
            libc::execve(*path, child.argv.as_ptr(), child.env.as_ptr());
            match Errno::last() {
                Errno::ENOEXEC => {
                    child.shell[1] = *path;
                    libc::execve(SHELL.as_ptr(), child.shell.as_ptr(), child.env.as_ptr());
                    return Errno::last();
                }
                Errno::EACCES => denied = true,
                Errno::ENOENT | Errno::ENOTDIR | Errno::ESTALE | Errno::ENODEV | Errno::ETIMEDOUT => {}
                error => return error,
            }
        }
        if denied { Errno::EACCES } else { Errno::ENOENT }
    }
}

/// Gives each signal that is caught here its default action, and SIGPIPE, which the standard library ignores; then lets them through.
///
/// # Safety
/// Only in a process of its own.
unsafe fn reset_signals() {
    // SAFETY: plain system calls with valid pointers. The table of actions is the child's own.
    unsafe {
        for number in 1..=libc::SIGRTMAX() {
            let mut action: libc::sigaction = std::mem::zeroed();
            // The C library keeps SIGABRT's action under a lock; it is not caught here.
            if number == libc::SIGABRT || libc::sigaction(number, ptr::null(), &raw mut action) < 0 {
                continue;
            }
            let is_caught = action.sa_sigaction != libc::SIG_DFL && action.sa_sigaction != libc::SIG_IGN;
            if is_caught || number == libc::SIGPIPE {
                action.sa_sigaction = libc::SIG_DFL;
                action.sa_flags = 0;
                libc::sigaction(number, &raw const action, ptr::null_mut());
            }
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
}

/// The paths under which execvp(3) would look for a program.
fn candidates(name: &str, path: Option<&OsStr>) -> Vec<Vec<u8>> {
    if name.contains('/') || name.is_empty() {
        return vec![name.as_bytes().to_vec()];
    }
    let folders = path.map_or(DEFAULT_PATH.as_bytes(), OsStr::as_bytes).split(|byte| *byte == b':');
    let within = |folder: &[u8]| match folder {
        [] => name.as_bytes().to_vec(),
        folder => [folder, b"/", name.as_bytes()].concat(),
    };
    folders.map(within).collect()
}

fn strings(texts: impl IntoIterator<Item = Vec<u8>>) -> io::Result<Vec<CString>> {
    texts.into_iter().map(|text| Ok(CString::new(text)?)).collect()
}

/// Pointers to strings, and null.
fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_slash_is_looked_for_in_path() {
        let paths = |name, path: Option<&str>| {
            let paths = candidates(name, path.map(OsStr::new));
            paths.into_iter().map(|path| String::from_utf8(path).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(paths("php", Some("/a::b")), ["/a/php", "php", "b/php"]);
        assert_eq!(paths("php", None), ["/bin/php", "/usr/bin/php"]);
        assert_eq!(paths("./php", Some("/a")), ["./php"]);
        assert_eq!(paths("", Some("/a")), [""]);
    }
}
