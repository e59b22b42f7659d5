//! `signal`: to the process groups of services, for whatever it means to them.

use super::workspace::Workspace;
use super::{select, stacks};
use crate::cli::Signal;
use crate::ipc::protocol::Request;
use anyhow::Result;

pub(super) fn run(workspace: &Workspace, args: &Signal) -> Result<u8> {
    let running = stacks::running_or_error(workspace, args.profile.as_deref())?;
    let signal = args.signal;
    select::for_each_chosen(running, &args.services, |running, services| {
        running.connection.ask(Request::Signal { services, signal })
    })?;
    Ok(0)
}
