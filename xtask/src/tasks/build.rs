//! Runs tasks of `dev.toml` one after the other, their output on the terminal; what is fresh is skipped.

use super::fresh::{self, Look, Place};
use super::guard::Guard;
use super::interrupt::Interrupts;
use crate::lifecycle::Exit;
use crate::plan::{TaskPlan, environment};
use crate::process::{self, RunTag, resolve_program};
use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use xshell::{Shell, cmd};

/// Runs the tasks; the first that fails ends it. Should this process be killed meanwhile, the one at work ends, too.
///
/// # Errors
/// Which task failed, and how; or `Interrupted`, see [`Interrupts`].
pub fn run(tasks: &[TaskPlan], shell: &BTreeMap<String, String>, place: &Place, interrupts: &Interrupts) -> Result<()> {
    if tasks.is_empty() {
        return Ok(());
    }
    let mut guard = None;
    let sh = Shell::new().context("failed to find the current directory")?;
    for task in tasks {
        let name = &task.name;
        let _turn = fresh::turn(task, place, || {
            crate::ui::tell(&format!("{name} is being built already, waiting for it"));
        });
        let stale = match fresh::look(task, shell, place) {
            Look::Fresh => {
                crate::ui::tell(&format!("{name} is fresh, skipped"));
                continue;
            }
            Look::Stale(stale) => stale,
        };
        match &stale.why {
            Some(why) => crate::ui::tell(&format!("building {name}: {why}")),
            None => crate::ui::tell(&format!("building {name}")),
        }
        let guard = match &guard {
            Some(guard) => guard,
            None => guard.insert(Guard::start()?),
        };
        stale.begin()?;
        one(&sh, task, shell, interrupts, guard.mark()).with_context(|| format!("task {name} failed"))?;
        if let Err(error) = stale.succeeded() {
            crate::ui::tell(&format!("warning: {name} will run again: {error:#}"));
        }
    }
    Ok(())
}

fn one(
    sh: &Shell,
    task: &TaskPlan,
    shell: &BTreeMap<String, String>,
    interrupts: &Interrupts,
    mark: RunTag,
) -> Result<()> {
    let env = environment(shell, &task.env);
    let path = env.get("PATH").map(OsStr::new);
    let program = resolve_program(&task.script, &task.cwd, path)?;
    let _cwd = sh.push_dir(&task.cwd);
    let args = &task.args;
    let command = cmd!(sh, "{program} {args...}").env_clear().envs(env);
    // stdout is for what the verb itself prints, which may be JSON.
    let mut command = std::process::Command::from(command);
    command.stdout(std::io::stderr());
    let status = interrupts
        .run(|| process::spawn_marked(&mut command, mark))
        .with_context(|| format!("failed to run {}", program.display()))?;
    ensure!(
        status.success(),
        "{} ended with {}",
        program.display(),
        Exit::from(status)
    );
    Ok(())
}
