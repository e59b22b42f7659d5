//! `config`: the resolved plan of a profile, as people or programs read it. Values that look secret are masked.

use super::workspace::{Workspace, invocation};
use crate::cli::Config;
use crate::plan::{self, Options, view};
use crate::ui;
use anyhow::Result;

pub(super) fn run(workspace: &Workspace, args: &Config) -> Result<u8> {
    let invocation = invocation(Options::default());
    let config = workspace.whole_config(&invocation)?;
    let plan = workspace.plan_of(&config, args.profile.as_deref(), &invocation)?;
    let shell = &invocation.shell;
    let view = view::of(&plan, &config, &plan::written(&config, &plan, shell)?, shell);
    let text = if args.json {
        serde_json::to_string_pretty(&view)? + "\n"
    } else {
        crate::config::to_toml(&view)?
    };
    ui::print(&text)?;
    Ok(0)
}
