//! `/proc/PID/stat` → `Process`. One open, read and close for each; no other file.

use std::fs::File;
use std::io::{self, Read};
use std::ops::RangeInclusive;
use std::sync::LazyLock;
use std::time::Duration;

use crate::process::identity::Identity;
use crate::process::tree::Process;

/// The process that has this pid; `None` for a line that is not understood.
pub(super) fn read(pid: u32) -> io::Result<Option<Process>> {
    Ok(read_with_threads(pid)?.map(|(process, _)| process))
}

/// The same, and how many threads it has.
pub(super) fn read_with_threads(pid: u32) -> io::Result<Option<(Process, u64)>> {
    // Numbers and a name of at most 64 bytes: some 500 bytes at the very most.
    let mut buffer = [0; 1024];
    let length = File::open(format!("/proc/{pid}/stat"))?.read(&mut buffer)?;
    Ok(parse(&buffer[..length]))
}

/// Clock ticks a second and bytes of a page.
static UNITS: LazyLock<(u64, u64)> = LazyLock::new(|| {
    let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
    (rustix::param::clock_ticks_per_second().max(1), page)
});

/// Fields by their number in proc_pid_stat(5), less the three that come first.
fn parse(line: &[u8]) -> Option<(Process, u64)> {
    // A name may hold anything, brackets and spaces included, so it ends at the last one.
    let open = line.iter().position(|byte| *byte == b'(')?;
    let close = line.iter().rposition(|byte| *byte == b')')?;
    let pid = std::str::from_utf8(&line[..open]).ok()?.trim().parse().ok()?;
    let rest = std::str::from_utf8(line.get(close + 2..)?).ok()?;
    let mut fields = [""; 22];
    let mut words = rest.split_ascii_whitespace();
    for field in &mut fields {
        *field = words.next()?;
    }
    let number = |field: usize| fields[field - 3].parse::<u64>().ok();
    let id = |field: usize| fields[field - 3].parse::<u32>().ok();
    let (ticks_per_second, page) = *UNITS;
    let time = |fields: RangeInclusive<usize>| {
        let ticks: u64 = fields.filter_map(number).sum();
        Duration::from_millis(ticks * 1000 / ticks_per_second)
    };
    let threads = number(20)?;
    let process = Process {
        identity: Identity {
            pid,
            start: number(22)?,
        },
        parent: id(4)?,
        group: id(5)?,
        session: id(6)?,
        // A first thread that has ended while others go on looks like a zombie, and is not.
        zombie: matches!(fields[0], "Z" | "X" | "x") && threads <= 1,
        uninterruptible: fields[0] == "D",
        cpu: time(14..=17), // user, system, and both of children waited for
        own_cpu: time(14..=15),
        memory: number(24).unwrap_or(0) * page,
        name: String::from_utf8_lossy(&line[open + 1..close]).into_owned(),
    };
    Some((process, threads))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, state: char, threads: u32) -> String {
        format!(
            "77 ({name}) {state} 12 70 60 0 -1 4194560 1 2 3 4 150 50 20 30 20 0 {threads} 0 98765 1000000 11 184467 1\n"
        )
    }

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let process = parse(line("a) S 1 (b", 'D', 1).as_bytes()).unwrap().0;
        assert_eq!(process.identity, Identity { pid: 77, start: 98765 });
        assert_eq!((process.parent, process.group, process.session), (12, 70, 60));
        assert_eq!(
            (process.name.as_str(), process.zombie, process.uninterruptible),
            ("a) S 1 (b", false, true)
        );
        assert_eq!(process.cpu, Duration::from_millis(2500));
        assert_eq!(process.own_cpu, Duration::from_millis(2000));
        assert_eq!(process.memory, 11 * UNITS.1);
    }

    #[test]
    fn a_process_whose_first_thread_has_ended_is_no_zombie() {
        assert!(parse(line("java", 'Z', 1).as_bytes()).unwrap().0.zombie);
        assert!(!parse(line("java", 'Z', 9).as_bytes()).unwrap().0.zombie);
    }

    #[test]
    fn a_torn_line_is_nothing() {
        let whole = line("x", 'S', 1);
        assert_eq!(parse(&whole.as_bytes()[..40]).map(drop), None);
        assert_eq!(parse(b"").map(drop), None);
    }
}
