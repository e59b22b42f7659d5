//! Sends signals to whole trees, and to nobody else: a recycled pid is never hit.
//! It waits for nothing but, where asked, the end of given processes; when to signal whom is told to it.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::iter;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process};

use super::children;
use super::identity::{Identity, is_alive};
use super::os;
use super::tree::{Process, Snapshot, TreeRoot, snapshot};

/// A process that a signal could not be sent to.
#[derive(Debug)]
pub struct Survivor {
    /// Who it is.
    pub identity: Identity,
    /// Name of its program.
    pub name: String,
    /// The system's answer, as a rule that it is another user's.
    pub cause: io::Error,
}

/// What a kill has done.
#[derive(Debug, Default)]
pub struct Killed {
    /// Sent SIGKILL. One in an uninterruptible call dies only when that ends.
    pub signalled: Vec<Process>,
    /// Could not be killed.
    pub survivors: Vec<Survivor>,
}

impl Killed {
    /// Who was sent SIGKILL.
    pub fn identities(&self) -> Vec<Identity> {
        self.signalled.iter().map(|process| process.identity).collect()
    }
}

impl fmt::Display for Survivor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pid {} ({}): {}", self.identity.pid, self.name, self.cause)
    }
}

/// The system's signal for one of `dev.toml`.
pub fn signal_of(signal: crate::config::Signal) -> Signal {
    use crate::config::Signal as Named;
    match signal {
        Named::Hup => Signal::HUP,
        Named::Int => Signal::INT,
        Named::Quit => Signal::QUIT,
        Named::Abrt => Signal::ABORT,
        Named::Kill => Signal::KILL,
        Named::Usr1 => Signal::USR1,
        Named::Usr2 => Signal::USR2,
        Named::Pipe => Signal::PIPE,
        Named::Alrm => Signal::ALARM,
        Named::Term => Signal::TERM,
        Named::Cont => Signal::CONT,
        Named::Stop => Signal::STOP,
        Named::Tstp => Signal::TSTP,
        Named::Winch => Signal::WINCH,
    }
}

/// Sends a signal to each of the members once: in one go to the leader's group while the leader holds its pid, and one
/// by one to the others. SIGKILL goes to each one as well, in case it has just left the group. Returns those that
/// could not be signalled; one that is gone is none of them.
pub fn signal_tree(members: &[&Process], leader: Identity, signal: Signal) -> Vec<Survivor> {
    let grouped = send_to_group(leader, signal).is_some();
    let mut refused = Vec::new();
    for process in members {
        let answer = if grouped && process.group == leader.pid && signal != Signal::KILL {
            // A group's signal succeeds when it reached a single one.
            raw(process.identity.pid).map_or(Ok(()), |pid| Ok(test_kill_process(pid)?))
        } else {
            os::send(process.identity, signal)
        };
        refused.extend(refusal(process, answer));
    }
    refused
}

/// Kills the trees of these runs: SIGKILL, and look again, until a look finds nothing new. What was signalled may take a
/// moment to die; what is left then is found by [`Snapshot::members`].
///
/// # Errors
/// See [`snapshot`].
pub fn kill_tree(roots: &[TreeRoot]) -> io::Result<Killed> {
    roots.iter().for_each(|root| os::kill_cgroup(root.run));
    kill_all(roots, |snapshot| {
        snapshot.members(roots).into_iter().flatten().collect()
    })
}

/// Asks exactly this process to end.
///
/// # Errors
/// When it has ended, or refuses to be told.
pub fn ask_to_end(process: Identity) -> io::Result<()> {
    os::send(process, Signal::TERM)
}

/// Kills everything below this process: what a keeper does when its supervisor has ended.
///
/// # Errors
/// See [`snapshot`].
pub fn kill_descendants() -> io::Result<Killed> {
    kill_all(&[], |snapshot| snapshot.descendants_of(std::process::id()))
}

/// Sends a signal to a process and to everything that is below it now; to nobody when it has ended.
///
/// # Errors
/// See [`snapshot`].
pub fn signal_below(root: Identity, signal: Signal) -> io::Result<()> {
    let snapshot = snapshot()?;
    // After the look: whoever had its pid then was itself.
    if !is_alive(&root) {
        return Ok(());
    }
    let below = snapshot.descendants_of(root.pid);
    for identity in iter::once(root).chain(below.iter().map(|process| process.identity)) {
        // One that refuses it is left to whoever asked.
        let _ = os::send(identity, signal);
    }
    Ok(())
}

/// Kills everything that carries the mark of this supervisor, see [`Snapshot::tagged`].
///
/// # Errors
/// See [`snapshot`].
pub fn kill_tagged(nonce: u32) -> io::Result<Killed> {
    kill_all(&[], |snapshot| snapshot.tagged(nonce))
}

/// Removes the cgroups of a supervisor with this pid that has ended, as far as they are empty.
pub fn remove_cgroups(supervisor: u32) {
    os::remove_cgroups(supervisor);
}

/// Waits until all of these have ended (zombies have), at most for `limit`; returns those that have not.
pub fn wait_gone(identities: &[Identity], limit: Duration) -> Vec<Identity> {
    let deadline = crate::clock::monotonic() + limit;
    let left = || deadline.saturating_sub(crate::clock::monotonic());
    identities
        .iter()
        .copied()
        .filter(|identity| !os::wait_gone(*identity, left()))
        .collect()
}

/// Calls `then`, on a thread of its own, when a process of anybody has ended; `false` where the system does not tell that.
pub fn on_end(identity: Identity, then: impl FnOnce() + Send + 'static) -> bool {
    /// Longer than any process runs.
    const FOR_EVER: Duration = Duration::from_secs(1 << 32);
    let wait = move || {
        while !os::wait_gone(identity, FOR_EVER) {}
        then();
    };
    // Where it cannot be waited for, each wait would end at once.
    os::tells_end_of(identity)
        && std::thread::Builder::new()
            .name("holder".to_owned())
            .spawn(wait)
            .is_ok()
}

/// More than any tree needs: a process that has SIGKILL cannot fork any more, so that each look finds at most what was
/// born during the one before. Only what we may not kill can go on for longer.
const ROUNDS: usize = 64;

fn kill_all(roots: &[TreeRoot], find: impl Fn(&Snapshot) -> Vec<&Process>) -> io::Result<Killed> {
    let mut seen = HashSet::new();
    let mut killed = Killed::default();
    for _ in 0..ROUNDS {
        let snapshot = snapshot()?;
        let fresh: Vec<&Process> = find(&snapshot)
            .into_iter()
            .filter(|process| seen.insert(process.identity))
            .collect();
        if fresh.is_empty() {
            break;
        }
        for root in roots {
            let _ = send_to_group(root.leader, Signal::KILL);
        }
        for process in fresh {
            match refusal(process, os::send(process.identity, Signal::KILL)) {
                Some(survivor) => killed.survivors.push(survivor),
                None => killed.signalled.push(process.clone()),
            }
        }
    }
    Ok(killed)
}

/// Signals the group of a leader that is not yet reaped; `None` when it is, because the number of the group may be
/// somebody else's by then. The lock keeps the reaper from reaping it meanwhile.
pub(super) fn send_to_group(leader: Identity, signal: Signal) -> Option<io::Result<()>> {
    let table = children::lock();
    let pid = raw(leader.pid).filter(|_| table.is_unreaped(leader))?;
    Some(kill_process_group(pid, signal).map_err(Into::into))
}

/// Sends a signal that a user chose to the group of a run's leader.
///
/// # Errors
/// The leader is gone, no such signal, or the system's refusal: in words.
pub fn signal_group(leader: Identity, signal: i32) -> Result<(), String> {
    let signal = Signal::from_named_raw(signal).ok_or_else(|| format!("there is no signal {signal} here"))?;
    match send_to_group(leader, signal) {
        Some(sent) => sent.map_err(|error| format!("failed to signal its group: {error}")),
        None => Err("its first process is gone, and what is left of it is being ended".to_owned()),
    }
}

fn refusal(process: &Process, answer: io::Result<()>) -> Option<Survivor> {
    let cause = answer
        .err()
        .filter(|cause| cause.raw_os_error() != Some(rustix::io::Errno::SRCH.raw_os_error()))?;
    Some(Survivor {
        identity: process.identity,
        name: process.name.clone(),
        cause,
    })
}

fn raw(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}
