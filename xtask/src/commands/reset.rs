//! `reset`: the restart counters are zero again.

use super::workspace::Workspace;
use super::{select, stacks};
use crate::cli::Some_;
use crate::ipc::protocol::Request;
use anyhow::Result;

pub(super) fn run(workspace: &Workspace, args: &Some_) -> Result<u8> {
    let running = stacks::running_or_error(workspace, args.profile.as_deref())?;
    select::for_each_chosen(running, &args.services, |running, services| {
        running.connection.ask(Request::Reset { services })
    })?;
    Ok(0)
}
