//! Other stacks of the user that are in the way of a new one: their ports and their ids.

use super::stacks::{self, Running};
use super::stop::stop_stack;
use super::workspace::Workspace;
use crate::plan::Plan;
use anyhow::{Result, bail};

/// The ids that the other stacks of the workspace use, after those in the way were stopped (`replace`) or refused.
pub(super) fn make_room(workspace: &Workspace, plan: &Plan, replace: bool) -> Result<Vec<u32>> {
    let mut taken = Vec::new();
    for other in stacks::running(workspace, None)? {
        let own = other.status.profile == plan.profile;
        if own && !replace {
            continue;
        }
        match conflict(&other, plan) {
            _ if own => stop(other)?,
            Some(_) if replace => stop(other)?,
            Some(conflict) => bail!(
                "{conflict}; stop it with `cargo xtask stop -p {}`, or take its place with --replace",
                other.status.profile
            ),
            None => taken.extend(other.status.services.iter().map(|service| service.id)),
        }
    }
    Ok(taken)
}

fn stop(stack: Running) -> Result<()> {
    anstream::eprintln!("stopping {}", stack.status.profile);
    stop_stack(stack, None)
}

/// A port that the plan needs and the other stack holds.
fn conflict(other: &Running, plan: &Plan) -> Option<String> {
    other.status.services.iter().find_map(|service| {
        let needs = |port: &u16| plan.services.iter().find(|own| own.ports.contains(port));
        let (port, own) = service.ports.iter().find_map(|port| Some((port, needs(port)?)))?;
        let pid = service.pid.map_or_else(String::new, |pid| format!(", pid {pid}"));
        Some(format!(
            "port {port}, which {} needs, is held by {} of profile {}{pid}",
            own.name, service.name, other.status.profile
        ))
    })
}
