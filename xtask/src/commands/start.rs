//! `start`: services that were stopped, after their builds, and what they depend on.

use super::stacks::Running;
use super::workspace::Workspace;
use super::{known, restart, select, stacks};
use crate::cli::Named;
use crate::clock;
use crate::ipc::protocol::{Details, Request};
use crate::plan::ServicePlan;
use crate::tasks::interrupt::Interrupts;
use anyhow::Result;

pub(super) fn run(workspace: &Workspace, args: &Named) -> Result<u8> {
    let running = stacks::running_or_error(workspace, args.profile.as_deref())?;
    select::refuse_new(workspace, &running, &args.services)?;
    let interrupts = Interrupts::listen(|| {})?;
    select::for_each_chosen(running, &args.services, |running, services| {
        let present = known::details(running, all(running))?;
        let starting: Vec<&ServicePlan> = with_dependencies(&services, &present)
            .into_iter()
            .filter(|details| is_down(running, &details.plan.name))
            .filter(|details| services.contains(&details.plan.name) || !has_completed(details))
            .map(|details| &details.plan)
            .collect();
        let build_began = Some(clock::monotonic());
        if starting.iter().any(|plan| !plan.builds.is_empty()) {
            let names: Vec<String> = starting.iter().map(|plan| plan.name.clone()).collect();
            let invocation = restart::started_with(&mut running.connection)?;
            let plan = workspace.plan(Some(&running.status.profile), &invocation)?;
            restart::build(workspace, &plan, &names, &invocation, &interrupts)?;
        }
        running.connection.ask(Request::Start { services, build_began })
    })?;
    Ok(0)
}

fn all(running: &Running) -> Vec<String> {
    let services = running.status.services.iter();
    services.map(|service| service.name.clone()).collect()
}

fn is_down(running: &Running, name: &str) -> bool {
    let service = running.status.services.iter().find(|service| service.name == name);
    service.is_some_and(|service| ["stopped", "errored"].contains(&service.status.as_str()))
}

/// A one-shot that has done its work is not run again for those that depend on it.
fn has_completed(details: &Details) -> bool {
    let by_itself = details.past.last().filter(|run| run.ended_by.is_none());
    let last = by_itself.and_then(|run| run.exit.code);
    details.wanted && last.is_some_and(|code| details.plan.policy.is_success(code))
}

/// The services of these names and what they depend on, directly or not.
fn with_dependencies<'a>(names: &[String], present: &'a [Details]) -> Vec<&'a Details> {
    let find = |name: &String| present.iter().find(|details| details.plan.name == *name);
    let mut found: Vec<&Details> = names.iter().filter_map(find).collect();
    let mut at = 0;
    while let Some(details) = found.get(at).copied() {
        at += 1;
        for dependency in &details.plan.depends_on {
            let is_new = |found: &[&Details]| found.iter().all(|other| other.plan.name != dependency.name);
            found.extend(find(&dependency.name).filter(|_| is_new(&found)));
        }
    }
    found
}
