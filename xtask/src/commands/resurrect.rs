//! `resurrect`: starts the saved stacks that are not running.

use super::starter::{self, Reached};
use super::workspace::{Workspace, invocation};
use super::{foreground, replace, save, stacks};
use crate::boot::saved::{Saved, SavedStack};
use crate::cli::Resurrect;
use crate::fleet::Goal;
use crate::ipc::protocol::{Lease, Up};
use crate::plan::Plan;
use crate::tasks::interrupt::{Interrupted, Interrupts};
use crate::{clock, service_manager, tasks, ui};
use anyhow::{Context as _, Result};

pub(super) fn run(workspace: &Workspace, args: &Resurrect) -> Result<u8> {
    let saved = save::read(&workspace.state_dir)?;
    if args.foreground {
        return foreground::run(workspace, &saved);
    }
    let interrupts = Interrupts::listen(|| {})?;
    let failures = each(&saved, |stack| {
        let name = &stack.profile;
        if is_running(workspace, stack)? {
            return ui::print(&format!("{name} is running already\n"));
        }
        let (mut reached, _) = start(workspace, stack, Lease::Release, Goal::Launched, &interrupts)?;
        let failures = reached.connection.done()?;
        ui::print(&format!("started {name}\n"))?;
        stacks::failed(&failures).map_or(Ok(()), Err)
    })?;
    if saved.stacks.is_empty() {
        ui::tell("it was saved that no stack runs");
    }
    failures.map_or(Ok(0), Err)
}

/// Does the same for every stack; one that fails does not keep the others down.
fn each(saved: &Saved, act: impl Fn(&SavedStack) -> Result<()>) -> Result<Option<anyhow::Error>> {
    let mut lines = Vec::new();
    for stack in &saved.stacks {
        match act(stack) {
            Ok(()) => {}
            Err(error) if error.is::<Interrupted>() => return Err(error),
            Err(error) => {
                let text = format!("{error:#}");
                lines.extend(text.lines().map(|line| format!("{}: {line}", stack.profile)));
            }
        }
    }
    Ok((!lines.is_empty()).then(|| anyhow::anyhow!(lines.join("\n"))))
}

/// Whether the stack's supervisor answers.
pub(super) fn is_running(workspace: &Workspace, stack: &SavedStack) -> Result<bool> {
    let running = stacks::running(workspace, Some(&stack.profile))?;
    Ok(!running.is_empty())
}

/// Starts a saved stack by the present `dev.toml`; it says `Done` when it has reached `goal`.
pub(super) fn start(
    workspace: &Workspace,
    stack: &SavedStack,
    lease: Lease,
    goal: Goal,
    interrupts: &Interrupts,
) -> Result<(Reached<()>, Plan)> {
    let mut invocation = invocation(stack.options());
    for name in service_manager::VARIABLES {
        invocation.shell.remove(name);
    }
    let plan = workspace.plan(Some(&stack.profile), &invocation)?;
    let paths = workspace.stack(&plan.profile)?;
    let taken_ids = replace::make_room(&paths, &plan, false)?;
    let build_began = Some(clock::monotonic());
    tasks::build::run(&plan.builds, &invocation.shell, &workspace.place(), interrupts)?;
    let up = Up {
        plan: plan.clone(),
        invocation,
        taken_ids,
        lease,
        goal,
        timeout: None,
        build_began,
    };
    let reached = starter::bring_up(&paths, up, None, || Ok(())).context("failed to start the stack")?;
    Ok((reached, plan))
}
