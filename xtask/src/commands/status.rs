//! `status`: the process table of every running stack.

use super::stacks;
use super::workspace::Workspace;
use crate::cli::Status;
use crate::ipc::protocol::Stack;
use crate::ui;
use anyhow::Result;

pub(super) fn run(workspace: &Workspace, args: &Status) -> Result<u8> {
    let running = stacks::running(workspace, args.profile.as_deref())?;
    let stacks: Vec<Stack> = running.into_iter().map(|running| running.status).collect();
    if args.json {
        ui::print(&json(stacks)?)?;
    } else if stacks.is_empty() {
        anstream::eprintln!("no stack is running; `cargo xtask dev` starts one");
    } else {
        ui::print(&ui::table::render(&stacks))?;
    }
    Ok(0)
}

/// The table as JSON, one line.
pub(super) fn json(stacks: Vec<Stack>) -> Result<String> {
    let stacks: Vec<Stack> = stacks.into_iter().map(|stack| Stack { dir: None, ..stack }).collect();
    Ok(serde_json::to_string(&serde_json::json!({ "stacks": stacks }))? + "\n")
}
