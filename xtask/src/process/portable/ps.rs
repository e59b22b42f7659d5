//! The output of `ps` → values. Pure.

use std::time::Duration;

use jiff::civil::DateTime;

use crate::process::identity::{Identity, RunTag};
use crate::process::tree::Process;

/// What [`parse_process`] reads; the start is five words, the name is last because it may hold spaces.
pub(super) const COLUMNS: &str = "pid=,ppid=,pgid=,sess=,stat=,rss=,time=,lstart=,comm=";

/// One line; the dates are UTC.
pub(super) fn parse_process(line: &str) -> Option<Process> {
    let mut rest = line;
    let mut word = || {
        let (word, after) = rest.trim_start().split_once(char::is_whitespace)?;
        rest = after;
        Some(word)
    };
    let (pid, parent, group) = (word()?.parse().ok()?, word()?.parse().ok()?, word()?.parse().ok()?);
    // macOS prints an address or 0.
    let session = word()?.parse().unwrap_or(0);
    let state = word()?;
    let kibibytes: u64 = word()?.parse().ok()?;
    let cpu = parse_time(word()?)?;
    let (_weekday, month, day, time, year) = (word()?, word()?, word()?, word()?, word()?);
    let start = DateTime::strptime("%b %d %H:%M:%S %Y", format!("{month} {day} {time} {year}")).ok()?;
    let start = start.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second();
    let path = rest.trim();
    Some(Process {
        identity: Identity {
            pid,
            start: u64::try_from(start).ok()?,
        },
        parent,
        group,
        session,
        zombie: state.starts_with('Z'),
        // Linux says D, macOS says U.
        uninterruptible: state.starts_with(['D', 'U']),
        cpu,
        own_cpu: cpu,
        memory: kibibytes * 1024,
        name: path.rsplit('/').next().unwrap_or(path).to_owned(),
    })
}

/// A line of pid, command and environment.
pub(super) fn parse_tag(line: &str, variable: &str) -> Option<(u32, RunTag)> {
    let (pid, command) = line.trim_start().split_once(' ')?;
    // The last one: arguments come first and may quote the variable.
    let value = command
        .split(' ')
        .rev()
        .find_map(|word| word.strip_prefix(variable)?.strip_prefix('='))?;
    Some((pid.parse().ok()?, value.parse().ok()?))
}

/// `[DD-]HH:MM:SS` (Linux) or `MMM:SS.cc` (macOS).
fn parse_time(text: &str) -> Option<Duration> {
    let (days, clock) = text.split_once('-').unwrap_or(("0", text));
    let (clock, hundredths) = clock.split_once('.').unwrap_or((clock, "0"));
    let seconds = clock
        .split(':')
        .try_fold(0, |sum: u64, part| Some(sum * 60 + part.parse::<u64>().ok()?))?;
    let days: u64 = days.parse().ok()?;
    Some(Duration::from_secs(days * 86_400 + seconds) + Duration::from_millis(hundredths.parse::<u64>().ok()? * 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_each_system_is_read() {
        let linux = "   4711     1  4711  4700 Ssl  31232 1-02:03:04 Mon Nov 23 09:00:01 2026 node";
        let process = parse_process(linux).unwrap();
        assert_eq!(
            process.identity,
            Identity {
                pid: 4711,
                start: 1_795_424_401
            }
        );
        assert_eq!((process.parent, process.group, process.session), (1, 4711, 4700));
        assert_eq!(
            (process.cpu, process.memory),
            (Duration::from_secs(93_784), 31232 * 1024)
        );
        assert_eq!((process.name.as_str(), process.zombie), ("node", false));

        let mac =
            "  501   1   501      0 U+    1024   0:01.25 Mon Nov  3 09:00:01 2026     /Applications/My App.app/My App";
        let process = parse_process(mac).unwrap();
        assert_eq!((process.name.as_str(), process.uninterruptible), ("My App", true));
        assert_eq!(process.cpu, Duration::from_millis(1250));
        assert_eq!(parse_process("  1 2"), None);
        assert!(
            parse_process(" 9 1 9 0 Z 0 0:00.00 Mon Nov  3 09:00:01 2026 (sh)")
                .unwrap()
                .zombie
        );
    }

    #[test]
    fn the_mark_is_found_in_an_environment_and_not_in_an_argument() {
        let run = RunTag { nonce: 0xab, run: 3 };
        assert_eq!(
            parse_tag(
                "  12 grep XTASK_RUN=000000cd/9 f HOME=/ XTASK_RUN=000000ab/3 A=b",
                "XTASK_RUN"
            ),
            Some((12, run))
        );
        assert_eq!(parse_tag("  12 node server.js HOME=/", "XTASK_RUN"), None);
    }
}
