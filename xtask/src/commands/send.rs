//! `send`: a line to the stdin of services.

use super::workspace::Workspace;
use super::{select, stacks};
use crate::cli::Send;
use crate::ipc::protocol::Request;
use anyhow::Result;

pub(super) fn run(workspace: &Workspace, args: &Send) -> Result<u8> {
    let running = stacks::running_or_error(workspace, args.profile.as_deref())?;
    let patterns = [args.service.clone()];
    select::for_each_chosen(running, &patterns, |running, services| {
        let text = args.text.clone();
        running.connection.ask(Request::Send { services, text })
    })?;
    Ok(0)
}
