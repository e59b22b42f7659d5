//! `why`: why a service is not up, or up but not as wanted: its last exits with their last lines, and what it waits for.

use super::known::{self, Known};
use super::workspace::Workspace;
use super::{logs, restart, stacks};
use crate::cli::One;
use crate::clock;
use crate::ipc::protocol::{Details, PastRunStatus, ServiceStatus};
use crate::log::reader::{self, Line, Selection, Span};
use crate::plan::secret::Mask;
use crate::ui;
use anyhow::{Context as _, Result};
use jiff::{RoundMode, SignedDuration, Timestamp, TimestampRound, Unit};
use std::io::stdout;

/// How many lines are shown of the run that ended last, and of those before it.
const LAST_LINES: usize = 10;
const EARLIER_LINES: usize = 3;

/// How many lines are shown of a stack that does not run.
const STOPPED_LINES: usize = 20;

pub(super) fn run(workspace: &Workspace, args: &One) -> Result<u8> {
    let mut running = stacks::measured(workspace, args.profile.as_deref())?;
    if running.is_empty() {
        return stopped(workspace, args);
    }
    known::for_each(&mut running, &args.service, |mut known| {
        let shell = restart::started_with(&mut known.running.connection)?.shell;
        let mask = Mask::of(&workspace.place().workspace, &shell, known.details.plan.values());
        hide_secrets(&mut known.row, &mut known.details, &mask);
        ui::print(&tell(workspace, &known)?)
    })?;
    Ok(0)
}

/// Of all that is said of the service. What it has written itself stays as it is in its log.
fn hide_secrets(row: &mut ServiceStatus, details: &mut Details, mask: &Mask) {
    let present = [
        &mut row.reason,
        &mut details.began_by,
        &mut details.restart,
        &mut details.probe_error,
        &mut details.changed,
    ];
    let past = details.past.iter_mut().map(|run| &mut run.ended_by);
    for text in present.into_iter().chain(past).flatten() {
        *text = mask.text(text);
    }
}

fn tell(workspace: &Workspace, known: &Known<'_>) -> Result<String> {
    let look = ui::why::Look {
        now: clock::wall(),
        zone: jiff::tz::TimeZone::system(),
    };
    let mut text = ui::why::headline(&known.label, &known.row, &known.details, &look.zone);
    text += &ui::why::past_title(&known.details);
    let patterns = [known.row.name.clone()];
    let mut selection = logs::selection(
        workspace,
        Some(&known.running.status.profile),
        &patterns,
        &[],
        &ui::tell,
    )?;
    selection.events.clear();
    let style = ui::for_people(&selection, &stdout());
    let past = &known.details.past;
    for (place, run) in past.iter().enumerate().rev() {
        let next = past.get(place + 1).map(|next| next.began.as_str());
        let next = next.or(known.row.pid.and(known.details.began.as_deref()));
        let is_last = place + 1 == past.len();
        let count = if is_last { LAST_LINES } else { EARLIER_LINES };
        text += &ui::why::past_run(run, &look);
        let lines = last_lines(&selection, run, next, count)?;
        for line in String::from_utf8_lossy(&style.render(&lines)).lines() {
            text += &format!("    {line}\n");
        }
    }
    Ok(text)
}

/// The last lines of a run: those that were read before the next one began.
fn last_lines(selection: &Selection, run: &PastRunStatus, next: Option<&str>, count: usize) -> Result<Vec<Line>> {
    // Lines are stamped to the microsecond, runs to the nanosecond: a run's first line must not come before it.
    let micros = TimestampRound::new().smallest(Unit::Microsecond).mode(RoundMode::Trunc);
    let begin = |text: &str| {
        let stamp: Timestamp = text.parse().with_context(|| format!("cannot read the stamp {text}"))?;
        stamp.round(micros).context("cannot round a stamp")
    };
    let until = next
        .map(|next| anyhow::Ok(begin(next)?.checked_sub(SignedDuration::from_nanos(1))?))
        .transpose()?;
    let span = Span {
        from: Some(begin(&run.began)?),
        until,
    };
    let selection = Selection {
        span,
        ..selection.clone()
    };
    reader::last_words(&selection, count).context("failed to read the logs")
}

/// Of a stack that does not run the logs tell what happened last.
fn stopped(workspace: &Workspace, args: &One) -> Result<u8> {
    let patterns = [args.service.clone()];
    let selection = logs::selection(workspace, args.profile.as_deref(), &patterns, &[], &ui::tell)?;
    let lines = reader::last_words(&selection, STOPPED_LINES).context("failed to read the logs")?;
    ui::print(&format!(
        "{}. The last of {}:\n",
        stacks::none_runs_yet(args.profile.as_deref()),
        args.service
    ))?;
    ui::print_bytes(&ui::for_people(&selection, &stdout()).render(&lines))?;
    Ok(0)
}
