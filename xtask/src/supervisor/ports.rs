//! Whose ports they are: who holds one before a launch, and whether a run's ports are its own after it.
//! Who listens is looked up each time; nothing is bound to find out.

use super::message::Message;
use super::{State, Supervisor, send};
use crate::clock::Now;
use crate::fleet::{Member, ServiceId};
use crate::lifecycle::{Event, HELD, State as LifeState};
use crate::log::escape;
use crate::process::{self, Holder, Identity, TreeRoot};
use std::path::Path;

/// The most characters of a holder's command line that are shown.
const COMMAND_SHOWN: usize = 120;

impl Supervisor {
    /// Who holds one of these ports, and what to do about it; `None` when all are free. The end of the holder will be told,
    /// where the system tells it.
    pub(super) fn held(&mut self, ports: &[u16]) -> Option<String> {
        let (holder, text) = held(ports)?;
        if let Some(identity) = holder.pid.and_then(process::identity_of)
            && !self.holders.contains(&identity)
        {
            let sender = self.sender.clone();
            if process::on_end(identity, move || send(&sender, Message::HolderGone(identity))) {
                self.holders.insert(identity);
            }
        }
        Some(text)
    }

    /// Whoever is blocked looks again.
    pub(super) fn holder_gone(&mut self, holder: Identity, now: Now) {
        self.holders.remove(&holder);
        let blocked = |member: &Member| matches!(member.service.state, LifeState::Blocked { .. });
        let ids: Vec<ServiceId> = self
            .fleet
            .members()
            .filter(|(_, member)| blocked(member))
            .map(|(id, _)| id)
            .collect();
        for id in ids {
            self.happen(id, Event::PortsFreed, now);
        }
    }
}

fn held(ports: &[u16]) -> Option<(Holder, String)> {
    if ports.is_empty() {
        return None;
    }
    // A system that cannot say who listens must not keep a service down: the service itself will find out.
    let holder = process::holders(ports).ok()?.into_iter().next()?;
    let stack = holder.pid.and_then(stack_of);
    let advice = match (&stack, holder.pid) {
        (Some(stack), _) if stack.is_mine => "; give one of the two another port".to_owned(),
        (Some(stack), _) => format!(
            "; stop it with `cargo xtask stop -p {}` there, or take its place with `cargo xtask dev --replace`",
            stack.profile
        ),
        (None, Some(pid)) => format!("; end it (`kill {pid}`), and the service starts by itself"),
        (None, None) => "; end it, and the service starts by itself".to_owned(),
    };
    let text = format!(
        "port {} is held by {}{advice}",
        holder.port,
        describe(&holder, stack.as_ref())
    );
    Some((holder, text))
}

/// Whether the ports are the run's own: nobody else listens on them and, with `all`, the run listens on each.
///
/// # Errors
/// Whose they are, or which one is silent.
pub(super) fn are_own(ports: &[u16], root: TreeRoot, all: bool) -> Result<(), String> {
    if ports.is_empty() {
        return Ok(());
    }
    let holders = process::holders(ports).map_err(|error| format!("failed to look at the ports: {error}"))?;
    // While nobody listens yet, which is asked often, all processes need not be looked at.
    let own = if holders.is_empty() { Vec::new() } else { members(root)? };
    let is_own = |holder: &Holder| holder.pid.is_some_and(|pid| own.contains(&pid));
    if let Some(other) = holders.iter().find(|holder| !is_own(holder)) {
        let beside = if holders.iter().any(|holder| holder.port == other.port && is_own(holder)) {
            "also "
        } else {
            ""
        };
        let stack = other.pid.and_then(stack_of);
        return Err(format!(
            "port {} is {beside}{HELD}{}",
            other.port,
            describe(other, stack.as_ref())
        ));
    }
    let silent = ports
        .iter()
        .find(|port| !holders.iter().any(|holder| holder.port == **port));
    match silent {
        Some(port) if all => Err(format!("nothing listens on port {port} yet")),
        Some(_) | None => Ok(()),
    }
}

/// Whether a port that a service is asked at is one of the stack's own, as far as the system tells who listens there. Somebody whom it
/// does not tell may well be the service's own doing: a container's port is held by its engine.
///
/// # Errors
/// Whose it is.
pub(super) fn is_no_strangers(port: u16) -> Result<(), String> {
    let holders = process::holders(&[port]).map_err(|error| format!("failed to look at the ports: {error}"))?;
    let Some(other) = holders.first() else { return Ok(()) };
    let snapshot = process::snapshot().map_err(|error| format!("failed to look at the processes: {error}"))?;
    let is_below = |pid| {
        snapshot
            .lineage(pid)
            .iter()
            .any(|process| process.identity.pid == std::process::id())
    };
    if holders.iter().any(|holder| holder.pid.is_none_or(is_below)) {
        return Ok(());
    }
    let stack = other.pid.and_then(stack_of);
    Err(format!("port {port} is {HELD}{}", describe(other, stack.as_ref())))
}

/// The pids of a run.
fn members(root: TreeRoot) -> Result<Vec<u32>, String> {
    let snapshot = process::snapshot().map_err(|error| format!("failed to look at the processes: {error}"))?;
    let members = snapshot.members(&[root]);
    Ok(members
        .into_iter()
        .flatten()
        .map(|process| process.identity.pid)
        .collect())
}

/// One of our own stacks, to which a process belongs.
struct Stack {
    is_mine: bool,
    /// In words: which service, profile and workspace.
    text: String,
    profile: String,
}

/// The stack that a process belongs to: its nearest ancestor that is a supervisor has written down what it runs.
fn stack_of(pid: u32) -> Option<Stack> {
    let snapshot = process::snapshot().ok()?;
    let lineage = snapshot.lineage(pid);
    lineage.iter().find_map(|ancestor| {
        let arguments = process::arguments(ancestor.identity.pid);
        let [_, verb, state_dir, profile, ..] = arguments.as_slice() else {
            return None;
        };
        if verb != "supervisor" {
            return None;
        }
        let state = State::read(&Path::new(state_dir).join(profile).join(crate::paths::STATE_FILE))
            .filter(|state| state.supervisor == ancestor.identity)?;
        let leads = |pid: u32| lineage.iter().any(|process| process.identity.pid == pid);
        let service = state.services.iter().find(|service| leads(service.leader.pid));
        let service = service.map_or_else(String::new, |service| format!("service {} of ", service.name));
        let is_mine = ancestor.identity.pid == std::process::id();
        let place = if is_mine {
            "this stack".to_owned()
        } else {
            format!("profile {profile} in {}", state.workspace.display())
        };
        Some(Stack {
            is_mine,
            text: service + &place,
            profile: profile.clone(),
        })
    })
}

/// Pid, command, directory and, if it is ours, the stack.
fn describe(holder: &Holder, stack: Option<&Stack>) -> String {
    let Some(pid) = holder.pid else {
        return "a process of another user".to_owned();
    };
    // A script on the command line has lines.
    let whole = escape::printable(&holder.command.replace(['\n', '\t'], " "));
    let mut command: String = whole.chars().take(COMMAND_SHOWN).collect();
    if command.len() < whole.len() {
        command.push('…');
    }
    let place = holder.cwd.as_ref().map_or_else(String::new, |cwd| {
        format!(" in {}", escape::printable(&cwd.to_string_lossy()))
    });
    let stack = stack.map_or_else(String::new, |stack| format!(", {}", stack.text));
    format!("pid {pid} ({command}){place}{stack}")
}
