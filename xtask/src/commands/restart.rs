//! `restart`: services by the present `dev.toml`, with the environment that `dev` was run with.

use super::workspace::{Workspace, invocation};
use super::{select, stacks};
use crate::cli::Restart;
use crate::ipc::client::Connection;
use crate::ipc::protocol::{Reply, Request};
use crate::plan::{Invocation, Plan};
use crate::tasks::interrupt::Interrupts;
use crate::{clock, tasks};
use anyhow::{Result, bail};

pub(super) fn run(workspace: &Workspace, args: &Restart) -> Result<u8> {
    let running = stacks::running_or_error(workspace, args.profile.as_deref())?;
    select::refuse_new(workspace, &running, &args.services)?;
    let interrupts = Interrupts::listen(|| {})?;
    select::for_each_chosen(running, &args.services, |running, services| {
        let known = started_with(&mut running.connection)?;
        let invocation = if args.update_env {
            invocation(known.options.clone())
        } else {
            known
        };
        let plan = workspace.plan(Some(&running.status.profile), &invocation)?;
        let services = remaining(services, &plan, &args.services)?;
        let build_began = Some(clock::monotonic());
        build(workspace, &plan, &services, &invocation, &interrupts)?;
        let (plan, invocation) = (Box::new(plan), Box::new(invocation));
        running.connection.ask(Request::Restart {
            services,
            plan,
            invocation,
            build_began,
        })
    })?;
    Ok(0)
}

/// The services that are still in the plan. One that was named and is not cannot be restarted by the present `dev.toml`.
fn remaining(services: Vec<String>, plan: &Plan, named: &[String]) -> Result<Vec<String>> {
    let (remaining, gone): (Vec<String>, Vec<String>) = services
        .into_iter()
        .partition(|name| plan.services.iter().any(|service| service.name == *name));
    if gone.is_empty() {
        return Ok(remaining);
    }
    let text = format!(
        "{}: no longer in profile {}; `cargo xtask dev` stops what is gone and starts what is new",
        gone.join(", "),
        plan.profile
    );
    if !named.is_empty() && !named.contains(&"all".to_owned()) {
        bail!(text);
    }
    crate::ui::tell(&format!("warning: {text}"));
    Ok(remaining)
}

/// Runs the builds of these services, each once.
pub(super) fn build(
    workspace: &Workspace,
    plan: &Plan,
    services: &[String],
    invocation: &Invocation,
    interrupts: &Interrupts,
) -> Result<()> {
    let mut builds = Vec::new();
    let chosen = plan.services.iter().filter(|plan| services.contains(&plan.name));
    for build in chosen.flat_map(|plan| &plan.builds) {
        if !builds.contains(build) {
            builds.push(build.clone());
        }
    }
    tasks::build::run(&builds, &invocation.shell, &workspace.place(), interrupts)
}

/// What the stack was started with.
pub(super) fn started_with(connection: &mut Connection) -> Result<Invocation> {
    connection.send(Request::Invocation)?;
    match connection.receive()? {
        Reply::Invocation(invocation) => Ok(*invocation),
        other => Err(stacks::unexpected(&other)),
    }
}
