//! `start`: services that were stopped, and what they depend on.

use super::workspace::Workspace;
use super::{select, stacks};
use crate::cli::Named;
use crate::ipc::protocol::Request;
use anyhow::Result;

pub(super) fn run(workspace: &Workspace, args: &Named) -> Result<u8> {
    let running = stacks::running_or_error(workspace, args.profile.as_deref())?;
    select::for_each_chosen(running, &args.services, |running, services| {
        running.connection.ask(Request::Start { services })
    })?;
    Ok(0)
}
