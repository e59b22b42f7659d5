//! `/proc/PID/smaps_rollup` and `/proc/PID/task/*` → `Footprint`.

use std::fs;
use std::io;
use std::time::Duration;

use super::is_gone;
use crate::process::footprint::Footprint;

pub(in crate::process) fn footprint(pid: u32) -> io::Result<Footprint> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let mut footprint = Footprint {
        memory: number_after(&rollup, "Pss:").unwrap_or(0) * 1024,
        ..Footprint::default()
    };
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let thread = thread?.path();
        let (status, times) = match (
            fs::read_to_string(thread.join("status")),
            fs::read_to_string(thread.join("schedstat")),
        ) {
            (Ok(status), Ok(times)) => (status, times),
            // It ended meanwhile: `ESRCH` where its file was already open.
            (Err(error), _) | (_, Err(error)) if is_gone(&error) => continue,
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
        footprint.switches += number_after(&status, "\nvoluntary_ctxt_switches:").unwrap_or(0);
        // Nanoseconds on a processor come first.
        footprint.cpu += Duration::from_nanos(number_after(&times, "").unwrap_or(0));
    }
    Ok(footprint)
}

/// The first number behind a label.
fn number_after(text: &str, label: &str) -> Option<u64> {
    let (_, rest) = text.split_once(label)?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead as _, Write as _};

    #[test]
    fn the_footprint_of_a_process_is_there_and_grows_with_work() {
        const WORK: &str = "while read -r _; do i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done; echo done; done";
        let ((from, mut ask), (answers, to)) = (io::pipe().unwrap(), io::pipe().unwrap());
        let child = duct::cmd!("sh", "-c", WORK)
            .stdin_file(from)
            .stdout_file(to)
            .start()
            .unwrap();
        let mut answers = io::BufReader::new(answers);
        let mut work = || {
            ask.write_all(b"\n").unwrap();
            answers.read_line(&mut String::new()).unwrap();
            footprint(child.pids()[0]).unwrap()
        };
        let (before, after) = (work(), work());
        drop(ask);
        child.wait().unwrap();
        assert!(before.memory > 10 * 1024 && before.cpu > Duration::ZERO, "{before:?}");
        // It may find the next line there already, and then does not sleep.
        assert!(
            after.cpu > before.cpu && after.switches >= before.switches,
            "{before:?} {after:?}"
        );
    }

    #[test]
    fn a_process_that_is_gone_has_none() {
        assert_eq!(footprint(u32::MAX).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn only_the_voluntary_switches_count() {
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t7\nnonvoluntary_ctxt_switches:\t9\n";
        assert_eq!(number_after(status, "\nvoluntary_ctxt_switches:"), Some(7));
        assert_eq!(number_after("12 34 56\n", ""), Some(12));
        assert_eq!(number_after("Rss: 1 kB\n", "Pss:"), None);
    }
}
