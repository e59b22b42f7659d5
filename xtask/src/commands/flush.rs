//! `flush`: empties the log files. The supervisor that writes them does it; of a stopped stack nobody writes.

use super::workspace::Workspace;
use super::{logs, select, stacks};
use crate::cli::Some_;
use crate::ipc::protocol::Request;
use anyhow::{Context as _, Result};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;

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
        OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&input.path)
            .with_context(|| format!("failed to empty {}", input.path.display()))?;
    }
    Ok(0)
}
