//! `logs`: what services wrote, merged by time; of running stacks, or of the one that ran last.

use super::follow::Wake;
use super::printer::{Follower, Stacks};
use super::workspace::{Workspace, invocation_telling};
use super::{select, stacks, usage};
use crate::cli::Logs;
use crate::ipc::protocol::{LogFiles, ServiceStatus, Stack};
use crate::log::filter::Filter;
use crate::log::reader::{self, EventInput, Line, LogInput, Selection, Span};
use crate::log::{Stamp, Stream, parse_name};
use crate::paths::{EVENTS_FILE, StackPaths};
use crate::plan::{Options, Plan};
use crate::ui::style::Style;
use crate::{clock, config, lifecycle, signal, ui};
use anyhow::{Context as _, Result, bail};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use std::io::stdout;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;

/// How many lines are shown unless the user says.
const LINES: usize = 100;

/// How much is shown on each side of a crash.
const AROUND: SignedDuration = SignedDuration::from_secs(5);

pub(super) fn run(workspace: &Workspace, args: &Logs) -> Result<u8> {
    let span = span(workspace, args)?;
    let own = (workspace.clone(), args.clone());
    let choose = move |tell: &dyn Fn(&str)| selection_of(&own.0, &own.1, span, tell);
    let asked = clock::wall();
    let selection = choose(&ui::tell)?;
    let style = match (args.raw, args.json) {
        (true, _) => Style::Raw,
        (_, true) => Style::Json,
        (false, false) => ui::for_people(&selection, &stdout()),
    };
    let everything = args.since.is_some() || span.until.is_some() || args.grep.is_some();
    let lines = match args.lines {
        None if everything => None,
        None => Some(LINES),
        some => some,
    };
    tell_unreadable(&selection);
    let mut past = selection.clone();
    if args.lines.is_some() {
        // Whoever counts lines means those of the services.
        past.events.clear();
    }
    if args.no_follow || span.until.is_some() {
        show(&past, lines, &style).context("failed to read the logs")?;
        return Ok(0);
    }
    let begin = match lines {
        Some(lines) => reader::last(&past, lines),
        None => reader::all(&past).map(|follow| (Vec::new(), follow)),
    };
    let (earlier, mut follow) = begin.context("failed to read the logs")?;
    follow.join(&selection);
    let (sender, wakes) = channel();
    let interrupts = sender.clone();
    let reader = sender.clone();
    signal::on_termination(move || {
        let _ = interrupts.send(Wake::Interrupted);
    })?;
    ui::on_nobody_reads(move || {
        let _ = reader.send(Wake::Interrupted);
    })?;
    let stacks = Stacks::new(workspace, args.profile.as_deref());
    let follower = Follower::new(follow.asked(asked), style, Box::new(move || choose(&SILENTLY)), stacks)?;
    // Printed once Ctrl-C is heard: a user may press it at the first line.
    let printer = follower.start(earlier, move |result| {
        let _ = sender.send(Wake::Printed(result));
    })?;
    loop {
        match wakes.recv().context("nothing can arrive any more")? {
            Wake::Interrupted => {
                printer.finish(&wakes, true);
                return Ok(0);
            }
            Wake::Printed(result) => return result.map(|()| 0),
            Wake::Reply(_) => {}
        }
    }
}

/// Says which logs cannot be read.
pub(super) fn tell_unreadable(selection: &Selection) {
    for log in reader::unreadable(selection) {
        ui::tell(&format!(
            "warning: cannot read {}; its lines are left out",
            log.display()
        ));
    }
}

/// Prints what is there now: the last lines, or all, a piece after another.
fn show(selection: &Selection, lines: Option<usize>, style: &Style) -> Result<()> {
    if let Some(lines) = lines {
        return ui::print_bytes(&style.render(&reader::last_words(selection, lines)?));
    }
    let mut follow = reader::all(selection)?.to_the_end();
    loop {
        let lines = follow.read_new()?;
        if lines.is_empty() {
            return Ok(());
        }
        ui::print_bytes(&style.render(&lines))?;
    }
}

/// The time that the options ask for.
fn span(workspace: &Workspace, args: &Logs) -> Result<Span> {
    let (now, zone) = (clock::wall(), TimeZone::system());
    if let Some(service) = &args.around {
        let crash = last_crash(workspace, args.profile.as_deref(), service)?;
        return Ok(Span {
            from: crash.checked_sub(AROUND).ok(),
            until: crash.checked_add(AROUND).ok(),
        });
    }
    let [from, until] = [args.since, args.until].map(|moment| Some(moment?.resolve(now, &zone)));
    if let (Some(from), Some(until)) = (from, until)
        && from > until
    {
        let shown = |at: Timestamp| at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string();
        return Err(usage(format!(
            "--since ({}) is later than --until ({}); swap them (a time of day that has not come yet today is yesterday's)",
            shown(from),
            shown(until)
        )));
    }
    Ok(Span { from, until })
}

/// When a service crashed last, by the supervisor's own account.
fn last_crash(workspace: &Workspace, profile: Option<&str>, service: &str) -> Result<Timestamp> {
    let mut selection = selection(workspace, profile, &[service.to_owned()], &[], &ui::tell)?;
    selection.logs.clear();
    let is_crash = |line: &Line| !line.service.is_empty() && lifecycle::is_crash(&String::from_utf8_lossy(&line.text));
    let crash = reader::find_last(&selection, is_crash).context("failed to read the supervisor's log")?;
    match crash {
        Some(line) => Ok(line.stamp),
        None => bail!(
            "{service} has not crashed, as far as the supervisor's log goes back; `--since` and `--until` show any other time"
        ),
    }
}

/// What the options ask for. The supervisor's events stand between the lines, unless the lines are chosen by their stream.
fn selection_of(workspace: &Workspace, args: &Logs, span: Span, tell: &dyn Fn(&str)) -> Result<Selection> {
    let streams = match (args.out, args.err) {
        (true, _) => vec![Stream::Out],
        (_, true) => vec![Stream::Err],
        (false, false) => Vec::new(),
    };
    let mut selection = selection(workspace, args.profile.as_deref(), &args.services, &streams, tell)?;
    if args.raw || !streams.is_empty() {
        selection.events.clear();
    }
    selection.span = span;
    selection.filter = Arc::new(Filter {
        level: args.level,
        pattern: args.grep.clone(),
    });
    Ok(selection)
}

/// For who asks again: all that there is to warn of has been told.
pub(super) const SILENTLY: fn(&str) = |_| {};

/// The logs of the services that `patterns` mean; no stream means both. `tell` is called with warnings.
pub(super) fn selection(
    workspace: &Workspace,
    profile: Option<&str>,
    patterns: &[String],
    streams: &[Stream],
    tell: &dyn Fn(&str),
) -> Result<Selection> {
    let mut found = Vec::new();
    stacks::check_profile(workspace, profile)?;
    match stacks::running(workspace, profile) {
        Ok(running) => found.extend(running.into_iter().map(|running| (running.paths, running.status))),
        // The files tell what they hold without it.
        Err(error) => tell(&format!("warning: {error:#}; reading the log files without it")),
    }
    if found.is_empty() {
        found = stopped_stacks(workspace, profile, patterns)?;
    } else {
        add_what_does_not_run(workspace, &mut found, patterns);
    }
    let statuses: Vec<&Stack> = found.iter().map(|(_, stack)| stack).collect();
    let chosen = select::select(&statuses, patterns)?;
    let several = chosen.iter().filter(|names| !names.is_empty()).count() > 1;
    let mut selection = Selection::default();
    for ((paths, stack), names) in found.iter().zip(chosen) {
        for service in stack.services.iter().filter(|service| names.contains(&service.name)) {
            let label = select::label(stack, &service.name, several);
            let stamp = stamp(service.log_date_format.as_deref());
            let files =
                [&service.out_log, &service.error_log].map(|log| log.as_ref().map(|log| here(log, stack, paths)));
            let inputs = inputs(&label, files.each_ref(), &stamp);
            let is_wanted = |input: &LogInput| streams.is_empty() || streams.contains(&input.stream);
            selection.logs.extend(inputs.filter(is_wanted));
            selection.names.push(label);
        }
        if names.is_empty() {
            continue;
        }
        selection.events.push(EventInput {
            path: paths.events.clone(),
            services: (!patterns.is_empty()).then_some(names),
            prefix: select::label(stack, "", several),
        });
    }
    Ok(selection)
}

/// Where a log lies now: a workspace that was renamed has taken those of a running stack along.
fn here(log: &Path, stack: &Stack, paths: &StackPaths) -> PathBuf {
    let old = stack.dir.as_deref();
    let rest = old.and_then(|old| log.strip_prefix(old).ok());
    rest.map_or_else(|| log.to_owned(), |rest| paths.dir.join(rest))
}

/// The logs of a service: that of its stdout, and that of its stderr. Of one that is both nothing tells what came by which: it counts as
/// stdout.
fn inputs<'a>(
    service: &'a str,
    [out, err]: [&'a Option<PathBuf>; 2],
    stamp: &'a Stamp,
) -> impl Iterator<Item = LogInput> + 'a {
    let err = err.as_ref().filter(|err| out.as_ref() != Some(*err));
    let files = [(Stream::Out, out.as_ref()), (Stream::Err, err)];
    files.into_iter().filter_map(move |(stream, path)| {
        Some(LogInput {
            service: service.to_owned(),
            stream,
            path: path?.clone(),
            stamp: stamp.clone(),
        })
    })
}

/// The logs of everything in a plan.
pub(super) fn of_plan(plan: &Plan, paths: &StackPaths) -> Selection {
    let mut selection = Selection::default();
    for service in &plan.services {
        let stamp = stamp(service.log_date_format.as_deref());
        let files = [&service.out_file, &service.error_file];
        selection.logs.extend(inputs(&service.name, files, &stamp));
        selection.names.push(service.name.clone());
    }
    selection.events.push(EventInput {
        path: paths.events.clone(),
        services: None,
        prefix: String::new(),
    });
    selection
}

/// What is looked through where nothing runs: the stack that ran last, and all others when not all names are found in it.
fn stopped_stacks(
    workspace: &Workspace,
    profile: Option<&str>,
    patterns: &[String],
) -> Result<Vec<(StackPaths, Stack)>> {
    let last = stopped(workspace, profile)?;
    if profile.is_some() || select::select(&[&last.1], patterns).is_ok() {
        return Ok(vec![last]);
    }
    let known = workspace.known_profiles();
    // One without logs has nothing to look through.
    Ok(known
        .iter()
        .filter_map(|name| stopped(workspace, Some(name)).ok())
        .collect())
}

/// Where a running stack has not all that is asked for: what else its profile has, or had. That may have been left out of this start, or
/// out of `dev.toml` since.
fn add_what_does_not_run(workspace: &Workspace, found: &mut [(StackPaths, Stack)], patterns: &[String]) {
    let statuses: Vec<&Stack> = found.iter().map(|(_, stack)| stack).collect();
    if select::select(&statuses, patterns).is_ok() {
        return;
    }
    for (_, stack) in found {
        // Without logs there is nothing to add.
        let Ok((_, past)) = stopped(workspace, Some(&stack.profile)) else {
            continue;
        };
        for service in past.services {
            if !stack.services.iter().any(|known| known.name == service.name) {
                // What does not run has no id.
                stack.services.push(ServiceStatus {
                    id: u32::MAX,
                    ..service
                });
            }
        }
    }
}

/// A stack that does not run: its services by the plan, else by the files that are there.
fn stopped(workspace: &Workspace, profile: Option<&str>) -> Result<(StackPaths, Stack)> {
    let Some(profile) = profile.map(str::to_owned).or_else(|| last_run(workspace)) else {
        bail!("there are no logs yet; `cargo xtask dev` starts a stack");
    };
    let paths = workspace.stack(&profile)?;
    // Nothing is launched: what of the shell would not be passed on does not matter.
    let plan = workspace.plan(Some(&profile), &invocation_telling(Options::default(), &SILENTLY));
    let mut files: Vec<LogFiles> = match plan {
        Ok(plan) => plan
            .services
            .into_iter()
            .map(|plan| LogFiles {
                service: plan.name,
                out: plan.out_file,
                err: plan.error_file,
                log_date_format: plan.log_date_format,
            })
            .collect(),
        // A broken `dev.toml` hides no logs.
        Err(config::Problems(..)) => Vec::new(),
    };
    for entry in std::fs::read_dir(&paths.logs).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let Some((service, _, None)) = parse_name(&name) else {
            continue;
        };
        if !files.iter().any(|known| known.service == service) {
            let log = |stream| Some(crate::log::log_file(&paths.logs, service, stream));
            files.push(LogFiles {
                service: service.to_owned(),
                out: log(Stream::Out),
                err: log(Stream::Err),
                log_date_format: None,
            });
        }
    }
    if files.is_empty() {
        bail!("profile {profile} has no logs");
    }
    Ok((paths, Stack::stopped(&profile, files)))
}

/// The stamp of a service's lines; what was refused by `check` counts as the usual one.
fn stamp(format: Option<&str>) -> Stamp {
    Stamp::new(format, TimeZone::system()).unwrap_or_default()
}

/// The profile whose supervisor wrote last.
fn last_run(workspace: &Workspace) -> Option<String> {
    let written = |profile: &String| {
        std::fs::metadata(workspace.state_dir.join(profile).join(EVENTS_FILE))
            .ok()?
            .modified()
            .ok()
    };
    workspace
        .known_profiles()
        .into_iter()
        .filter(|profile| written(profile).is_some())
        .max_by_key(written)
}
