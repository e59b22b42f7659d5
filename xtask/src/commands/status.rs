//! `status`: the process table of every running stack.

use super::stacks::{self, Look};
use super::workspace::Workspace;
use crate::cli::Status;
use crate::ipc::protocol::Stack;
use crate::ui;
use anyhow::Result;

pub(super) fn run(workspace: &Workspace, args: &Status) -> Result<u8> {
    let (running, silent) = stacks::answering(workspace, args.profile.as_deref(), Look::Measured)?;
    let stacks: Vec<Stack> = running.into_iter().map(|running| running.status).collect();
    match (stacks.is_empty(), silent.is_empty()) {
        // Nothing is known: an empty list would say that none runs.
        (true, false) => {}
        _ if args.json => ui::print(&json(stacks)?)?,
        (true, true) => anstream::eprintln!("{}", stacks::none_runs_yet(args.profile.as_deref())),
        (false, _) => ui::print(&ui::table::render(&stacks))?,
    }
    stacks::unanswered(&silent).map_or(Ok(0), Err)
}

/// The table as JSON, one line.
pub(super) fn json(mut stacks: Vec<Stack>) -> Result<String> {
    for stack in &mut stacks {
        stack.dir = None;
        for service in &mut stack.services {
            service.log_date_format = None;
        }
    }
    Ok(serde_json::to_string(&serde_json::json!({ "stacks": stacks }))? + "\n")
}
