//! A cgroup for this run, where one may be made: neither a session of its own nor an empty environment nor the end of its parents takes a
//! process out of it.
//!
//! The folder `causeway-<pid>-<run>` lies below the cgroup in which the server was started, so limits that are set there go on to hold, and
//! no controller is enabled in it. The server enters it once; all that it starts is in it from its birth, which costs nothing. (A cgroup
//! for each worker would cost each start 0.1 ms, and the wait for a grace period of RCU, some 10 ms, whenever a process enters.) The guard
//! stays outside. It kills what is left in the folder and removes it when the server has ended, however it went. If both were killed, the
//! next server that starts in the same cgroup removes the folder once it is empty.
//!
//! Only cgroup v2 has this. Where systemd runs, all cgroups are its own but for those of units with `Delegate=yes`. Where no folder can be
//! made, everything else works as it does with one.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nix::sys::signal::Signal;

use super::other::Other;

/// How the name of each run's folder begins.
const PREFIX: &str = "causeway-";

/// The file of a cgroup that lists its processes, and into which a process writes itself.
const PROCESSES: &str = "cgroup.procs";

/// How many folders are looked at in one go; a worker may make some below that of the run.
const MAX_FOLDERS: usize = 4096;

/// How far below another one a folder is still looked at.
const MAX_DEPTH: usize = 32;

/// How often a folder is made anew if a server that starts at the same moment takes it for an old one.
const ATTEMPTS: usize = 3;

static HOME: OnceLock<Home> = OnceLock::new();

/// The folder of this run.
struct Home {
    folder: PathBuf,
    /// Locked for as long as the server lives, which tells other servers that it does.
    _lock: File,
}

/// Makes the folder of this run, and removes those of runs that have ended. To be called once, before the guard is started.
///
/// # Errors
/// Says why there is none.
pub(crate) fn prepare() -> Result<(), String> {
    let run = super::family::run().ok_or("the run has no number")?;
    let own = own()?;
    if Path::new("/run/systemd/system").exists() && !is_delegated(&own) {
        return Err(format!("{} is systemd's: the unit has no Delegate=yes", own.display()));
    }
    remove_old(&own);
    let folder = own.join(format!("{PREFIX}{}-{run}", std::process::id()));
    let lock = make(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let _ = HOME.set(Home { folder, _lock: lock });
    Ok(())
}

/// Brings this process into the folder of the run. To be called after the guard is started, and before anything else is.
///
/// # Errors
/// Says why it stays where it is; then there is no folder any more.
pub(crate) fn enter() -> Result<&'static Path, String> {
    let folder = folder().ok_or("there is no folder")?;
    move_into(folder).map_err(|error| {
        let _ = fs::remove_dir(folder);
        format!("{}: {error}", folder.display())
    })?;
    Ok(folder)
}

/// Brings this process, with all its threads, into a cgroup.
fn move_into(folder: &Path) -> io::Result<()> {
    fs::write(folder.join(PROCESSES), "0")
}

/// Brings a guard that was started in the folder of the run out of it.
pub(super) fn leave(folder: &Path) {
    if let Some(outside) = folder.parent() {
        let _ = move_into(outside);
    }
}

/// The folder of this run, if there is one.
pub(super) fn folder() -> Option<&'static Path> {
    HOME.get().map(|home| home.folder.as_path())
}

/// Kills all that is in the folder of this run but for this process and its guard; gives how many there were.
pub(super) fn kill_others(guard: u32) -> usize {
    folder().map_or(0, |folder| kill_listed(folder, &[std::process::id(), guard]))
}

/// Kills what is in a folder and below it, but for this process, and removes it; false while that goes on.
pub(super) fn end_folder(folder: &Path) -> bool {
    // Most often nobody is left.
    if is_removed(folder) {
        return true;
    }
    let own_pid = std::process::id();
    // One that could not leave must not kill itself before all others are dead.
    let is_inside = pids(folder).contains(&own_pid);
    if is_inside || fs::write(folder.join("cgroup.kill"), "1").is_err() {
        kill_listed(folder, &[own_pid]);
    }
    let mut folders = below(folder);
    folders.reverse();
    for inner in folders {
        let _ = fs::remove_dir(inner);
    }
    is_removed(folder)
}

/// What `cgroup.kill` does, but for some, and for kernels before 5.14. A process that is being forked meanwhile is found the next time.
/// Gives how many there were.
fn kill_listed(folder: &Path, spared: &[u32]) -> usize {
    let folders = std::iter::once(folder.to_owned()).chain(below(folder));
    let listed = folders.flat_map(|folder| pids(&folder)).filter(|pid| !spared.contains(pid));
    let found: Vec<Other> = listed.filter_map(Other::find).collect();
    for process in &found {
        let _ = process.signal(Signal::SIGKILL);
    }
    found.len()
}

/// The processes in a folder; those of another pid namespace are not told.
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

/// The kernel removes a cgroup only if nothing lives in it or below it.
fn is_removed(folder: &Path) -> bool {
    fs::remove_dir(folder).map_or_else(|error| error.kind() == io::ErrorKind::NotFound, |()| true)
}

/// Makes a folder and locks it.
fn make(folder: &Path) -> io::Result<File> {
    for _ in 0..ATTEMPTS {
        match fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let Ok(lock) = File::open(folder) else { continue };
        lock.lock()?;
        // Whoever removes a folder holds its lock, so one that is there now stays.
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

/// Whether a folder is named as those of runs are.
fn is_of_a_run(folder: &Path) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str()?.strip_prefix(PREFIX)?.split_once('-'));
    name.is_some_and(|(pid, run)| {
        pid.parse::<u32>().is_ok() && run.len() == 32 && run.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// The folder of the cgroup in which this process is.
fn own() -> Result<PathBuf, String> {
    let read = |path: &str| fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
    locate(&read("/proc/self/cgroup")?, &read("/proc/self/mountinfo")?)
        .ok_or_else(|| "no folder of cgroup v2 is mounted".into())
}

/// Source: cgroups(7): the line of version 2 in `/proc/self/cgroup` is `0::<path>`; proc(5): the fourth and the fifth field of `mountinfo`
/// are what of a file system is mounted, and where; its type stands behind ` - `.
fn locate(cgroups: &str, mounts: &str) -> Option<PathBuf> {
    let path = Path::new(cgroups.lines().find_map(|line| line.strip_prefix("0::"))?);
    mounts.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, folder) = (fields.next()?, fields.next()?);
        // What lies outside of the cgroup namespace begins with `/..`.
        let inside = path.strip_prefix(root).ok().filter(|inside| !inside.starts_with(".."))?;
        kind.starts_with("cgroup2 ").then(|| Path::new(folder).join(inside))
    })
}

/// Whether systemd leaves it to us what is below a cgroup.
///
/// Source: systemd's CGROUP_DELEGATION.md; the second attribute, which older versions set alone, only root can read.
fn is_delegated(folder: &Path) -> bool {
    let Ok(path) = CString::new(folder.as_os_str().as_bytes()) else { return false };
    [c"user.delegate", c"trusted.delegate"].iter().any(|name| {
        let mut value = [0_u8; 1];
        // SAFETY: both names end with a zero, and the buffer is valid for its length.
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
    fn the_own_cgroup_is_found_wherever_it_is_mounted() {
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
    fn only_folders_of_runs_are_named_like_them() {
        let run = "0123456789abcdef0123456789abcdef";
        assert!(is_of_a_run(Path::new(&format!("/c/causeway-12-{run}"))));
        for other in
            ["causeway-12", "causeway-x-0123456789abcdef0123456789abcdef", "causeway-12-abc", "init.scope"]
        {
            assert!(!is_of_a_run(Path::new(other)), "{other}");
        }
    }

    /// A folder for a test, if one can be made; otherwise says that the test is skipped.
    fn folder(name: &str) -> Option<PathBuf> {
        let made = own().and_then(|own| {
            let folder = own.join(format!("test-{name}-{}", std::process::id()));
            make(&folder).map_err(|error| error.to_string()).map(|_| folder)
        });
        made.inspect_err(|error| eprintln!("skipped, no cgroup can be made here: {error}")).ok()
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

    fn soon(mut is_so: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !is_so() {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_folder_ends_with_all_that_is_below_it() {
        let Some(folder) = folder("end") else { return };
        let inner = folder.join("a/b");
        fs::create_dir_all(&inner).unwrap();
        let mut sleeps = [sleep_in(&folder), sleep_in(&inner)];
        assert!(!is_removed(&folder));
        soon(|| end_folder(&folder));
        assert!(!folder.exists() && end_folder(&folder));
        for sleep in &mut sleeps {
            sleep.wait().unwrap();
        }
    }

    #[test]
    fn an_old_kernel_kills_what_is_listed() {
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
        soon(|| end_folder(&folder));
    }

    #[test]
    fn folders_of_ended_runs_are_removed_and_those_of_others_stay() {
        let Some(folder) = folder("old") else { return };
        let run = |number| folder.join(format!("{PREFIX}{number}-0123456789abcdef0123456789abcdef"));
        let (ended, lives, in_use) = (run(1), run(2), run(3));
        fs::create_dir_all(ended.join("7")).unwrap();
        fs::create_dir_all(in_use.join("7")).unwrap();
        let lock = make(&lives).unwrap();
        let mut sleep = sleep_in(&in_use.join("7"));
        remove_old(&folder);
        assert!(!ended.exists() && lives.exists() && in_use.exists());
        drop(lock);
        sleep.kill().unwrap();
        sleep.wait().unwrap();
        remove_old(&folder);
        assert!(!lives.exists() && !in_use.exists());
        soon(|| end_folder(&folder));
    }
}
