//! Processes that can be found neither by their parents nor by their environment, where servers can create cgroups.

use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use super::families::leaves;
use crate::support::inventory::{Scene, processes};
use crate::support::{eventually, is_alive, worker};

/// The folder of the cgroup in which servers run, if they can create others in it; otherwise prints that a test is skipped.
fn cgroup() -> Option<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    let mount = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let mount = mount.filter(|fields| fields[2] == "cgroup2").map(|fields| fields[1].to_owned()).next();
    let own = path_of(std::process::id());
    let folder = mount.zip(own).map(|(mount, own)| PathBuf::from(mount + &own));
    let trial = |folder: &PathBuf| {
        let trial = folder.join(format!("trial-{}-{:?}", std::process::id(), std::thread::current().id()));
        std::fs::create_dir(&trial).and_then(|()| std::fs::remove_dir(trial)).is_ok()
    };
    let folder = folder.filter(|folder| !Path::new("/run/systemd/system").exists() && trial(folder));
    if folder.is_none() {
        eprintln!("skipped: no cgroup can be created here");
    }
    folder
}

/// The cgroup of a process in the hierarchy of version 2.
fn path_of(pid: u32) -> Option<String> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    list.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned)
}

fn is_guard(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "causeway-guard\n")
}

/// The folders of a server's runs.
fn folders(cgroup: &Path, server: u32) -> Vec<PathBuf> {
    let prefix = format!("causeway-{server}-");
    let names = std::fs::read_dir(cgroup).unwrap().map(|entry| entry.unwrap().path());
    names.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&prefix)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_and_everything_it_starts_share_a_cgroup() {
    let Some(cgroup) = cgroup() else { return };
    let scene = Scene::begin(worker(), 2, "").await;
    let [folder] = &folders(&cgroup, scene.server.pid())[..] else { panic!("there is no folder") };
    let list = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap();
    let mut inside: Vec<u32> = list.lines().map(|pid| pid.parse().unwrap()).collect();
    let mut all = processes(&scene.server);
    all.retain(|pid| !is_guard(*pid));
    inside.sort_unstable();
    all.sort_unstable();
    assert_eq!(inside, all);
    scene.ends_well().await;
    eventually("no folder is left", || !folder.exists()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stray_ends_with_the_server_however_it_ends() {
    let Some(cgroup) = cgroup() else { return };
    for (signal, guards) in [(Signal::SIGTERM, 1), (Signal::SIGKILL, 1), (Signal::SIGKILL, 2)] {
        let mut scene = Scene::begin(worker(), 2, "").await;
        let server = scene.server.pid();
        if guards == 2 {
            let guard = processes(&scene.server).into_iter().find(|pid| is_guard(*pid)).unwrap();
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(guard.cast_signed()), Signal::SIGKILL).unwrap();
            eventually("the guard is replaced", || scene.server.count_output("guard process replaced") == 1)
                .await;
        }
        let stray = leaves(&scene, "stray").await;
        assert!(path_of(stray).unwrap().contains(&format!("/causeway-{server}-")));
        scene.server.signal(signal);
        scene.server.exit().await;
        eventually(&format!("the stray is gone after {signal}"), || !is_alive(stray)).await;
        eventually("no folder is left", || folders(&cgroup, server).is_empty()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_left_by_a_killed_server_and_guard_is_removed_at_the_next_start() {
    let Some(cgroup) = cgroup() else { return };
    let old = cgroup.join(format!("causeway-{}-{:032x}", u32::MAX, std::process::id()));
    // Servers of other tests remove it, too, unless it is locked.
    let lock = loop {
        let _ = std::fs::create_dir(&old);
        let Ok(lock) = std::fs::File::open(&old) else { continue };
        lock.lock().unwrap();
        if old.exists() {
            break lock;
        }
    };
    std::fs::create_dir(old.join("1")).unwrap();
    let scene = Scene::begin(worker(), 1, "").await;
    assert!(old.join("1").exists(), "it may be in use");
    scene.ends_well().await;
    drop(lock);
    let scene = Scene::begin(worker(), 1, "").await;
    assert!(!old.exists());
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_cgroup_workers_still_start_and_end() {
    let Some(cgroup) = cgroup() else { return };
    // A mount namespace in which no cgroup can be written.
    let script = "mount -o bind,remount,ro $0 && exec \"$@\"";
    let mount = std::fs::read_to_string("/proc/mounts").unwrap();
    let mount =
        mount.lines().map(|line| line.split(' ').collect::<Vec<_>>()).find(|fields| fields[2] == "cgroup2");
    let mount = mount.unwrap()[1].to_owned();
    let read_only = ["unshare", "-m", "sh", "-c", script, &mount];
    let can = std::process::Command::new(read_only[0]).args(&read_only[1..]).arg("true").status();
    if !can.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no mount namespace can be created here");
        return;
    }
    let scene = Scene::begin(worker().through(&read_only), 2, "").await;
    assert!(folders(&cgroup, scene.server.pid()).is_empty());
    assert_eq!(path_of(scene.client.worker_pid().await), path_of(scene.server.pid()));
    let stray = leaves(&scene, "stray").await;
    scene.stops_soon().await;
    assert!(!is_alive(stray));
}
