//! Other stacks of the user that are in the way of a new one: their ports and their ids.

use super::stacks::{self, Running};
use super::stop::stop_stack;
use crate::paths::StackPaths;
use crate::plan::Plan;
use anyhow::{Result, bail};
use std::path::Path;

/// The ids that the other stacks of the workspace use, after those in the way were stopped (`replace`) or refused.
pub(super) fn make_room(paths: &StackPaths, plan: &Plan, replace: bool) -> Result<Vec<u32>> {
    let mut taken = Vec::new();
    for other in stacks::running_anywhere(paths)? {
        let own = other.paths.dir == paths.dir;
        match conflict(&other, plan) {
            _ if own && !replace => {}
            _ if own => stop(other)?,
            Some(_) if replace => stop(other)?,
            Some(conflict) => {
                let place = other
                    .paths
                    .dir
                    .parent()
                    .and_then(Path::parent)
                    .unwrap_or(Path::new("/"));
                let there = if other.paths.dir.parent() == paths.dir.parent() {
                    String::new()
                } else {
                    format!(" in {}", place.display())
                };
                bail!(
                    "{conflict}{there}; stop it with `cargo xtask stop -p {}`{there}, or take its place with --replace",
                    other.status.profile
                );
            }
            None if other.paths.dir.parent() == paths.dir.parent() => {
                taken.extend(other.status.services.iter().map(|service| service.id));
            }
            None => {}
        }
    }
    Ok(taken)
}

fn stop(stack: Running) -> Result<()> {
    crate::ui::tell(&format!("stopping {}", stack.status.profile));
    stop_stack(stack)
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
