//! `check`: everything that is wrong with `dev.toml`, at once.

use super::workspace::{Workspace, invocation};
use crate::config::Problems;
use crate::config::units::format_count;
use crate::plan::{self, Options};
use crate::ui;
use anyhow::Result;

pub(super) fn run(workspace: &Workspace) -> Result<u8> {
    let invocation = invocation(Options::default());
    let config = workspace.whole_config(&invocation)?;
    let profiles = plan::profile_names(&config);
    let mut problems = Vec::new();
    for profile in &profiles {
        if let Err(Problems(_, more)) = workspace.plan_of(&config, Some(profile), &invocation) {
            problems.extend(
                more.into_iter()
                    .filter(|problem| !problems.contains(problem))
                    .collect::<Vec<_>>(),
            );
        }
    }
    if !problems.is_empty() {
        problems.sort_by_key(|problem| problem.place);
        return Err(Problems(config.file, problems).into());
    }
    let parts = [
        format_count(config.services.len(), "service"),
        format_count(config.tasks.len(), "task"),
        format_count(profiles.len(), "profile"),
    ];
    ui::print(&format!("{}: ok: {}\n", config.file, parts.join(", ")))?;
    Ok(0)
}
