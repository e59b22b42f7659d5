//! `start`: services that were stopped, and what they depend on.

use super::workspace::Workspace;
use super::{select, stacks};
use crate::cli::Named;
use crate::ipc::protocol::Request;
use anyhow::{Result, bail};

pub(super) fn run(workspace: &Workspace, args: &Named) -> Result<u8> {
    let mut running = stacks::running(workspace, args.profile.as_deref())?;
    if running.is_empty() {
        bail!("no stack is running; start one with `cargo xtask dev`");
    }
    let statuses: Vec<_> = running.iter().map(|running| &running.status).collect();
    let chosen = select::select_one(&statuses, &args.services)?;
    for (running, services) in running
        .iter_mut()
        .zip(chosen)
        .filter(|(_, services)| !services.is_empty())
    {
        let failures = running.connection.ask(Request::Start { services })?;
        if let Some(error) = stacks::failed(&failures) {
            return Err(error);
        }
    }
    Ok(0)
}
