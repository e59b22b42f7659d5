//! systemd: a unit for each service and task of this machine, and a target for the stack. The one engine that runs the
//! programs here, as they are.

mod readiness;
mod schedule;

use super::keys::{Fate, Key};
use super::secret::{Environment, PLACEHOLDER};
use super::stack::{Chore, Stack, Workload, command_line};
use super::variables::leave_out;
use super::{Document, Engine, Notes, head, seconds};
use crate::boot::unit_text::{line, quoted, specifiers, time};
use crate::config::units::LONGEST;
use crate::config::{Autorestart, Condition};
use crate::plan::{Dependency, Probe, ServicePlan, below, environment};
use anyhow::Result;
use readiness::readiness;
use schedule::schedule;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

const JOURNAL: &str = "the journal keeps what it writes, by its own limits: see `journalctl -u`";

/// Deaths that systemd takes for a clean exit.
const CLEAN: [&str; 4] = ["SIGHUP", "SIGINT", "SIGTERM", "SIGPIPE"];

/// What becomes of each key.
pub(super) fn fate(key: Key) -> Fate {
    match key {
        Key::Script
        | Key::Args
        | Key::Interpreter
        | Key::InterpreterArgs
        | Key::Cwd
        | Key::Env
        | Key::EnvFile
        | Key::Autorestart
        | Key::MaxRestarts
        | Key::MinUptime
        | Key::RestartDelay
        | Key::StopExitCodes
        | Key::MaxMemoryRestart
        | Key::KillSignal
        | Key::KillTimeout
        | Key::DependsOn
        | Key::Ready
        | Key::Instances
        | Key::Build
        | Key::OutFile
        | Key::ErrorFile
        | Key::CronRestart => Fate::Exported,
        // A program listens on its ports by itself; without `ready` they are what is waited for.
        Key::Ports | Key::Container => Fate::Needless,
        Key::Watch | Key::WatchDelay | Key::IgnoreWatch => {
            Fate::Listed("restart it with `systemctl restart` when it has changed")
        }
        Key::ExpBackoffRestartDelay => Fate::Listed("it restarts after this delay, which does not grow"),
        Key::Pty => Fate::Listed("it writes to the journal, which is no terminal"),
        Key::LogDateFormat => Fate::Listed("the journal has stamps of its own"),
        Key::MaxSize | Key::Retain | Key::Compress => Fate::Listed(JOURNAL),
    }
}

/// All units, the target first, and the variables to fill in.
pub(super) fn documents(stack: &Stack<'_>, notes: &mut Notes) -> Result<Vec<Document>> {
    let mut documents = Vec::new();
    let mut names = Vec::new();
    for chore in &stack.tasks {
        names.push(task_unit(stack, chore));
        task(stack, chore, notes, &mut documents);
    }
    for workload in &stack.services {
        for plan in &workload.instances {
            names.push(unit(stack, &plan.name));
            service(stack, workload, plan, notes, &mut documents);
            names.extend(schedule(stack, workload, plan, notes, &mut documents));
        }
    }
    documents.insert(0, target(stack, &names));
    Ok(documents)
}

fn target_name(stack: &Stack<'_>) -> String {
    format!("xtask-{}.target", stack.plan.profile)
}

fn unit(stack: &Stack<'_>, service: &str) -> String {
    format!("xtask-{}-{service}.service", stack.plan.profile)
}

fn task_unit(stack: &Stack<'_>, chore: &Chore<'_>) -> String {
    format!("xtask-{}-task-{}.service", stack.plan.profile, chore.plan.name)
}

fn target(stack: &Stack<'_>, names: &[String]) -> Document {
    let name = target_name(stack);
    let use_it =
        format!("Copy all to /etc/systemd/system, or ~/.config/systemd/user, then `systemctl enable --now {name}`.");
    let mut text = head(stack, Engine::Systemd, &use_it);
    text.push_str("# As units of the system they run as root, unless `systemctl edit` gives each a `User=`.\n");
    text.push_str("[Unit]\n");
    line(
        &mut text,
        "Description",
        &format!("The stack {}", specifiers(&stack.plan.profile)),
    );
    for name in names {
        line(&mut text, "Wants", name);
    }
    text.push_str("\n[Install]\nWantedBy=default.target\n");
    Document {
        name,
        text,
        to_fill_in: false,
    }
}

/// A command line: `$` begins no variable but those of secrets.
fn command(stack: &Stack<'_>, program: &str, words: &[String], used: &mut BTreeSet<String>) -> String {
    // A variable's braces need no quotes, so the word is put together before it is quoted.
    let escape = |text: &str| text.replace('$', "$$");
    let word = |word: &String| {
        quoted(
            &stack
                .secrets
                .render(word, &escape, &|name| format!("${{{name}}}"), &mut *used),
        )
    };
    let mut words: Vec<String> = words.iter().map(word).collect();
    words.insert(0, quoted(program));
    words.join(" ")
}

/// The program's absolute path; a name that nobody knows stays one.
fn program(
    stack: &Stack<'_>,
    script: &str,
    cwd: &Path,
    env: &BTreeMap<String, String>,
    who: &str,
    notes: &mut Notes,
) -> String {
    if script.contains('/') {
        return below(cwd, script).display().to_string();
    }
    match (stack.find)(script, cwd, env.get("PATH").map(String::as_str)) {
        Some(path) => path.display().to_string(),
        None => {
            notes.add(
                format!("the program `{script}`"),
                who,
                "it is not on the PATH here; systemd looks on its own",
            );
            script.to_owned()
        }
    }
}

/// The variables of a unit: a shell's own do not reach it, but its PATH must.
fn variables(stack: &Stack<'_>, own: &BTreeMap<String, Option<String>>) -> BTreeMap<String, Option<String>> {
    let path = stack.path.map(|path| ("PATH".to_owned(), Some(path.to_owned())));
    path.into_iter().chain(own.clone()).collect()
}

/// Writes variables into a unit, and secret ones into a file of their own.
fn environment_lines(
    unit: &str,
    mut all: Environment,
    used: BTreeSet<String>,
    text: &mut String,
    documents: &mut Vec<Document>,
) {
    all.secret.extend(used);
    for (name, value) in &all.plain {
        line(text, "Environment", &quoted(&format!("{name}={value}")));
    }
    if !all.secret.is_empty() {
        let file = format!("{}.env", unit.trim_end_matches(".service"));
        line(text, "EnvironmentFile", &format!("%E/{file}"));
        let lines = all.secret.iter().map(|name| format!("{name}={PLACEHOLDER}\n"));
        documents.push(Document {
            text: format!(
                "# Keep it as /etc/{file}, or ~/.config/{file} for units of a user.\n{}",
                lines.collect::<String>()
            ),
            name: file,
            to_fill_in: true,
        });
    }
}

fn task(stack: &Stack<'_>, chore: &Chore<'_>, notes: &mut Notes, documents: &mut Vec<Document>) {
    let (task, name) = (chore.plan, task_unit(stack, chore));
    let own = variables(stack, &task.env);
    let env = environment(&BTreeMap::new(), &own);
    let mut text = format!(
        "[Unit]\nDescription={}\n",
        specifiers(&format!("{}: task {}", stack.plan.profile, task.name))
    );
    if let Some(before) = stack
        .tasks
        .iter()
        .take_while(|other| other.plan.name != task.name)
        .last()
    {
        line(&mut text, "After", &task_unit(stack, before));
        line(&mut text, "Requires", &task_unit(stack, before));
    }
    text.push_str("\n[Service]\nType=oneshot\nRemainAfterExit=yes\n");
    line(
        &mut text,
        "WorkingDirectory",
        &specifiers(&task.cwd.display().to_string()),
    );
    let program = program(stack, &task.script, &task.cwd, &env, &task.name, notes);
    let mut used = BTreeSet::new();
    let start = command(stack, &program, &task.args, &mut used);
    let mut all = stack.secrets.environment(&own, None);
    leave_out(Engine::Systemd, &mut all, &task.name, notes);
    environment_lines(&name, all, used, &mut text, documents);
    line(&mut text, "ExecStart", &start);
    notes.add(
        "a task at each start of the stack",
        &task.name,
        "it runs once after each boot; `systemctl restart` of its unit runs it again",
    );
    documents.push(Document {
        name,
        text,
        to_fill_in: false,
    });
}

fn service(
    stack: &Stack<'_>,
    workload: &Workload<'_>,
    plan: &ServicePlan,
    notes: &mut Notes,
    documents: &mut Vec<Document>,
) {
    let name = unit(stack, &plan.name);
    let own = variables(stack, &plan.env);
    let env = environment(&BTreeMap::new(), &own);
    let mut text = unit_section(stack, workload, plan, notes);
    let kind = kind(stack, plan);
    let _ = write!(text, "\n[Service]\n{}", kind.lines());
    line(
        &mut text,
        "WorkingDirectory",
        &specifiers(&plan.cwd.display().to_string()),
    );
    let words = command_line(plan);
    let (first, rest) = words
        .split_first()
        .map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    let program = program(stack, first, &plan.cwd, &env, workload.name, notes);
    let mut used = BTreeSet::new();
    let start = command(stack, &program, rest, &mut used);
    let mut all = stack.secrets.environment(&own, None);
    leave_out(Engine::Systemd, &mut all, workload.name, notes);
    environment_lines(&name, all, used, &mut text, documents);
    line(&mut text, "ExecStart", &start);
    readiness(stack, workload, plan, notes, &mut text);
    restart(plan, kind, &mut text);
    line(&mut text, "KillSignal", plan.policy.kill_signal.name());
    // Zero would be for ever.
    let at_once = Duration::from_millis(1);
    line(
        &mut text,
        "TimeoutStopSec",
        &time(plan.policy.kill_timeout.max(at_once)),
    );
    if let Some(bytes) = plan.max_memory_restart {
        line(&mut text, "MemoryMax", &bytes.to_string());
    }
    let outputs = [
        ("StandardOutput", &workload.written.out_file, &plan.out_file),
        ("StandardError", &workload.written.error_file, &plan.error_file),
    ];
    for (key, written, path) in outputs {
        match (written, path) {
            (None, _) => {}
            (Some(_), None) => line(&mut text, key, "null"),
            (Some(_), Some(path)) => {
                if let Some(place) = path.parent().filter(|place| *place != stack.plan.workspace) {
                    notes.add(
                        format!("the directory {} of a log file", place.display()),
                        workload.name,
                        "make it before the start: systemd makes the file alone",
                    );
                }
                line(
                    &mut text,
                    key,
                    &format!("append:{}", specifiers(&path.display().to_string())),
                );
            }
        }
    }
    let _ = writeln!(text, "\n[Install]\nWantedBy={}", target_name(stack));
    documents.push(Document {
        name,
        text,
        to_fill_in: false,
    });
}

fn unit_section(stack: &Stack<'_>, workload: &Workload<'_>, plan: &ServicePlan, notes: &mut Notes) -> String {
    let mut text = String::from("[Unit]\n");
    line(
        &mut text,
        "Description",
        &specifiers(&format!("{}: {}", stack.plan.profile, plan.name)),
    );
    // What stops or restarts the stack does so with each of its services.
    line(&mut text, "PartOf", &target_name(stack));
    for chore in &stack.tasks {
        line(&mut text, "After", &task_unit(stack, chore));
        line(&mut text, "Requires", &task_unit(stack, chore));
    }
    for Dependency {
        name,
        condition,
        restart,
    } in &plan.depends_on
    {
        let other = unit(stack, name);
        line(&mut text, "After", &other);
        // What only wants another starts also when that one failed. A restart of a required unit is passed on to those that require it.
        let requires = *restart || *condition == Condition::Completed;
        line(&mut text, if requires { "Requires" } else { "Wants" }, &other);
        // To require it would also restart this one with it, and leave it down when the other comes up late.
        if *condition == Condition::Ready && !requires {
            let awaited = stack.workload_of(name).map_or(name.as_str(), |other| other.name);
            notes.add(
                "`depends_on` until \"ready\"",
                workload.name,
                format!("it starts all the same when {awaited} fails to become ready; `restart = true` keeps it down, and restarts both together"),
            );
        }
    }
    let policy = &plan.policy;
    if policy.autorestart != Autorestart::Never {
        // So many starts within the time that as many unstable runs take. What is past its own limits, systemd ignores.
        let runs = policy.max_restarts.saturating_add(1);
        let each = seconds(policy.min_uptime.saturating_add(delay(plan)));
        let all = each.saturating_mul(u64::from(runs)).clamp(1, LONGEST.as_secs());
        line(&mut text, "StartLimitBurst", &runs.to_string());
        line(&mut text, "StartLimitIntervalSec", &format!("{all}s"));
    }
    text
}

/// Whether some service waits for this one to reach a condition.
fn is_awaited(stack: &Stack<'_>, plan: &ServicePlan, condition: Condition) -> bool {
    let all = stack.plan.services.iter().flat_map(|service| &service.depends_on);
    all.into_iter()
        .any(|dependency| dependency.name == plan.name && dependency.condition == condition)
}

/// When a unit counts as started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// When it says so.
    Notify,
    /// When it has ended well: others wait for that.
    Oneshot,
    /// When its program runs.
    Exec,
}

impl Kind {
    fn lines(self) -> &'static str {
        match self {
            Self::Notify => "Type=notify\nNotifyAccess=all\n",
            Self::Oneshot => "Type=oneshot\nRemainAfterExit=yes\n",
            Self::Exec => "Type=exec\n",
        }
    }
}

fn kind(stack: &Stack<'_>, plan: &ServicePlan) -> Kind {
    match plan.probe {
        Some(Probe::Notify) => Kind::Notify,
        Some(_) | None if is_awaited(stack, plan, Condition::Completed) => Kind::Oneshot,
        Some(_) | None => Kind::Exec,
    }
}

fn restart(plan: &ServicePlan, kind: Kind, text: &mut String) {
    let policy = &plan.policy;
    let is_oneshot = kind == Kind::Oneshot;
    let restart = match policy.autorestart {
        // A unit that others wait for the end of may only start again when it failed.
        Autorestart::Always if is_oneshot => "on-failure",
        Autorestart::Always => "always",
        Autorestart::OnFailure => "on-failure",
        Autorestart::Never => "no",
    };
    line(text, "Restart", restart);
    line(text, "RestartSec", &time(delay(plan)));
    let asks_for_stop = policy.kill_signal.name();
    let is_clean_anyway = CLEAN.contains(&asks_for_stop);
    // Any death by a signal is a failure of a oneshot unit, and systemd before 256 refuses one that has this line.
    if restart == "on-failure" && !is_oneshot {
        // A death by these is no failure for systemd. A stop on demand is followed by no restart all the same.
        let own = (!is_clean_anyway).then_some(asks_for_stop);
        let all: Vec<&str> = CLEAN.into_iter().chain(own).collect();
        line(text, "RestartForceExitStatus", &all.join(" "));
    }
    let mut success: Vec<String> = policy.stop_exit_codes.iter().map(i32::to_string).collect();
    if !success.is_empty() {
        line(text, "RestartPreventExitStatus", &success.join(" "));
    }
    if !is_clean_anyway && !is_oneshot {
        // Who dies of what asks for a stop has not failed. As the end that others wait for, no such death counts.
        success.push(asks_for_stop.to_owned());
    }
    if !success.is_empty() {
        line(text, "SuccessExitStatus", &success.join(" "));
    }
}

fn delay(plan: &ServicePlan) -> Duration {
    let policy = &plan.policy;
    policy.exp_backoff_restart_delay.unwrap_or(policy.restart_delay)
}
