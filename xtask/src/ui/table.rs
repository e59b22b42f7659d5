//! Tables: the process table of `status`, and plain ones.

use crate::config::units::{format_duration, format_size};
use crate::ipc::protocol::{ServiceStatus, Stack};
use comfy_table::{Table, presets};
use std::fmt::Write as _;
use std::time::Duration;

const HEADER: [&str; 11] = [
    "id", "name", "pid", "status", "ready", "restarts", "uptime", "cpu", "memory", "ports", "watch",
];
/// What a terminal that is too narrow for all of them does without, first things first.
const DISPENSABLE: [&str; 5] = ["watch", "id", "cpu", "memory", "uptime"];
const NONE: &str = "-";

/// The tables of all stacks, each under its profile's name when there are several; below each, why what is not as wanted. With a `width`
/// the tables have as many of their columns as fit into it.
pub fn render(stacks: &[Stack], width: Option<usize>) -> String {
    let mut text = String::new();
    for stack in stacks {
        if stacks.len() > 1 {
            let gap = if text.is_empty() { "" } else { "\n" };
            text.push_str(&format!("{gap}{}:\n", stack.profile));
        }
        text.push_str(&one(stack, width));
    }
    text
}

/// Rows under their heads, without lines around them.
pub fn plain(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(header);
    table.add_rows(rows);
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn one(stack: &Stack, width: Option<usize>) -> String {
    let without = |left_out: &[&str]| {
        let header: Vec<&str> = HEADER.into_iter().filter(|head| !left_out.contains(head)).collect();
        let cells = |service| HEADER.iter().zip(row(service));
        let shown = |service| {
            cells(service)
                .filter(|(head, _)| !left_out.contains(head))
                .map(|(_, cell)| cell)
        };
        plain(&header, stack.services.iter().map(|service| shown(service).collect()))
    };
    let fits = |table: &String| width.is_none_or(|width| table.lines().all(|line| line.chars().count() <= width));
    let mut tables = (0..DISPENSABLE.len()).map(|count| without(&DISPENSABLE[..count]));
    let mut text = tables.find(fits).unwrap_or_else(|| without(&DISPENSABLE));
    for service in &stack.services {
        if let Some(reason) = &service.reason {
            // A long reason, such as a build's last lines, stays below its service.
            let _ = writeln!(text, " {}: {}", service.name, reason.replace('\n', "\n     "));
        }
    }
    text
}

fn row(service: &ServiceStatus) -> Vec<String> {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| NONE.to_owned());
    let ports: Vec<String> = service.ports.iter().map(|port| shown(*port, service)).collect();
    vec![
        service.id.to_string(),
        service.name.clone(),
        or_none(service.pid.map(|pid| pid.to_string())),
        service.status.clone(),
        yes_no(service.ready),
        service.restarts.to_string(),
        or_none(service.uptime_ms.map(|millis| uptime(Duration::from_millis(millis)))),
        or_none(service.cpu_percent.map(|percent| format!("{percent:.1}%"))),
        or_none(service.memory_bytes.map(format_size)),
        if ports.is_empty() {
            NONE.to_owned()
        } else {
            ports.join(", ")
        },
        yes_no(service.watching),
    ]
}

/// A port that other machines can reach is marked as `ss` and `lsof` do.
fn shown(port: u16, service: &ServiceStatus) -> String {
    let mark = if service.ports_on_all_interfaces.contains(&port) {
        "*:"
    } else {
        ""
    };
    format!("{mark}{port}")
}

/// Whole seconds at the least: nobody reads the milliseconds of an uptime.
fn uptime(duration: Duration) -> String {
    format_duration(Duration::from_secs(duration.as_secs()))
}

fn yes_no(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}
