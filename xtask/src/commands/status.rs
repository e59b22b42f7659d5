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
    let shown: Vec<String> = stacks.iter().map(|stack| stack.profile.clone()).collect();
    let remains = remains(workspace, args.profile.as_ref(), &shown)?;
    match (stacks.is_empty(), silent.is_empty()) {
        // Nothing is known: an empty list would say that none runs.
        (true, false) => {}
        _ if args.json => ui::print(&json(stacks)?)?,
        (true, true) if remains.is_empty() => {
            ui::tell(&stacks::none_runs_yet(args.profile.as_deref()));
        }
        (true, true) => {}
        (false, _) => ui::print(&ui::table::render(&stacks, ui::width()))?,
    }
    remains.iter().for_each(|text| ui::tell(&format!("warning: {text}")));
    stacks::unanswered(&silent).map_or(Ok(0), Err)
}

/// What may still be there of stacks that are not shown.
fn remains(workspace: &Workspace, asked: Option<&String>, shown: &[String]) -> Result<Vec<String>> {
    let mut remains = Vec::new();
    for profile in workspace.known_profiles() {
        if !shown.contains(&profile) && asked.is_none_or(|asked| *asked == profile) {
            remains.extend(stacks::remains(&workspace.stack(&profile)?)?);
        }
    }
    Ok(remains)
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
