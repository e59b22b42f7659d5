//! `build`: runs tasks in the foreground.

use super::workspace::{Workspace, invocation};
use crate::cli::Build;
use crate::config::{Config, did_you_mean};
use crate::plan::Options;
use crate::tasks::interrupt::Interrupts;
use crate::tasks::{self, fresh};
use anyhow::{Result, bail};

pub(super) fn run(workspace: &Workspace, args: &Build) -> Result<u8> {
    let invocation = invocation(Options::default());
    let config = workspace.whole_config(&invocation)?;
    let mut plan = workspace.plan_of(&config, args.profile.as_deref(), &invocation)?;
    let builds = if args.tasks.is_empty() {
        std::mem::take(&mut plan.builds)
    } else {
        let mut named = Vec::new();
        for name in &args.tasks {
            if !config.tasks.contains_key(name) {
                let nearest = did_you_mean(name, config.tasks.keys().map(String::as_str));
                let known = Some(the_tasks(&config)).filter(|_| nearest.is_empty());
                bail!(
                    "no task `{name}`{}",
                    known.map_or(nearest, |known| format!("; {known}"))
                );
            }
            named.push(workspace.task(&config, &plan.profile, name, &invocation)?);
        }
        named
    };
    if builds.is_empty() {
        crate::ui::tell(&format!(
            "profile {} has nothing to build; {}",
            plan.profile,
            the_tasks(&config)
        ));
    }
    if args.force {
        for build in &builds {
            fresh::forget(build, &workspace.place())?;
        }
    }
    let interrupts = Interrupts::listen(|| {})?;
    tasks::build::run(&builds, &invocation.shell, &workspace.place(), &interrupts)?;
    Ok(0)
}

/// What there is to run.
fn the_tasks(config: &Config) -> String {
    let tasks: Vec<&str> = config.tasks.keys().map(String::as_str).collect();
    match tasks.as_slice() {
        [] => "there is no task".to_owned(),
        tasks => format!("the tasks are: {}", tasks.join(", ")),
    }
}
