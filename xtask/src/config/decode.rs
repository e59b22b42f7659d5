//! TOML text → [`Config`]: syntax, the sections of the file, tasks and profiles.
//!
//! Looks at one key at a time; whether names refer to something is checked afterwards, elsewhere.

use std::collections::BTreeMap;

use toml::de::DeTable;

use super::container::container;
use super::decode_service::{rotation, service};
use super::problem::Report;
use super::section::Section;
use super::shapes::{env, globs, located, names, paths, tasks, text, words};
use super::validate::validate;
use super::{Config, Located, Problems, Profile, Service, Task};

/// Reads and checks a text; see [`Config::recover`].
pub(super) fn recover(text: &str, file: &str) -> (Config, Problems) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let report = Report::new(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut config = Config {
        file: file.to_owned(),
        ..Config::default()
    };
    if syntax(&report, errors) {
        decode(Section::root(&report, table.into_inner()), &mut config);
        validate(&config, &report);
    }
    (config, report.finish(file))
}

/// Notes what is not TOML, and says whether the tree is worth a look all the same: only when a key was given twice.
fn syntax(report: &Report<'_>, mut errors: Vec<toml::de::Error>) -> bool {
    let start = |error: &toml::de::Error| error.span().map_or(0, |span| span.start);
    errors.sort_by_key(start);
    let mut last_line = 0;
    let mut sound = true;
    // After something unclosed, or a second error on a line, the parser only guesses.
    let unclosed = errors.iter().any(|error| error.message().contains("unclosed"));
    for error in errors.iter().take(if unclosed { 1 } else { usize::MAX }) {
        let place = report.place(start(error));
        let duplicate = error.message() == "duplicate key";
        sound &= duplicate && !report.line(place).trim_start().starts_with('[');
        if place.line != last_line {
            last_line = place.line;
            let message = match error.span() {
                Some(span) if duplicate => format!("`{}` is given twice; remove one", report.slice(span)),
                _ => format!("not valid TOML: {}", error.message()),
            };
            report.push(place, message);
        }
    }
    sound
}

fn decode(mut root: Section<'_, '_>, config: &mut Config) {
    config.default_profile = root.take("default_profile").and_then(|item| located(&item));
    config.state_dir = text(&mut root, "state_dir");
    if let Some(mut logs) = root.section("logs") {
        config.logs = rotation(&mut logs);
        logs.finish();
    }
    config.tasks = named(&mut root, "tasks", task);
    config.services = named(&mut root, "services", with_script);
    config.profiles = named(&mut root, "profiles", profile);
    root.finish();
}

/// The tables of `[KIND.NAME]`. A bad name is noted and kept, so that what refers to it is not noted as well.
fn named<'r, 'i, T: Default>(
    root: &mut Section<'r, 'i>,
    kind: &'static str,
    decode: impl Fn(Section<'r, 'i>) -> T,
) -> BTreeMap<String, T> {
    let mut all = BTreeMap::new();
    for (name, item) in root.entries_of(kind) {
        if let Err(reason) = check_name(&name.value) {
            item.refuse_key(format!(
                "`{}` in [{kind}] cannot be a name: {reason}",
                name.value.escape_debug()
            ));
        }
        all.insert(name.value, item.section().map(&decode).unwrap_or_default());
    }
    all
}

/// What a service, task or profile may be called: it becomes part of file names, and is told from ids and globs.
fn check_name(name: &str) -> Result<(), &'static str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() {
        Err("it is empty")
    } else if !name.chars().all(allowed) {
        Err("only letters, digits, `-`, `_` and `.` are allowed")
    } else if name.starts_with(['-', '.']) {
        Err("it must begin with a letter, a digit or `_`")
    } else if name == "all" {
        Err("`all` means every service")
    } else if name.bytes().all(|byte| byte.is_ascii_digit()) {
        Err("a number would be read as an id")
    } else if name.len() > LONGEST_NAME {
        Err("it is longer than 100 characters")
    } else {
        Ok(())
    }
}

/// Room for `-error.`, a stamp and `.log.gz` within the 255 bytes of a file name.
const LONGEST_NAME: usize = 100;

fn with_script(section: Section<'_, '_>) -> Service {
    require_script(&section, "service");
    service(section)
}

fn require_script(section: &Section<'_, '_>, kind: &str) {
    if !section.has("script") {
        section.refuse(format!("the {kind} has no `script`; add the program that it runs"));
    }
}

fn task(mut section: Section<'_, '_>) -> Task {
    require_script(&section, "task");
    let task = Task {
        at: section.at,
        script: text(&mut section, "script").unwrap_or_default(),
        args: section.take("args").and_then(words).unwrap_or_default(),
        cwd: text(&mut section, "cwd"),
        env: env(&mut section),
        inputs: section
            .take("inputs")
            .and_then(|item| globs(item, "a list of paths or globs"))
            .unwrap_or_default(),
        outputs: section
            .take("outputs")
            .and_then(|item| globs(item, "a list of paths or globs"))
            .unwrap_or_default(),
        container: section.section("container").map(container),
    };
    section.finish();
    task
}

fn profile(mut section: Section<'_, '_>) -> Profile {
    let profile = Profile {
        at: section.at,
        extends: section.take("extends").and_then(|item| located(&item)),
        services: section
            .take("services")
            .and_then(|item| names(item, "a list of services")),
        build: section.take("build").and_then(tasks),
        env: env(&mut section),
        env_file: section.take("env_file").and_then(paths),
        overrides: overrides(&mut section),
    };
    section.finish();
    profile
}

fn overrides(section: &mut Section<'_, '_>) -> BTreeMap<String, Located<Service>> {
    let mut overrides = BTreeMap::new();
    for (name, item) in section.entries_of("overrides") {
        let value = item.section().map(service).unwrap_or_default();
        overrides.insert(name.value, Located { value, at: name.at });
    }
    overrides
}
