//! What `why` says: why a service is not as wanted, in whole sentences, and how its last runs ended.

use crate::config::Autorestart;
use crate::config::units::{format_count, format_duration};
use crate::ipc::protocol::{Details, PastRunStatus, ServiceStatus};
use crate::policy::Readiness;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::fmt::Write as _;
use std::time::Duration;

/// What makes a stamp readable.
pub struct Look {
    /// The present time of day.
    pub now: Timestamp,
    /// Where the reader is.
    pub zone: TimeZone,
}

/// The state and everything that explains it, a line each.
pub fn headline(label: &str, row: &ServiceStatus, details: &Details, zone: &TimeZone) -> String {
    let reason = row.reason.as_deref();
    let ready = match (row.pid, row.ready) {
        (Some(_), true) => ", ready",
        (Some(_), false) if reason.is_some_and(|reason| reason.starts_with("not ready")) => "",
        (Some(_), false) => ", not ready",
        (None, _) => "",
    };
    let mut text = format!("{label} is {}{ready}", row.status);
    match reason {
        Some(reason) => {
            let reason = reason.strip_prefix("restarting: ").unwrap_or(reason);
            writeln!(text, ": {}", indented(reason)).unwrap_or_default();
        }
        None => text.push('\n'),
    }
    for fact in facts(label, row, details, zone) {
        writeln!(text, "  {}", indented(&fact)).unwrap_or_default();
    }
    text
}

/// What there is to say beyond the reason.
fn facts(name: &str, row: &ServiceStatus, details: &Details, zone: &TimeZone) -> Vec<String> {
    let told = row.reason.as_deref().unwrap_or_default();
    let mut facts = Vec::new();
    let mut say = |fact: Option<String>| facts.extend(fact);
    say((!details.wanted).then(|| format!("the user stopped it; `cargo xtask start {name}` starts it")));
    say((row.status == "errored").then(|| format!("`cargo xtask start {name}` tries again")));
    say(rests(name, row, details));
    let scheduled = details.scheduled.as_ref().filter(|_| details.wanted);
    say(scheduled.map(|at| format!("its schedule is due at {}", local(at, zone))));
    let is_waited_for = row.status == "blocked" && !told.contains("starts by itself");
    say(is_waited_for.then(|| "it is launched as soon as the port is free".to_owned()));
    say(details.restart_in_ms.map(|left| {
        let cause = details.restart.as_ref().filter(|cause| !told.contains(cause.as_str()));
        let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
        format!("the next run is due in {}{cause}", duration(left))
    }));
    let due = details.restart.as_ref().filter(|_| details.restart_in_ms.is_none());
    say(due.map(|cause| format!("a restart is due: {cause}")));
    let probe = details.probe_error.as_deref();
    let probe = probe.filter(|error| !row.ready && !told.contains(error));
    say(probe.map(|error| format!("the readiness probe says: {error}")));
    let is_young = row.pid.is_some() && !row.ready && row.reason.is_none();
    let unproven = is_young && details.plan.policy.readiness == Readiness::Uptime;
    say(unproven.then(|| {
        let span = format_duration(details.plan.policy.min_uptime);
        format!("it counts as ready once it has run for {span} (`min_uptime`)")
    }));
    say(details.changed.clone());
    let unstable = (row.unstable_restarts > 0).then(|| {
        let (runs, limit) = (row.unstable_restarts, details.plan.policy.max_restarts);
        let runs = format_count(runs, "unstable run");
        format!("{runs} in a row, {limit} allowed (`max_restarts`)")
    });
    say(unstable);
    let began = details.began_by.as_ref().filter(|_| row.pid.is_some());
    say(began.map(|cause| format!("its present run took the place of the last one: {cause}")));
    let waiting = !row.ready && !details.needed_by.is_empty();
    say(waiting.then(|| format!("needed by {}", details.needed_by.join(", "))));
    facts
}

/// Why a service that has ended is not started again, where that is its own way.
fn rests(name: &str, row: &ServiceStatus, details: &Details) -> Option<String> {
    let exit = row
        .last_exit
        .as_ref()
        .filter(|_| row.status == "stopped" && details.wanted)?;
    let policy = &details.plan.policy;
    let why = match exit.code {
        Some(code) if policy.stop_exit_codes.contains(&code) => format!("{code} is one of its `stop_exit_codes`"),
        Some(0) if policy.autorestart == Autorestart::OnFailure => {
            "it ended well (`autorestart = \"on-failure\"`)".to_owned()
        }
        _ if policy.autorestart == Autorestart::Never => "`autorestart = false`".to_owned(),
        _ => return None,
    };
    Some(format!("not restarted: {why}; `cargo xtask start {name}` starts it"))
}

/// A stamp as the reader's clock has it.
pub(super) fn local(stamp: &str, zone: &TimeZone) -> String {
    let shown = |at: Timestamp| at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string();
    stamp.parse().map_or_else(|_| stamp.to_owned(), shown)
}

/// What comes before the runs that are over.
pub fn past_title(details: &Details) -> String {
    match details.past.len() {
        0 => "no run of it has ended yet\n".to_owned(),
        1 => "one run has ended:\n".to_owned(),
        runs => format!("the last {runs} ends, the latest first:\n"),
    }
}

/// How a run ended, when, and who ended it.
pub fn past_run(run: &PastRunStatus, look: &Look) -> String {
    let how = match (&run.exit.code, &run.exit.signal) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => signal.clone(),
        (None, None) => "an unknown end".to_owned(),
    };
    let by = run
        .ended_by
        .as_ref()
        .map_or_else(|| "by itself".to_owned(), |why| format!("ended by us: {why}"));
    let at = local(&run.exit.at, &look.zone);
    let ago = run.exit.at.parse::<Timestamp>().map_or_else(
        |_| String::new(),
        |at| {
            let ago = look.now.duration_since(at).unsigned_abs();
            format!(" ({} ago)", format_duration(Duration::from_secs(ago.as_secs())))
        },
    );
    format!(
        "  {at}{ago}: {how} after {}, {by} (pid {})\n",
        duration(run.lasted_ms),
        run.pid
    )
}

fn duration(millis: u64) -> String {
    format_duration(Duration::from_millis(millis))
}

/// Text of several lines stays below its first one.
fn indented(text: &str) -> String {
    text.trim_end().replace('\n', "\n    ")
}
