//! `flush`: empties the log files, the rotated ones too. The supervisor that writes them does it; of a stopped stack nobody writes.

use super::workspace::Workspace;
use super::{logs, select, stacks};
use crate::cli::Some_;
use crate::ipc::protocol::Request;
use crate::log;
use anyhow::{Result, ensure};

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
    let selection = logs::selection(
        workspace,
        args.profile.as_deref(),
        &args.services,
        &[],
        &crate::ui::tell,
    )?;
    // One that cannot be emptied keeps no other from it.
    let failed = selection.logs.iter().filter_map(|input| log::empty(&input.path).err());
    let failed: Vec<String> = failed.map(|error| error.to_string()).collect();
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(0)
}
