//! `flush`: empties the log files, the rotated ones too. The supervisor that writes them does it; of a stopped stack nobody writes.

use super::workspace::Workspace;
use super::{logs, select, stacks};
use crate::cli::Some_;
use crate::ipc::protocol::Request;
use crate::log;
use anyhow::Result;

pub(super) fn run(workspace: &Workspace, args: &Some_) -> Result<u8> {
    let running = stacks::running(workspace, args.profile.as_deref())?;
    if running.is_empty() {
        return flush_stopped(workspace, args);
    }
    select::for_each_chosen(running, &args.services, |running, services| {
        running.connection.ask(Request::Flush { services })
    })?;
    Ok(0)
}

fn flush_stopped(workspace: &Workspace, args: &Some_) -> Result<u8> {
    let selection = logs::selection(workspace, args.profile.as_deref(), &args.services, &[])?;
    for input in selection.logs {
        log::empty(&input.path)?;
    }
    Ok(0)
}
