//! `[services.NAME]` and overrides of it: each key into its type.
//!
//! Looks at one key at a time; fills no default.

use jiff::tz::TimeZone;

use super::Located;
use super::container::container;
use super::decode_ready::ready;
use super::section::{Item, Section};
use super::service::{Dependency, Port, Rotation, Service, Watch};
use super::shapes::{count, env, globs, names, paths, size, strings, tasks, text, whole, words};
use crate::log::stamp::Stamp;

/// A service, or an override of one.
pub(super) fn service(mut section: Section<'_, '_>) -> Service {
    let at = section.at;
    let service = Service {
        at,
        script: text(&mut section, "script"),
        args: section.take("args").and_then(words),
        interpreter: text(&mut section, "interpreter"),
        interpreter_args: section.take("interpreter_args").and_then(words),
        cwd: text(&mut section, "cwd"),
        env: env(&mut section),
        env_file: section.take("env_file").and_then(paths),
        watch: section.take("watch").and_then(watch),
        watch_delay: section.leaf("watch_delay"),
        ignore_watch: section
            .take("ignore_watch")
            .and_then(|item| globs(item, "a list of globs")),
        build: section.take("build").and_then(tasks),
        autorestart: section.leaf("autorestart"),
        max_restarts: section.take("max_restarts").and_then(|item| count(&item)),
        min_uptime: section.leaf("min_uptime"),
        restart_delay: section.leaf("restart_delay"),
        exp_backoff_restart_delay: section.leaf("exp_backoff_restart_delay"),
        stop_exit_codes: section.take("stop_exit_codes").and_then(exit_codes),
        max_memory_restart: section.take("max_memory_restart").and_then(|item| size(&item)),
        kill_signal: section.leaf("kill_signal"),
        kill_timeout: section.leaf("kill_timeout"),
        cron_restart: section.leaf("cron_restart"),
        depends_on: section.take("depends_on").and_then(depends_on),
        ready: section.section("ready").map(ready),
        ports: section.take("ports").and_then(ports),
        instances: section
            .take("instances")
            .and_then(|item| whole(&item, "a whole number from 1 to 1000", 1, 1000)),
        pty: section.leaf("pty"),
        out_file: text(&mut section, "out_file"),
        error_file: text(&mut section, "error_file"),
        log_date_format: section.take("log_date_format").and_then(stamp),
        rotation: rotation(&mut section),
        container: section.section("container").map(container),
    };
    section.finish();
    service
}

/// `max_size`, `retain` and `compress` of a section.
pub(super) fn rotation(section: &mut Section<'_, '_>) -> Rotation {
    Rotation {
        max_size: section.take("max_size").and_then(|item| size(&item)),
        retain: section.take("retain").and_then(|item| count(&item)),
        compress: section.leaf("compress"),
    }
}

fn stamp(item: Item<'_, '_>) -> Option<String> {
    item.checked(
        "a strftime format, or \"\" for no stamp",
        |format: String| match Stamp::new(Some(&format), TimeZone::UTC) {
            Ok(_) => Ok(format),
            Err(reason) => Err(reason),
        },
    )
}

fn watch(item: Item<'_, '_>) -> Option<Watch> {
    const EXPECTED: &str = "true, false or a list of paths";
    if item.is_list() {
        let paths = strings(item, EXPECTED)?;
        return Some(if paths.is_empty() {
            Watch::Off
        } else {
            Watch::Paths(paths)
        });
    }
    item.checked(EXPECTED, |on: bool| Ok(if on { Watch::Cwd } else { Watch::Off }))
}

fn exit_codes(item: Item<'_, '_>) -> Option<Vec<i32>> {
    const EXPECTED: &str = "an exit code from 0 to 255, or a list of them";
    let code = |item: &Item<'_, '_>| whole(item, EXPECTED, 0, 255);
    if item.is_list() {
        return Some(item.items(EXPECTED)?.iter().filter_map(code).collect());
    }
    code(&item).map(|code| vec![code])
}

fn ports(item: Item<'_, '_>) -> Option<Vec<Port>> {
    Some(item.items("a list of ports")?.iter().filter_map(port).collect())
}

fn port(item: &Item<'_, '_>) -> Option<Port> {
    const EXPECTED: &str = "a port from 1 to 65535, or a string with ${VAR}";
    let number = |number: u16| {
        if number == 0 {
            Err(format!("expected {EXPECTED}"))
        } else {
            Ok(Port::Number(number))
        }
    };
    if !item.is_text() {
        return whole(item, EXPECTED, 1, 65535).map(Port::Number);
    }
    item.checked(EXPECTED, |text: String| match text.parse() {
        Ok(parsed) => number(parsed),
        Err(_) if text.contains("${") => Ok(Port::Text(Located {
            value: text,
            at: item.at,
        })),
        Err(_) => Err(format!("`{text}` is not a port, expected {EXPECTED}")),
    })
}

fn depends_on(item: Item<'_, '_>) -> Option<Vec<(Located<String>, Dependency)>> {
    const EXPECTED: &str = "a list of names, or a table of conditions by name";
    if !item.is_table() {
        let names = names(item, EXPECTED)?;
        return Some(names.into_iter().map(|name| (name, Dependency::default())).collect());
    }
    Some(
        item.section()?
            .entries()
            .into_iter()
            .map(|(name, item)| (name, dependency(item)))
            .collect(),
    )
}

fn dependency(item: Item<'_, '_>) -> Dependency {
    let mut dependency = Dependency::default();
    if item.is_table() {
        if let Some(mut section) = item.section() {
            dependency.condition = section.leaf("condition").unwrap_or_default();
            dependency.restart = section.leaf("restart").unwrap_or_default();
            section.finish();
        }
    } else if let Some(condition) = item.checked("a condition or a table of `condition` and `restart`", Ok) {
        dependency.condition = condition;
    }
    dependency
}
