//! `describe`: everything known of a service: its resolved options, where its variables come from, its files.

use super::known::{self, Known};
use super::workspace::Workspace;
use super::{restart, stacks};
use crate::cli::One;
use crate::plan::environment;
use crate::process;
use crate::ui;
use crate::ui::describe::Described;
use anyhow::Result;
use std::ffi::OsStr;

pub(super) fn run(workspace: &Workspace, args: &One) -> Result<u8> {
    let mut running = stacks::some(
        stacks::measured(workspace, args.profile.as_deref())?,
        args.profile.as_deref(),
    )?;
    known::for_each(&mut running, &args.service, |known| ui::print(&tell(workspace, known)?))?;
    Ok(0)
}

fn tell(workspace: &Workspace, known: Known<'_>) -> Result<String> {
    let Known {
        running,
        label,
        row,
        details,
    } = known;
    let shell = restart::started_with(&mut running.connection)?.shell;
    let plan = &details.plan;
    let path = environment(&shell, &plan.env).remove("PATH");
    let script = plan
        .interpreter
        .as_ref()
        .map_or(&plan.script, |interpreter| &interpreter.program);
    let program = process::resolve_program(script, &plan.cwd, path.as_deref().map(OsStr::new));
    Ok(ui::describe::render(&Described {
        label: &label,
        profile: &running.status.profile,
        supervisor: running.status.supervisor.pid,
        program: program.map_err(|error| error.to_string()),
        files: [
            ("supervisor.log", &running.paths.events),
            ("state", &running.paths.state),
            ("socket", &running.paths.socket),
        ],
        row: &row,
        details: &details,
        workspace: &workspace.place().workspace,
        zone: jiff::tz::TimeZone::system(),
        shell: &shell,
    }))
}
