//! `/proc/PID/smaps_rollup` and `/proc/PID/task/*` → `Footprint`.

use std::fs;
use std::io;
use std::time::Duration;

use crate::process::footprint::Footprint;

pub(in crate::process) fn footprint(pid: u32) -> io::Result<Footprint> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let mut footprint = Footprint {
        memory: number_after(&rollup, "Pss:").unwrap_or(0) * 1024,
        ..Footprint::default()
    };
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let thread = thread?.path();
        let status = fs::read_to_string(thread.join("status"))?;
        footprint.switches += number_after(&status, "\nvoluntary_ctxt_switches:").unwrap_or(0);
        // Nanoseconds on a processor come first.
        let times = fs::read_to_string(thread.join("schedstat"))?;
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

    #[test]
    fn the_footprint_of_this_process_is_there_and_grows_with_work() {
        let before = footprint(std::process::id()).unwrap();
        assert!(before.memory > 100 * 1024 && before.cpu > Duration::ZERO, "{before:?}");
        // A thread that waits for another goes to sleep.
        std::thread::spawn(|| std::hint::black_box((0..1_000_000_u64).sum::<u64>()))
            .join()
            .unwrap();
        let after = footprint(std::process::id()).unwrap();
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
