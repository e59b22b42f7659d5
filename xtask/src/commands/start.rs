//! `start`: services that were stopped, after their builds, and what they depend on.

use super::workspace::Workspace;
use super::{restart, select, stacks};
use crate::cli::Named;
use crate::ipc::protocol::Request;
use anyhow::Result;

pub(super) fn run(workspace: &Workspace, args: &Named) -> Result<u8> {
    let running = stacks::running_or_error(workspace, args.profile.as_deref())?;
    select::for_each_chosen(running, &args.services, |running, services| {
        let down = |name: &&String| {
            let service = running.status.services.iter().find(|service| service.name == **name);
            service.is_some_and(|service| ["stopped", "errored"].contains(&service.status.as_str()))
        };
        let down: Vec<String> = services.iter().filter(down).cloned().collect();
        if !down.is_empty() {
            let invocation = restart::started_with(&mut running.connection)?;
            let plan = workspace.plan(Some(&running.status.profile), &invocation)?;
            restart::build(workspace, &plan, &down, &invocation)?;
        }
        running.connection.ask(Request::Start { services })
    })?;
    Ok(0)
}
