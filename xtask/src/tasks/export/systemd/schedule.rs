//! `cron_restart`: a timer, and what it starts, which restarts the one service.

use super::super::{Document, Notes};
use super::{Stack, Workload, target_name, unit};
use crate::boot::unit_text::{line, specifiers};
use crate::plan::ServicePlan;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// The timer of a service that has a schedule; its name.
pub(super) fn schedule(
    stack: &Stack<'_>,
    workload: &Workload<'_>,
    plan: &ServicePlan,
    notes: &mut Notes,
    documents: &mut Vec<Document>,
) -> Option<String> {
    let cron = workload.written.cron_restart.as_ref()?.to_string();
    let Some(calendar) = calendar(&cron) else {
        notes.add(
            format!("`cron_restart` {cron}"),
            workload.name,
            "no calendar of systemd says the same; write a timer whose service runs `systemctl try-restart`",
        );
        return None;
    };
    let name = unit(stack, &plan.name);
    let base = name.trim_end_matches(".service");
    let (timer, restart) = (format!("{base}-restart.timer"), format!("{base}-restart.service"));
    let description = specifiers(&format!(
        "{}: restarts {} by its schedule",
        stack.plan.profile, plan.name
    ));
    let mut text = format!(
        "[Unit]\nDescription={description}\nPartOf={}\n\n[Timer]\n",
        target_name(stack)
    );
    line(&mut text, "OnCalendar", &calendar);
    text.push_str("AccuracySec=1s\n");
    text.push_str(&format!("\n[Install]\nWantedBy={}\n", target_name(stack)));
    documents.push(Document {
        name: timer.clone(),
        text,
        to_fill_in: false,
    });
    // The runtime directory tells the manager of the system from that of a user. What was stopped stays down.
    let script = format!(
        "[ %t = /run ] || user=--user; exec systemctl $$user try-restart {}",
        specifiers(&name)
    );
    let mut text = format!("[Unit]\nDescription={description}\n\n[Service]\nType=oneshot\n");
    line(&mut text, "ExecStart", &format!("/bin/sh -c \"{script}\""));
    documents.push(Document {
        name: restart,
        text,
        to_fill_in: false,
    });
    Some(timer)
}

/// A cron line as `OnCalendar` has it, in local time; `None` where that has no word for it: last days, nearest workdays, and a day of the
/// month or a day of the week, whichever comes.
fn calendar(cron: &str) -> Option<String> {
    let line = match cron {
        "@hourly" => "0 * * * *",
        "@daily" | "@midnight" => "0 0 * * *",
        "@weekly" => "0 0 * * 0",
        "@monthly" => "0 0 1 * *",
        "@yearly" | "@annually" => "0 0 1 1 *",
        line => line,
    };
    let mut fields: Vec<&str> = line.split_whitespace().collect();
    if fields.len() == 5 {
        fields.insert(0, "0");
    }
    let [second, minute, hour, day, month, weekday] = fields[..] else {
        return None;
    };
    let is_any = |field: &str| matches!(field, "*" | "?");
    if !is_any(day) && !is_any(weekday) {
        return None;
    }
    let number = |field: &str, range: RangeInclusive<u32>, names: &[&str]| -> Option<String> {
        let first = *range.start();
        let numbers = numbers(field, range.clone(), names, first)?;
        if numbers.len() == range.count() {
            return Some("*".to_owned());
        }
        let numbers = numbers.iter().map(|number| format!("{number:02}"));
        Some(numbers.collect::<Vec<_>>().join(","))
    };
    let date = format!("*-{}-{}", number(month, 1..=12, &MONTHS)?, number(day, 1..=31, &[])?);
    let time = [(hour, 23), (minute, 59), (second, 59)].map(|(field, last)| number(field, 0..=last, &[]));
    let time: Option<Vec<String>> = time.into_iter().collect();
    let days: BTreeSet<u32> = numbers(weekday, 0..=7, &DAYS, 0)?
        .into_iter()
        .map(|day| day % 7)
        .collect();
    let days = match days.len() {
        7 => String::new(),
        _ => {
            let names = days.iter().filter_map(|day| DAYS.get(usize::try_from(*day).ok()?));
            names
                .map(|name| name[..1].to_uppercase() + &name[1..])
                .collect::<Vec<_>>()
                .join(",")
                + " "
        }
    };
    Some(format!("{days}{date} {}", time?.join(":")))
}

/// All numbers that a field of a cron line means; `names` count from `first`.
fn numbers(field: &str, range: RangeInclusive<u32>, names: &[&str], first: u32) -> Option<BTreeSet<u32>> {
    let number = |word: &str| {
        let named = names.iter().position(|name| name.eq_ignore_ascii_case(word));
        let number = named.and_then(|at| u32::try_from(at).ok()).map(|at| at + first);
        number
            .or_else(|| word.parse().ok())
            .filter(|number| range.contains(number))
    };
    let mut all = BTreeSet::new();
    for item in field.split(',') {
        let (span, step) = match item.split_once('/') {
            Some((span, step)) => (span, Some(step.parse().ok().filter(|step| *step > 0)?)),
            None => (item, None),
        };
        let (from, to) = match span {
            "*" | "?" => (*range.start(), *range.end()),
            _ => match (span.split_once('-'), step) {
                (Some((from, to)), _) => (number(from)?, number(to)?),
                (None, Some(_)) => (number(span)?, *range.end()),
                (None, None) => (number(span)?, number(span)?),
            },
        };
        if from > to {
            return None;
        }
        all.extend((from..=to).step_by(step.unwrap_or(1)));
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cron_lines_become_calendars() {
        for (cron, expected) in [
            ("0 4 * * *", Some("*-*-* 04:00:00")),
            (
                "*/15 8-18/2 * * MON-FRI",
                Some("Mon,Tue,Wed,Thu,Fri *-*-* 08,10,12,14,16,18:00,15,30,45:00"),
            ),
            ("30 0 4 1,15 jan *", Some("*-01-01,15 04:00:30")),
            ("0 0 * * 7", Some("Sun *-*-* 00:00:00")),
            ("* * * * *", Some("*-*-* *:*:00")),
            ("@weekly", Some("Sun *-*-* 00:00:00")),
            ("5/20 * * * ?", Some("*-*-* *:05,25,45:00")),
            ("0 0 1 * 1", None),
            ("0 0 L * *", None),
            ("0 0 * * 5#2", None),
            ("0 0 5-1 * *", None),
        ] {
            assert_eq!(calendar(cron).as_deref(), expected, "{cron}");
        }
    }
}
