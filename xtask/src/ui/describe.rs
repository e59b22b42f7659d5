//! What `describe` says: one fact a line (of a reason all its lines), in the words of `dev.toml`; nothing that looks secret.

use crate::config::units::{format_duration, format_size};
use crate::ipc::protocol::{Details, ServiceStatus};
use crate::plan::secret::Mask;
use crate::plan::{Origin, Probe, view};
use jiff::tz::TimeZone;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everything there is to tell.
pub struct Described<'a> {
    /// The service's name; with its stack's before it where several have one.
    pub label: &'a str,
    /// Its stack.
    pub profile: &'a str,
    /// The supervisor's process id.
    pub supervisor: u32,
    /// The program that is run, or why none is found.
    pub program: Result<PathBuf, String>,
    /// The stack's own files, by what they are.
    pub files: [(&'static str, &'a Path); 3],
    /// The service's row in the table.
    pub row: &'a ServiceStatus,
    /// What is known beyond it.
    pub details: &'a Details,
    /// Where `dev.toml` is.
    pub workspace: &'a Path,
    /// Where the reader is.
    pub zone: TimeZone,
    /// The shell's variables that flow through.
    pub shell: &'a BTreeMap<String, String>,
}

/// Everything, in sections.
pub fn render(what: &Described<'_>) -> String {
    let mask = Mask::of(what.workspace, what.shell, what.details.plan.values());
    let sections = [
        ("", present(what, &mask)),
        ("options", options(what, &mask)),
        ("files", files(what, &mask)),
        ("environment", variables(what, &mask)),
    ];
    let mut text = format!("{} of profile {}\n", what.label, what.profile);
    for (title, facts) in sections {
        if !title.is_empty() {
            text += &format!("{title}\n");
        }
        let width = facts
            .iter()
            .map(|(name, _)| name.chars().count())
            .max()
            .unwrap_or_default();
        for (name, value) in facts {
            text += &rows(&name, width, &value);
        }
    }
    text
}

/// The keys whose numbers are bytes.
const SIZES: [&str; 2] = ["max_size", "max_memory_restart"];

/// A fact, and the further lines of its value below the first one.
fn rows(name: &str, width: usize, value: &str) -> String {
    let mut text = String::new();
    let names = std::iter::once(name).chain(std::iter::repeat(""));
    for (name, line) in names.zip(value.split('\n')) {
        text += format!("  {name:width$}  {line}").trim_end();
        text.push('\n');
    }
    text
}

type Facts = Vec<(String, String)>;

/// A fact of one line: what belongs to it looks like no other fact.
fn fact(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_owned(), value.into().replace('\n', "\\n"))
}

/// What it is now.
fn present(what: &Described<'_>, mask: &Mask) -> Facts {
    let row = what.row;
    let mut facts = vec![fact("id", row.id.to_string()), fact("status", row.status.as_str())];
    // As in `status` and `why`: the last lines of a failed build are to be read.
    let reason = row.reason.as_ref().map(|reason| mask.text(reason));
    facts.extend(reason.map(|reason| ("reason".to_owned(), reason.trim_end().to_owned())));
    if let Some(pid) = row.pid {
        facts.push(fact("pid", pid.to_string()));
        facts.push(fact("ready", if row.ready { "yes" } else { "no" }));
        let ports: Vec<String> = row.ports.iter().map(u16::to_string).collect();
        facts.extend((!ports.is_empty()).then(|| fact("listens on", ports.join(", "))));
        facts.extend(row.memory_bytes.map(|bytes| fact("memory", format_size(bytes))));
        facts.extend(
            row.uptime_ms
                .map(|millis| fact("uptime", format_duration(Duration::from_millis(millis)))),
        );
    }
    facts.push(fact("wanted", if what.details.wanted { "up" } else { "down" }));
    let (restarts, unstable) = (row.restarts, row.unstable_restarts);
    facts.push(fact("restarts", format!("{restarts}, unstable in a row {unstable}")));
    facts.extend(
        what.details
            .began_by
            .as_ref()
            .map(|cause| fact("last restart", mask.text(cause))),
    );
    let scheduled = what.details.scheduled.as_ref().filter(|_| what.details.wanted);
    facts.extend(scheduled.map(|at| fact("scheduled", super::why::local(at, &what.zone))));
    if !what.details.needed_by.is_empty() {
        facts.push(fact("needed by", what.details.needed_by.join(", ")));
    }
    facts
}

/// The resolved keys of `dev.toml`, and the command line they make.
fn options(what: &Described<'_>, mask: &Mask) -> Facts {
    let mut facts = vec![fact("command", command(what, mask))];
    facts.extend(what.program.as_ref().err().map(|why| fact("error", mask.text(why))));
    if let Value::Object(keys) = view::of_service(&what.details.plan, mask) {
        let own = ["name", "env", "out_file", "error_file"];
        let told = keys.iter().filter(|(key, _)| !own.contains(&key.as_str()));
        facts.extend(told.map(|(key, value)| match value {
            Value::String(text) => fact(key, text.as_str()),
            Value::Number(bytes) if SIZES.contains(&key.as_str()) => {
                fact(key, bytes.as_u64().map_or_else(|| bytes.to_string(), format_size))
            }
            other => fact(key, other.to_string()),
        }));
    }
    facts
}

/// The command line, each word quoted where a shell would need it. A program that is not found stands there as it is written.
fn command(what: &Described<'_>, mask: &Mask) -> String {
    let plan = &what.details.plan;
    let (written, before) = match &plan.interpreter {
        Some(interpreter) => (&interpreter.program, interpreter.args.as_slice()),
        None => (&plan.script, [].as_slice()),
    };
    let script = plan.interpreter.as_ref().map(|_| &plan.script);
    let words: Vec<String> = before.iter().chain(script).chain(&plan.args).cloned().collect();
    let program = what.program.as_deref().unwrap_or(Path::new(written));
    let all = std::iter::once(mask.path(program)).chain(mask.words(&words));
    shell_words::join(all)
}

fn files(what: &Described<'_>, mask: &Mask) -> Facts {
    let mut facts = vec![
        fact("out_file", view::log_file(what.row.out_log.as_ref(), mask)),
        fact("error_file", view::log_file(what.row.error_log.as_ref(), mask)),
        fact("supervisor", format!("pid {}", what.supervisor)),
    ];
    facts.extend(
        what.files
            .iter()
            .map(|(name, path)| fact(name, path.display().to_string())),
    );
    facts
}

/// Where a variable is written.
fn place(origin: &Origin, mask: &Mask) -> String {
    if let Origin::EnvFile(path) = origin {
        return format!("env_file {}", mask.path(path));
    }
    origin.to_string()
}

/// Every variable by where it comes from; one that was taken out is told of, too.
fn variables(what: &Described<'_>, mask: &Mask) -> Facts {
    let plan = &what.details.plan;
    let mut all: BTreeMap<&str, (String, String)> = BTreeMap::new();
    for (name, value) in what.shell {
        let shown = format!("{name}={}", mask.inherited(name, value));
        all.insert(name, fact("shell", shown));
    }
    for (name, value) in &plan.env {
        let origin = plan
            .origins
            .0
            .get(name)
            .map_or_else(|| "dev.toml".to_owned(), |origin| place(origin, mask));
        let shown = match value {
            Some(value) => format!("{name}={}", mask.value(name, value)),
            None => format!("{name} is removed"),
        };
        all.insert(name, fact(&origin, shown));
    }
    if plan.pty {
        all.entry("TERM").or_insert_with(|| fact("pty", "TERM is set"));
    }
    all.insert("XTASK_RUN", fact("supervisor", "XTASK_RUN=the mark of the run"));
    if plan.probe == Some(Probe::Notify) {
        all.insert(
            "NOTIFY_SOCKET",
            fact("supervisor", "NOTIFY_SOCKET=the run's own socket"),
        );
    }
    all.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_lines_stand_below_the_first() {
        let shown = rows("reason", 7, "build failed: no\n\n  --> a.rs");
        assert_eq!(shown, "  reason   build failed: no\n\n             --> a.rs\n");
        assert_eq!(rows("port", 7, ""), "  port\n");
    }
}
