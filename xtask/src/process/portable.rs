//! Systems other than Linux: `ps` and `lsof` instead of `/proc`, the environment alone as a mark, no subreaper.
//! Written for macOS and never run there; the parsers and the rest are tested on Linux, where these tools exist, too.
//!
//! What is weaker than on Linux: a process that left its parent, group and session and also cleared its environment is
//! not found; between a look at a pid and the signal to it the pid could be recycled.

mod lsof;
mod ps;

use std::collections::HashMap;
use std::io;
use std::sync::MutexGuard;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::children::{self, Table};
use super::footprint::Footprint;
use super::identity::{Identity, RUN_VARIABLE, RunTag};
use super::ports::{Holder, Listener};
use super::tree::Process;

pub(super) fn boot_id() -> String {
    capture("sysctl", &["-n", "kern.boottime"], &children::lock())
        .unwrap_or_default()
        .trim()
        .to_owned()
}

#[expect(clippy::unnecessary_wraps, reason = "the twin on Linux may fail")]
pub(super) fn become_subreaper() -> io::Result<()> {
    Ok(())
}

pub(super) fn is_subreaper() -> bool {
    false
}

pub(super) fn identity_of(pid: u32) -> Option<Identity> {
    look_at_unreaped(pid, &children::lock()).map(|process| process.identity)
}

pub(super) fn parent_of(pid: u32) -> Option<u32> {
    look_at(pid, &children::lock()).map(|process| process.parent)
}

/// Left to the system.
pub(super) fn release_code_pages() {}

/// Linux alone has cgroups.
pub(super) fn keep_cgroups() {}
pub(super) fn enter_cgroup(_: RunTag, _: Identity) {}
pub(super) fn leave_cgroup(_: RunTag) {}
pub(super) fn kill_cgroup(_: RunTag) {}
pub(super) fn remove_cgroups(_supervisor: u32) {}

pub(super) fn footprint(_pid: u32) -> io::Result<Footprint> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn look_at_unreaped(pid: u32, table: &MutexGuard<'_, Table>) -> Option<Process> {
    look_at(pid, table)
}

pub(super) fn is_alive(identity: &Identity) -> bool {
    look_at(identity.pid, &children::lock()).is_some_and(|process| process.identity == *identity && !process.zombie)
}

/// `ps` does not tell where a word ends: one with a space in it becomes two.
pub(super) fn arguments(pid: u32) -> Vec<String> {
    let pid = pid.to_string();
    let text = capture("ps", &["-ww", "-o", "command=", "-p", &pid], &children::lock()).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

pub(super) fn processes() -> io::Result<Vec<Process>> {
    let text = capture("ps", &["-axo", ps::COLUMNS], &children::lock())?;
    Ok(text.lines().filter_map(ps::parse_process).collect())
}

/// Nobody tells a process's children here.
#[expect(clippy::unnecessary_wraps, reason = "the twin on Linux may fail")]
pub(super) fn descendants() -> io::Result<Option<Vec<Process>>> {
    Ok(None)
}

/// Orphans go to pid 1 here.
pub(super) fn own_children(_table: &MutexGuard<'_, Table>) -> Option<Vec<u32>> {
    None
}

/// Nothing but the environment is inherited everywhere.
pub(super) struct Mark;

impl Mark {
    pub(super) fn set(_run: RunTag) -> Self {
        Self
    }
}

/// Reads marks: the environments of all processes at once, when the first is asked for.
#[derive(Default)]
pub(super) struct Tags {
    all: Option<HashMap<u32, RunTag>>,
}

impl Tags {
    pub(super) fn of(&mut self, pid: u32) -> Option<RunTag> {
        let all = self.all.get_or_insert_with(|| {
            let text = capture("ps", ENVIRONMENTS, &children::lock()).unwrap_or_default();
            text.lines()
                .filter_map(|line| ps::parse_tag(line, RUN_VARIABLE))
                .collect()
        });
        all.get(&pid).copied()
    }
}

/// Commands with their environments, as wide as they are.
const ENVIRONMENTS: &[&str] = if cfg!(target_os = "linux") {
    &["axeww", "-o", "pid=,command="]
} else {
    &["-axEww", "-o", "pid=,command="]
};

pub(super) fn send(identity: Identity, signal: Signal) -> io::Result<()> {
    let gone = || io::Error::from(rustix::io::Errno::SRCH);
    if identity_of(identity.pid) != Some(identity) {
        return Err(gone());
    }
    let pid = i32::try_from(identity.pid)
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(gone)?;
    Ok(kill_process(pid, signal)?)
}

/// Only the ends of children are told.
#[cfg_attr(target_os = "linux", expect(dead_code, reason = "its twin is in use"))]
pub(super) fn tells_end_of(_: Identity) -> bool {
    false
}

pub(super) fn wait_gone(identity: Identity, limit: Duration) -> bool {
    let deadline = crate::clock::monotonic() + limit;
    while is_alive(&identity) {
        let left = deadline.saturating_sub(crate::clock::monotonic());
        if left.is_zero() {
            return false;
        }
        // There is no portable way to wait for the end of somebody else's child.
        let pause = rustix::event::Timespec::try_from(left.min(Duration::from_millis(10))).ok();
        let _ = rustix::event::poll(&mut [], pause.as_ref());
    }
    true
}

pub(super) fn listening(members: &[u32]) -> io::Result<Vec<Listener>> {
    let sockets = lsof::parse(&list_sockets()?);
    let of_members = sockets.into_iter().filter(|socket| members.contains(&socket.pid));
    Ok(of_members
        .map(|socket| Listener {
            port: socket.port,
            address: socket.address,
            pid: socket.pid,
        })
        .collect())
}

pub(super) fn holders(ports: &[u16]) -> io::Result<Vec<Holder>> {
    let sockets = lsof::parse(&list_sockets()?);
    let wanted = sockets.into_iter().filter(|socket| ports.contains(&socket.port));
    Ok(wanted.map(|socket| holder(&socket)).collect())
}

fn holder(socket: &lsof::Socket) -> Holder {
    let table = children::lock();
    let pid = socket.pid.to_string();
    let command = capture("ps", &["-ww", "-o", "command=", "-p", &pid], &table).unwrap_or_default();
    let cwd = capture("lsof", &["-a", "-p", &pid, "-d", "cwd", "-Fn"], &table).unwrap_or_default();
    Holder {
        port: socket.port,
        address: socket.address,
        pid: Some(socket.pid),
        user: socket.user,
        command: command.trim().to_owned(),
        cwd: lsof::parse_directory(&cwd),
    }
}

fn list_sockets() -> io::Result<String> {
    capture("lsof", &["-nP", "-iTCP", "-sTCP:LISTEN", "-FpPtun"], &children::lock())
}

fn look_at(pid: u32, table: &MutexGuard<'_, Table>) -> Option<Process> {
    let text = capture("ps", &["-o", ps::COLUMNS, "-p", &pid.to_string()], table).ok()?;
    text.lines().find_map(ps::parse_process)
}

/// Runs a tool and returns what it wrote. The lock keeps the reaper from taking its status away; the tools end at once.
fn capture(program: &str, args: &[&str], _table: &MutexGuard<'_, Table>) -> io::Result<String> {
    let missing = |cause| {
        io::Error::new(
            io::ErrorKind::NotFound,
            format!("cannot run {program}: {cause}; install it"),
        )
    };
    let program = which::which(program).map_err(missing)?;
    // Dates must not depend on who asks; `lsof` fails when it found nothing, which is an answer, too.
    let expression = duct::cmd(program, args)
        .env("TZ", "UTC")
        .env("LC_ALL", "C")
        .stdin_null()
        .stderr_null();
    let output = expression.unchecked().stdout_capture().run()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn ps_shows_this_process_and_who_it_is_stays_the_same() {
        let me = identity_of(std::process::id()).unwrap();
        assert!(is_alive(&me));
        assert!(!is_alive(&Identity {
            start: me.start + 5,
            ..me
        }));
        let all = processes().unwrap();
        let mine = all.iter().find(|process| process.identity.pid == me.pid).unwrap();
        assert_eq!(mine.identity, me);
        assert!(mine.memory > 0);
        assert!(all.iter().any(|process| process.identity.pid == mine.parent));
        assert_eq!(parent_of(me.pid), Some(mine.parent));
        assert_eq!(Tags::default().of(me.pid), None);
        assert!(!wait_gone(me, Duration::ZERO));
        assert!(send(Identity { start: 1, ..me }, Signal::KILL).is_err());
    }

    #[test]
    fn ps_shows_the_words_of_a_command() {
        let mine: Vec<String> = std::env::args().collect();
        assert_eq!(
            arguments(std::process::id()),
            mine.join(" ").split(' ').collect::<Vec<_>>()
        );
        assert!(arguments(u32::MAX).is_empty());
    }

    #[test]
    fn lsof_shows_our_listener() {
        if which::which("lsof").is_err() {
            return; // not everywhere on Linux, part of macOS
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let pid = std::process::id();
        let expected = Listener {
            port: address.port(),
            address: address.ip(),
            pid,
        };
        assert!(listening(&[pid]).unwrap().contains(&expected));
        let holder = holders(&[address.port()]).unwrap().remove(0);
        assert_eq!((holder.pid, holder.cwd), (Some(pid), std::env::current_dir().ok()));
        assert!(!holder.command.is_empty());
    }

    #[test]
    fn what_linux_alone_can_do_is_not_claimed() {
        assert!(become_subreaper().is_ok() && !is_subreaper());
        assert_eq!(own_children(&children::lock()), None);
        assert_eq!(descendants().unwrap(), None);
        release_code_pages();
        let (run, me) = (RunTag { nonce: 1, run: 1 }, Identity { pid: 1, start: 0 });
        keep_cgroups();
        enter_cgroup(run, me);
        kill_cgroup(run);
        leave_cgroup(run);
        remove_cgroups(me.pid);
        assert_eq!(
            footprint(std::process::id()).unwrap_err().kind(),
            io::ErrorKind::Unsupported
        );
        let _mark = Mark::set(run);
        let _ = boot_id();
    }
}
