//! A cgroup for this run, where one can be created: neither a session of its own nor a cleared environment nor the death of its parents
//! takes a process out of it.
//!
//! The folder `causeway-<pid>-<run>` lies below the cgroup in which the server was started, so limits set there still hold, and no
//! controller is enabled in it. The server enters it once; everything it starts is born in it, which costs nothing. (A cgroup for each
//! worker would cost each start 0.1 ms, and some 10 ms for a grace period of RCU whenever a process enters.) The guard stays outside. When
//! the server is gone, however it went, the guard kills what is left in the folder and removes it. If both were killed, the next server
//! that starts in the same cgroup removes the folder once it is empty.
//!
//! Only cgroup v2 has this. Under systemd all cgroups belong to it, except those of units with `Delegate=yes`. Where no folder can be
//! created, nothing else changes.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::foreign_process::kill_all;
use super::run;

/// The prefix of the folders of runs.
const PREFIX: &str = "causeway-";

/// The file of a cgroup that lists its processes; writing a pid to it moves that process.
const PROCESSES: &str = "cgroup.procs";

/// Folders that are visited in one pass; workers may create some below that of the run.
const MAX_FOLDERS: usize = 4096;

/// The depth to which folders are visited.
const MAX_DEPTH: usize = 32;

/// How often a folder is created again if a server that starts at the same moment takes it for an old one.
const ATTEMPTS: usize = 3;

static HOME: OnceLock<Home> = OnceLock::new();

/// The folder of this run.
struct Home {
    folder: PathBuf,
    /// Locked while the server lives, so that other servers leave the folder alone.
    _lock: File,
}

/// Why this run has no cgroup.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoCgroup {
    #[error("the run has no id")]
    NoRun,
    #[error("cgroup v2 is not mounted")]
    NotMounted,
    #[error("{} is systemd's: the unit has no Delegate=yes", .0.display())]
    NotDelegated(PathBuf),
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
}

impl NoCgroup {
    fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io { path: path.into(), error }
    }
}

/// Creates the folder of this run, and removes those of runs that have ended. Call it once, before the guard is started.
///
/// # Errors
/// Why there is none.
pub(crate) fn prepare() -> Result<(), NoCgroup> {
    let run = run::id().ok_or(NoCgroup::NoRun)?;
    let own = own()?;
    if Path::new("/run/systemd/system").exists() && !is_delegated(&own) {
        return Err(NoCgroup::NotDelegated(own));
    }
    remove_old(&own);
    let folder = own.join(format!("{PREFIX}{}-{run}", std::process::id()));
    let lock = create(&folder).map_err(NoCgroup::io(&folder))?;
    let _ = HOME.set(Home { folder, _lock: lock });
    Ok(())
}

/// Leaves the folder of another run, which was that of the server that has started this one. Call it before [`prepare`].
pub(crate) fn leave_predecessor() {
    if let Ok(own) = own()
        && is_of_a_run(&own)
    {
        leave(&own);
    }
}

/// Moves this process into the folder of the run. Call it after the guard is started and before anything else is.
///
/// # Errors
/// Why it stays where it is; the folder is removed then.
pub(crate) fn enter() -> Result<&'static Path, NoCgroup> {
    let folder = folder().ok_or(NoCgroup::NoRun)?;
    move_into(folder).map_err(|error| {
        let _ = fs::remove_dir(folder);
        NoCgroup::io(folder)(error)
    })?;
    Ok(folder)
}

/// Moves this process, with all its threads, into a cgroup.
fn move_into(folder: &Path) -> io::Result<()> {
    fs::write(folder.join(PROCESSES), "0")
}

/// Moves this process, a guard that was started in the folder of the run, out of it.
pub(super) fn leave(folder: &Path) {
    if let Some(outside) = folder.parent() {
        let _ = move_into(outside);
    }
}

/// The folder of this run, if there is one.
pub(super) fn folder() -> Option<&'static Path> {
    HOME.get().map(|home| home.folder.as_path())
}

/// Kills everything in the folder of this run except this process and its guard; returns how many processes there were.
pub(super) fn kill_others(guard: u32) -> usize {
    folder().map_or(0, |folder| kill_listed(folder, &[std::process::id(), guard]))
}

/// Kills everything in a folder and below it, except this process, and removes it. False if some of it is still there; call it again.
pub(super) fn destroy(folder: &Path) -> bool {
    // Usually it is empty.
    if remove(folder) {
        return true;
    }
    let own_pid = std::process::id();
    // A guard that could not leave must not kill itself before all others are dead.
    let is_inside = pids(folder).contains(&own_pid);
    if is_inside || fs::write(folder.join("cgroup.kill"), "1").is_err() {
        kill_listed(folder, &[own_pid]);
    }
    let mut folders = below(folder);
    folders.reverse();
    for inner in folders {
        let _ = fs::remove_dir(inner);
    }
    remove(folder)
}

/// What `cgroup.kill` does, except for some processes, and on kernels before 5.14. A process that is forked meanwhile is found the next
/// time. Returns how many there were.
fn kill_listed(folder: &Path, spared: &[u32]) -> usize {
    let folders = std::iter::once(folder.to_owned()).chain(below(folder));
    kill_all(folders.flat_map(|folder| pids(&folder)).filter(|pid| !spared.contains(pid)))
}

/// The processes in a folder, except those of another pid namespace, which the kernel lists as 0.
fn pids(folder: &Path) -> Vec<u32> {
    let list = fs::read_to_string(folder.join(PROCESSES)).unwrap_or_default();
    list.lines().filter_map(|pid| pid.parse().ok()).filter(|pid| *pid > 1).collect()
}

/// The folders below a folder, each before those below it.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = inner(folder).collect::<Vec<_>>();
    let (mut next, mut last) = (0, found.len());
    for _ in 1..MAX_DEPTH {
        while next < last && found.len() < MAX_FOLDERS {
            let more = inner(&found[next]).collect::<Vec<_>>();
            found.extend(more);
            next += 1;
        }
        last = found.len();
    }
    found
}

/// The folders in a folder.
fn inner(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|entry| entry.path()).take(MAX_FOLDERS)
}

/// Removes a cgroup, which the kernel does only if there is no process and no folder in it. True if it is gone.
fn remove(folder: &Path) -> bool {
    fs::remove_dir(folder).map_or_else(|error| error.kind() == io::ErrorKind::NotFound, |()| true)
}

/// Creates a folder and locks it.
fn create(folder: &Path) -> io::Result<File> {
    for _ in 0..ATTEMPTS {
        match fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let Ok(lock) = File::open(folder) else { continue };
        lock.lock()?;
        // A server that removes a folder holds its lock, so one that exists now stays.
        if folder.exists() {
            return Ok(lock);
        }
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

/// Removes the folders of runs that have ended, unless something still lives in them.
fn remove_old(own: &Path) {
    for folder in inner(own).filter(|folder| is_of_a_run(folder)) {
        let is_free = |file: &File| file.try_lock().is_ok();
        // The lock is held until the folder is removed.
        let Some(_lock) = File::open(&folder).ok().filter(is_free) else { continue };
        let mut folders = below(&folder);
        folders.reverse();
        for folder in folders.into_iter().chain([folder]) {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Whether a folder has the name of a run's.
fn is_of_a_run(folder: &Path) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str()?.strip_prefix(PREFIX)?.split_once('-'));
    name.is_some_and(|(pid, run)| {
        pid.parse::<u32>().is_ok() && run.len() == 32 && run.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// The folder of the cgroup that this process is in.
fn own() -> Result<PathBuf, NoCgroup> {
    let read = |path: &'static str| fs::read_to_string(path).map_err(NoCgroup::io(path));
    locate(&read("/proc/self/cgroup")?, &read("/proc/self/mountinfo")?).ok_or(NoCgroup::NotMounted)
}

/// Source: cgroups(7): the line of version 2 in `/proc/self/cgroup` is `0::<path>`; proc(5): fields four and five of `mountinfo` are the
/// root of the mount and the mount point; the type of the file system follows ` - `.
fn locate(cgroups: &str, mounts: &str) -> Option<PathBuf> {
    let path = Path::new(cgroups.lines().find_map(|line| line.strip_prefix("0::"))?);
    mounts.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, folder) = (fields.next()?, fields.next()?);
        // A path outside the cgroup namespace begins with `/..`.
        let inside = path.strip_prefix(root).ok().filter(|inside| !inside.starts_with(".."))?;
        kind.starts_with("cgroup2 ").then(|| Path::new(folder).join(inside))
    })
}

/// Whether systemd has delegated a cgroup.
///
/// Source: systemd's CGROUP_DELEGATION.md. Older versions set only the second attribute, which only root can read.
fn is_delegated(folder: &Path) -> bool {
    let Ok(path) = CString::new(folder.as_os_str().as_bytes()) else { return false };
    [c"user.delegate", c"trusted.delegate"].iter().any(|name| {
        let mut value = [0_u8; 1];
        // SAFETY: path and name are C strings, and the buffer is valid for its length.
        let length =
            unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
        length == 1 && value == *b"1"
    })
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn our_own_cgroup_is_found_wherever_it_is_mounted() {
        let mount = |root: &str, at: &str| {
            format!(
                "22 1 0:5 / /proc rw - proc proc rw\n41 31 0:38 {root} {at} rw,relatime - cgroup2 cgroup2 rw\n"
            )
        };
        let unified = "0::/system.slice/causeway.service\n";
        let found =
            |cgroups: &str, mounts: &str| locate(cgroups, mounts).map(|path| path.display().to_string());
        let is = |path: &str| Some(path.to_owned());
        assert_eq!(
            found(unified, &mount("/", "/sys/fs/cgroup")),
            is("/sys/fs/cgroup/system.slice/causeway.service")
        );
        assert_eq!(
            found("9:pids:/a\n0::/b\n", &mount("/", "/sys/fs/cgroup/unified")),
            is("/sys/fs/cgroup/unified/b")
        );
        assert_eq!(found("0::/a/b\n", &mount("/a", "/c")), is("/c/b"));
        assert_eq!(found("0::/a\n", &mount("/b", "/c")), None);
        assert_eq!(found("0::/../a\n", &mount("/", "/c")), None);
        assert_eq!(found("9:pids:/a\n", &mount("/", "/c")), None);
        assert_eq!(found(unified, "22 1 0:5 / /proc rw - proc proc rw\n"), None);
    }

    #[test]
    fn only_names_of_runs_are_taken_for_runs() {
        let run = "0123456789abcdef0123456789abcdef";
        assert!(is_of_a_run(Path::new(&format!("/c/causeway-12-{run}"))));
        for other in
            ["causeway-12", "causeway-x-0123456789abcdef0123456789abcdef", "causeway-12-abc", "init.scope"]
        {
            assert!(!is_of_a_run(Path::new(other)), "{other}");
        }
    }

    /// A folder for a test, if one can be created; otherwise prints that the test is skipped.
    fn folder(name: &str) -> Option<PathBuf> {
        let made = own().and_then(|own| {
            let folder = own.join(format!("test-{name}-{}", std::process::id()));
            create(&folder).map_err(NoCgroup::io(&folder)).map(|_| folder)
        });
        made.inspect_err(|error| eprintln!("skipped, no cgroup can be created here: {error}")).ok()
    }

    fn sleep_in(folder: &Path) -> Child {
        let sleep = Command::new("sleep")
            .arg("1000")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        fs::write(folder.join(PROCESSES), sleep.id().to_string()).unwrap();
        sleep
    }

    fn eventually(mut is_so: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !is_so() {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_folder_is_destroyed_with_everything_below_it() {
        let Some(folder) = folder("end") else { return };
        let inner = folder.join("a/b");
        fs::create_dir_all(&inner).unwrap();
        let mut sleeps = [sleep_in(&folder), sleep_in(&inner)];
        assert!(!remove(&folder));
        eventually(|| destroy(&folder));
        assert!(!folder.exists() && destroy(&folder));
        for sleep in &mut sleeps {
            sleep.wait().unwrap();
        }
    }

    #[test]
    fn on_an_old_kernel_the_listed_processes_are_killed() {
        let Some(folder) = folder("list") else { return };
        let inner = folder.join("a");
        fs::create_dir(&inner).unwrap();
        let mut sleeps = [sleep_in(&folder), sleep_in(&inner)];
        assert_eq!(kill_listed(&folder, &[sleeps[0].id()]), 1);
        sleeps[1].wait().unwrap();
        assert_eq!(kill_listed(&folder, &[]), 1);
        for sleep in &mut sleeps {
            sleep.wait().unwrap();
        }
        eventually(|| destroy(&folder));
    }

    #[test]
    fn folders_of_ended_runs_are_removed_and_others_stay() {
        let Some(folder) = folder("old") else { return };
        let run = |number| folder.join(format!("{PREFIX}{number}-0123456789abcdef0123456789abcdef"));
        let (ended, lives, in_use) = (run(1), run(2), run(3));
        fs::create_dir_all(ended.join("7")).unwrap();
        fs::create_dir_all(in_use.join("7")).unwrap();
        let lock = create(&lives).unwrap();
        let mut sleep = sleep_in(&in_use.join("7"));
        remove_old(&folder);
        assert!(!ended.exists() && lives.exists() && in_use.exists());
        drop(lock);
        sleep.kill().unwrap();
        sleep.wait().unwrap();
        remove_old(&folder);
        assert!(!lives.exists() && !in_use.exists());
        eventually(|| destroy(&folder));
    }
}
