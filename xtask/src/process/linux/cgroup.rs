//! A cgroup for each run, where the one that this process is in may be divided (cgroup v2, and delegated): one more mark, which a
//! process cannot take off, and one word that kills everything in it at once.
//!
//! An extra: trees are found and killed without it, and what does not work here is left out. A process is moved by a thread that
//! nobody waits for, as the system takes some milliseconds for that (it waits for all processors); what a service starts before that
//! has its other marks only.

use std::fs;
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use crate::process::children;
use crate::process::identity::{Identity, RunTag};

/// What the name of the cgroup of a supervisor begins with; its pid follows.
const PREFIX: &str = "xtask-";

/// Where a cgroup's processes are written to, to come in.
const PROCESSES: &str = "cgroup.procs";

/// News for the thread that tends the cgroups.
enum News {
    Spawned(RunTag, Identity),
    Gone(RunTag),
}

/// Of this process, like its children; nothing where no cgroups are wanted.
static TENDER: OnceLock<Sender<News>> = OnceLock::new();
/// The cgroup with those of all runs, once there is one.
static OURS: OnceLock<PathBuf> = OnceLock::new();

/// Keeps a cgroup for each run from now on. Whoever ends this process's leftovers calls [`remove_cgroups`].
pub(in crate::process) fn keep_cgroups() {
    let (sender, news) = channel();
    let thread = thread::Builder::new().name("cgroups".into()).stack_size(64 * 1024);
    if thread.spawn(move || tend(&news)).is_ok() {
        let _ = TENDER.set(sender);
    }
}

/// A run's first process was started: it and what it starts come into a cgroup.
pub(in crate::process) fn enter_cgroup(run: RunTag, leader: Identity) {
    tell(News::Spawned(run, leader));
}

/// Nothing of a run is left.
pub(in crate::process) fn leave_cgroup(run: RunTag) {
    tell(News::Gone(run));
}

fn tell(news: News) {
    if let Some(tender) = TENDER.get() {
        // Where there are no cgroups to be had it has ended.
        let _ = tender.send(news);
    }
}

/// Kills all that is in the cgroup of a run, if it has one: also what is being forked just now.
pub(in crate::process) fn kill_cgroup(run: RunTag) {
    if let Some(ours) = OURS.get() {
        // Linux has this word since 5.14.
        let _ = fs::write(ours.join(name_of(run)).join("cgroup.kill"), "1");
    }
}

/// Removes the cgroups of a supervisor with this pid that has ended. One with a process in it stays.
pub(in crate::process) fn remove_cgroups(supervisor: u32) {
    if let Some(own) = own_cgroup() {
        remove(&own.join(format!("{PREFIX}{supervisor}")));
    }
}

/// A service may have divided its own further.
fn remove(cgroup: &Path) {
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    let _ = fs::remove_dir(cgroup);
}

/// The run whose cgroup `/proc/PID/cgroup` tells of.
pub(super) fn tag_in_cgroup(text: &[u8]) -> Option<RunTag> {
    let path = unified(std::str::from_utf8(text).ok()?)?;
    let names: Vec<&str> = path.split('/').collect();
    let run = |pair: &[&str]| pair[0].starts_with(PREFIX).then(|| run_of(pair[1])).flatten();
    // A service may be a supervisor in its turn: the innermost counts.
    names.windows(2).rev().find_map(run)
}

fn tend(news: &Receiver<News>) {
    let mut next = news.recv();
    let Some(ours) = make_ours() else { return };
    while let Ok(first) = next {
        let batch: Vec<News> = iter::once(first).chain(news.try_iter()).collect();
        if batch.iter().any(|news| matches!(news, News::Spawned(..))) {
            // To where it is already: the first move in a while waits for all processors, and those right after it do not. They
            // are made with the table locked.
            let _ = fs::write(ours.with_file_name(PROCESSES), std::process::id().to_string());
        }
        for news in batch {
            match news {
                News::Spawned(run, leader) => enter(&ours.join(name_of(run)), leader),
                News::Gone(run) => remove(&ours.join(name_of(run))),
            }
        }
        next = news.recv();
    }
}

/// The cgroup for those of all runs. One that is there was left by a process that had this pid before.
fn make_ours() -> Option<&'static Path> {
    let own = own_cgroup()?;
    sweep(&own);
    let path = own.join(format!("{PREFIX}{}", std::process::id()));
    if !path.is_dir() {
        fs::create_dir(&path).ok()?;
    }
    Some(OURS.get_or_init(|| path))
}

/// Removes what supervisors left whose keepers were killed with them, and after whom nobody has cleared up.
fn sweep(own: &Path) {
    for entry in fs::read_dir(own).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let supervisor = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX)?.parse::<u32>().ok());
        if supervisor.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            remove(&entry.path());
        }
    }
}

fn enter(cgroup: &Path, leader: Identity) {
    // The same run again: a readiness command.
    let _ = fs::create_dir(cgroup);
    // While the lock is held the pid is not recycled.
    let table = children::lock();
    if table.is_unreaped(leader) {
        let _ = fs::write(cgroup.join(PROCESSES), leader.pid.to_string());
    }
}

/// The directory of the cgroup that this process is in, if it may be divided.
fn own_cgroup() -> Option<PathBuf> {
    let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).ok();
    directory(&read("mountinfo")?, &read("cgroup")?).filter(|own| is_delegated(own))
}

/// Where a process's cgroup is, by its `mountinfo` (see proc_pid_mountinfo(5)) and its `cgroup`.
fn directory(mounts: &str, cgroups: &str) -> Option<PathBuf> {
    let path = unified(cgroups)?;
    let unified = |line: &str| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, place) = (fields.next()?, fields.next()?);
        let below = Path::new(path).strip_prefix(root).ok()?;
        kind.starts_with("cgroup2 ").then(|| Path::new(place).join(below))
    };
    mounts.lines().find_map(unified)
}

/// The path in the one hierarchy of cgroup v2.
fn unified(cgroups: &str) -> Option<&str> {
    cgroups.lines().find_map(|line| line.strip_prefix("0::"))
}

/// An ordinary user can write only where it was delegated. Root can everywhere, and systemd does not want its own divided: it says
/// where it has let go (<https://systemd.io/CGROUP_DELEGATION>).
fn is_delegated(cgroup: &Path) -> bool {
    let is_everybodys = !rustix::process::geteuid().is_root() || !Path::new("/run/systemd/system").exists();
    let mut value = [0; 8];
    let said = rustix::fs::getxattr(cgroup, "user.delegate", &mut value).is_ok_and(|length| &value[..length] == b"1");
    is_everybodys || said
}

fn name_of(run: RunTag) -> String {
    format!("{:08x}-{}", run.nonce, run.run)
}

fn run_of(name: &str) -> Option<RunTag> {
    let (nonce, run) = name.split_once('-')?;
    Some(RunTag {
        nonce: u32::from_str_radix(nonce, 16).ok()?,
        run: run.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: RunTag = RunTag { nonce: 0xabc, run: 12 };

    #[test]
    fn the_run_is_read_from_where_a_process_is() {
        let name = name_of(RUN);
        for path in [
            format!("/xtask-7/{name}"),
            format!("/user.slice/a b/xtask-7/{name}/own/deeper"),
            format!("/xtask-6/00000001-1/xtask-7/{name}"),
        ] {
            let text = format!("12:pids:/other\n1:name=systemd:/\n0::{path}\n");
            assert_eq!(tag_in_cgroup(text.as_bytes()), Some(RUN), "{text}");
        }
        for text in [
            String::new(),
            "0::/\n".to_owned(),
            format!("0::/{name}\n"),
            format!("0::/other/{name}\n"),
            format!("3:pids:/xtask-7/{name}\n"),
            "0::/xtask-7/abc\n0::/xtask-7\n".to_owned(),
        ] {
            assert_eq!(tag_in_cgroup(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_directory_of_a_cgroup_follows_from_where_its_tree_is_mounted() {
        let mounts = "20 1 8:1 / / rw - ext4 /dev/sda rw\n30 20 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n";
        let found = |mounts: &str, cgroups: &str| directory(mounts, cgroups).map(|dir| dir.display().to_string());
        assert_eq!(
            found(mounts, "0::/user.slice/x\n").as_deref(),
            Some("/sys/fs/cgroup/user.slice/x")
        );
        assert_eq!(found(mounts, "4:memory:/x\n0::/\n").as_deref(), Some("/sys/fs/cgroup/"));
        let part = "31 20 0:26 /docker/1 /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
        assert_eq!(found(part, "0::/docker/1/a\n").as_deref(), Some("/sys/fs/cgroup/a"));
        // A part of the tree that this process is not in.
        assert_eq!(found(part, "0::/elsewhere\n"), None);
        assert_eq!(found("20 1 8:1 / / rw - ext4 /dev/sda rw\n", "0::/\n"), None);
        assert_eq!(found(mounts, "4:memory:/x\n"), None);
    }
}
