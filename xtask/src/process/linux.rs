//! Linux: `/proc`, resource limits as an inherited mark, pidfds, the child subreaper.
//! Facts only; what they mean is decided in `tree`, `kill` and `ports`.

mod cgroup;
mod code_pages;
mod footprint;
mod sockets;
mod stat;

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::sync::MutexGuard;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, getrlimit, kill_process, pidfd_open, pidfd_send_signal, setrlimit,
};

use super::children::{self, Table};
use super::identity::{Identity, RUN_VARIABLE, RunTag};
use super::tree::Process;

pub(super) use cgroup::{enter_cgroup, keep_cgroups, kill_cgroup, leave_cgroup, remove_cgroups};
pub(super) use code_pages::release_code_pages;
pub(super) use footprint::footprint;
pub(super) use sockets::{holders, listening};

pub(super) fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

pub(super) fn become_subreaper() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}

pub(super) fn is_subreaper() -> bool {
    rustix::process::child_subreaper().is_ok_and(|answer| answer.is_some())
}

pub(super) fn identity_of(pid: u32) -> Option<Identity> {
    look_at(pid).map(|process| process.identity)
}

pub(super) fn parent_of(pid: u32) -> Option<u32> {
    look_at(pid).map(|process| process.parent)
}

pub(super) fn look_at_unreaped(pid: u32, _table: &MutexGuard<'_, Table>) -> Option<Process> {
    look_at(pid)
}

pub(super) fn is_alive(identity: &Identity) -> bool {
    look_at(identity.pid).is_some_and(|process| process.identity == *identity && !process.zombie)
}

pub(super) fn arguments(pid: u32) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
    if words.is_empty() {
        return Vec::new();
    }
    let word = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
    words.split(|byte| *byte == 0).map(word).collect()
}

pub(super) fn processes() -> io::Result<Vec<Process>> {
    let mut processes = Vec::with_capacity(512);
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        match stat::read(pid) {
            Ok(process) => processes.extend(process),
            // It has ended meanwhile, or is hidden from us.
            Err(error) if is_gone(&error) || error.kind() == io::ErrorKind::PermissionDenied => {}
            // A shortage must not pass for "nothing is left".
            Err(error) => return Err(error),
        }
    }
    Ok(processes)
}

/// Everything below this process; `None` where the kernel does not tell children or orphans are not ours. One that is born or dies
/// meanwhile may be missed.
pub(super) fn descendants() -> io::Result<Option<Vec<Process>>> {
    if !std::path::Path::new("/proc/thread-self/children").exists() {
        return Ok(None);
    }
    let table = children::lock();
    let Some(mut found) = own_children(&table) else {
        return Ok(None);
    };
    // Another thread may have spawned some: not each of hundreds of threads is asked for that.
    found.extend(table.leaders());
    drop(table);
    let mut seen = HashSet::from([std::process::id()]);
    let mut below = Vec::new();
    while let Some(pid) = found.pop() {
        if !seen.insert(pid) {
            continue;
        }
        let (process, threads) = match stat::read_with_threads(pid) {
            Ok(Some(read)) => read,
            Ok(None) => continue,
            Err(error) if is_gone(&error) => continue,
            Err(error) => return Err(error),
        };
        below.push(process);
        match children_of(pid, threads) {
            Ok(children) => found.extend(children),
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(below))
}

/// The children of a process with so many threads, whichever of them they belong to.
fn children_of(pid: u32, threads: u64) -> io::Result<Vec<u32>> {
    if threads == 1 {
        return children_in(&format!("/proc/{pid}/task/{pid}/children"));
    }
    let mut children = Vec::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let name = thread?.file_name();
        match children_in(&format!("/proc/{pid}/task/{}/children", name.display())) {
            Ok(list) => children.extend(list),
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(children)
}

fn children_in(file: &str) -> io::Result<Vec<u32>> {
    let mut list = Vec::with_capacity(512);
    // What `take` hides from the standard library is that this is a file: it would ask for its length, which is 0.
    File::open(file)?.take(u64::MAX).read_to_end(&mut list)?;
    Ok(pids_in(&String::from_utf8_lossy(&list)).collect())
}

fn pids_in(list: &str) -> impl Iterator<Item = u32> {
    list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok())
}

/// Our children, adopted ones included. The kernel gives orphans to the first thread, and that one spawns, too. While
/// the lock is held none is reaped, and so none is skipped by the kernel's cursor.
pub(super) fn own_children(_table: &MutexGuard<'_, Table>) -> Option<Vec<u32>> {
    if !is_subreaper() {
        return None;
    }
    children_in(&format!("/proc/self/task/{}/children", std::process::id())).ok()
}

/// The kernel's soft limit of realtime processor time, set for as long as it lives to a number beyond any use that says
/// which run is being spawned. Limits are inherited through fork, exec, a new session and an emptied environment, they
/// cost nothing, and everybody may read them.
pub(super) struct Mark {
    before: Option<Rlimit>,
}

impl Mark {
    /// Where the hard limit forbids it, the environment's mark has to do.
    pub(super) fn set(run: RunTag) -> Self {
        let before = getrlimit(Resource::Rttime);
        let marked = limit_of(run).map(|limit| Rlimit {
            current: Some(limit),
            maximum: before.maximum,
        });
        let is_set = marked.is_some_and(|marked| setrlimit(Resource::Rttime, marked).is_ok());
        Self {
            before: is_set.then_some(before),
        }
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        if let Some(before) = self.before.take() {
            // Lowering or raising a soft limit below the hard one is never refused.
            let _ = setrlimit(Resource::Rttime, before);
        }
    }
}

/// Reads marks.
#[derive(Default)]
pub(super) struct Tags {
    buffer: Vec<u8>,
}

impl Tags {
    /// The run that a process belongs to: by its limit, else by the environment it was started with, else by its cgroup.
    pub(super) fn of(&mut self, pid: u32) -> Option<RunTag> {
        self.read(pid, "limits")
            .and_then(tag_in_limits)
            .or_else(|| self.read(pid, "environ").and_then(tag_in_environment))
            .or_else(|| self.read(pid, "cgroup").and_then(cgroup::tag_in_cgroup))
    }

    fn read(&mut self, pid: u32, file: &str) -> Option<&[u8]> {
        self.buffer.clear();
        File::open(format!("/proc/{pid}/{file}"))
            .ok()?
            .read_to_end(&mut self.buffer)
            .ok()?;
        Some(&self.buffer)
    }
}

/// Signals exactly this process. A pidfd holds on to it between the look and the signal.
pub(super) fn send(identity: Identity, signal: Signal) -> io::Result<()> {
    let pid = raw(identity.pid)?;
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => {
            is_same(identity)?;
            Ok(pidfd_send_signal(&pidfd, signal)?)
        }
        Err(Errno::SRCH) => Err(Errno::SRCH.into()),
        // An old kernel, a sandbox, no descriptor left: nothing is better than to look right before.
        Err(_) => {
            is_same(identity)?;
            Ok(kill_process(pid, signal)?)
        }
    }
}

/// Whether the end of a process is told: by a pidfd, which an old kernel or a sandbox may not give.
pub(super) fn tells_end_of(identity: Identity) -> bool {
    let opened = raw(identity.pid).map(|pid| pidfd_open(pid, PidfdFlags::empty()));
    matches!(opened, Ok(Ok(_) | Err(Errno::SRCH)))
}

/// Whether the process has ended within the limit.
pub(super) fn wait_gone(identity: Identity, limit: Duration) -> bool {
    let Ok(pidfd) = raw(identity.pid).and_then(|pid| Ok(pidfd_open(pid, PidfdFlags::empty())?)) else {
        return !is_alive(&identity);
    };
    if !is_alive(&identity) {
        return true;
    }
    let limit = Timespec::try_from(limit).ok();
    matches!(poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], limit.as_ref()), Ok(1..))
}

fn is_same(identity: Identity) -> io::Result<()> {
    if identity_of(identity.pid) == Some(identity) {
        Ok(())
    } else {
        Err(Errno::SRCH.into())
    }
}

fn look_at(pid: u32) -> Option<Process> {
    stat::read(pid).ok().flatten()
}

fn is_gone(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOENT | Errno::SRCH))
}

fn raw(pid: u32) -> io::Result<Pid> {
    i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(|| Errno::SRCH.into())
}

/// The highest byte of a limit that is a mark: about 200,000 years in microseconds, and still a positive `i64`.
const MARK: u64 = 0x58;

fn limit_of(run: RunTag) -> Option<u64> {
    (run.run < 1 << 24).then(|| MARK << 56 | u64::from(run.nonce) << 24 | u64::from(run.run))
}

fn tag_in_limits(limits: &[u8]) -> Option<RunTag> {
    let text = std::str::from_utf8(limits).ok()?;
    let (_, rest) = text.split_once("Max realtime timeout")?;
    let limit: u64 = rest.split_ascii_whitespace().next()?.parse().ok()?;
    let low = |bits: u64| u32::try_from(bits).ok();
    (limit >> 56 == MARK).then_some(RunTag {
        nonce: low(limit >> 24 & 0xffff_ffff)?,
        run: low(limit & 0xff_ffff)?,
    })
}

fn tag_in_environment(environment: &[u8]) -> Option<RunTag> {
    let value = environment.split(|byte| *byte == 0).find_map(|variable| {
        variable
            .strip_prefix(RUN_VARIABLE.as_bytes())
            .and_then(|rest| rest.strip_prefix(b"="))
    });
    std::str::from_utf8(value?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_survives_its_limit_and_ordinary_limits_are_no_mark() {
        for run in [
            RunTag { nonce: 0, run: 0 },
            RunTag {
                nonce: u32::MAX,
                run: (1 << 24) - 1,
            },
        ] {
            let line = format!(
                "Max realtime timeout      {}  unlimited            us        \n",
                limit_of(run).unwrap()
            );
            assert_eq!(tag_in_limits(line.as_bytes()), Some(run));
        }
        assert_eq!(limit_of(RunTag { nonce: 1, run: 1 << 24 }), None);
        assert_eq!(
            tag_in_limits(b"Max realtime timeout      unlimited  unlimited  us\n"),
            None
        );
        assert_eq!(tag_in_limits(b"Max realtime timeout      200000  200000  us\n"), None);
    }

    #[test]
    fn the_environment_tells_the_run_too() {
        let run = RunTag { nonce: 0xabc, run: 7 };
        let environment = format!("A=1\0XTASK_RUNNER=x\0XTASK_RUN={run}\0B=\0");
        assert_eq!(tag_in_environment(environment.as_bytes()), Some(run));
        assert_eq!(tag_in_environment(b"A=XTASK_RUN=1/1\0"), None);
    }
}
