//! The pages of our own code in memory: most are needed at the start and at work, few at rest.
//!
//! Unsafe code: the system takes an address.

use std::fs;
use std::ptr;

use rustix::mm::{Advice, madvise};

/// Unmaps the pages of program text. They stay in the system's cache of files, from which those that are used again come back.
pub(in crate::process) fn release_code_pages() {
    // Where it does not work, they stay.
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let ranges: Vec<(usize, usize)> = maps.lines().filter_map(code).collect();
    drop(maps);
    // The program's own comes first in the list and is released last: what runs after that is mapped again.
    for (start, length) in ranges.into_iter().rev() {
        release(start, length);
    }
}

#[expect(unsafe_code, reason = "the system is told which memory by its address")]
fn release(start: usize, length: usize) {
    // SAFETY: The range is one that the kernel has just told as mapped from a file, executable and not writable. Nobody has changed its
    // pages, so what comes back from the file at the next access is what was there; the mapping itself stays.
    let _ = unsafe { madvise(ptr::without_provenance_mut(start), length, Advice::LinuxDontNeed) };
}

/// Where a line of `/proc/PID/maps` has program text of a file: start and length in bytes.
fn code(line: &str) -> Option<(usize, usize)> {
    let mut words = line.split_ascii_whitespace();
    let (range, permissions) = (words.next()?, words.next()?);
    let path = words.nth(3)?;
    if permissions != "r-xp" || !path.starts_with('/') {
        return None;
    }
    let (start, end) = range.split_once('-')?;
    let start = usize::from_str_radix(start, 16).ok()?;
    let end = usize::from_str_radix(end, 16).ok()?;
    Some((start, end.checked_sub(start)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_text_of_files_is_taken() {
        for (line, expected) in [
            (
                "0053d000-011d1000 r-xp 0033c000 fd:00 1234   /opt/x task/xtask",
                Some((0x53_d000, 0xc9_4000)),
            ),
            ("00200000-0053d000 r--p 00000000 fd:00 1234   /opt/xtask", None),
            ("011d1000-0129e000 rw-p 00fcf000 fd:00 1234   /opt/xtask", None),
            ("7ffc0000-7ffc2000 r-xp 00000000 00:00 0      [vdso]", None),
            ("7f000000-7f001000 r-xp 00000000 00:00 0", None),
        ] {
            assert_eq!(code(line), expected, "{line}");
        }
    }

    #[test]
    fn the_program_goes_on_with_what_it_needs() {
        let before = resident_code();
        release_code_pages();
        let after = resident_code();
        assert!(after < before, "{before} kB of code, then {after}");
    }

    /// Resident kilobytes of our own program's text.
    fn resident_code() -> u64 {
        let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
        let mut in_code = false;
        let mut sum = 0;
        for line in smaps.lines() {
            if let Some(rest) = line.strip_prefix("Rss:").filter(|_| in_code) {
                sum += rest.trim().trim_end_matches(" kB").parse::<u64>().unwrap();
            } else if line.contains('-') && line.split_ascii_whitespace().nth(1).is_some_and(|word| word.len() == 4) {
                in_code = code(line).is_some();
            }
        }
        sum
    }
}
