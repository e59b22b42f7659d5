//! When to let a pipe gather before it is read again.
//!
//! A service that writes each line by itself, as fast as it can, would have each line read and written by itself, too, at the price of
//! two system calls and two changes of the process. A short pause makes them one for hundreds of lines. It is only made while reads
//! come in quick succession, so that no line is ever late by more than [`LONGEST`]; a service that writes in blocks never meets it.
//! Pure: time is an argument.

use rustix::event::Timespec;

use super::pump::{LARGE, SMALL};

/// Reads that follow each other within this many microseconds are in quick succession; while gathering, within the second.
const QUICK: i64 = 100;
const QUICK_WHILE_GATHERING: i64 = 2_000;
/// So many small reads in quick succession begin it.
const BEGIN: u32 = 16;
/// The first pause and the longest, in microseconds.
const FIRST: u32 = 100;
const LONGEST: u32 = 400;
/// Below this a pause gains nothing: the system's own slack is of this size.
const SHORTEST: u32 = 25;

/// How the reads of one pipe follow each other.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When it was last read, in microseconds of any clock.
    last: i64,
    /// Small reads in quick succession.
    small: u32,
    /// The pause before the next read, in microseconds; 0 for none.
    pause: u32,
}

impl Pace {
    /// Takes in a read of `count` bytes at `at`, in microseconds.
    pub(super) fn read(&mut self, count: usize, at: i64) {
        let limit = if self.pause > 0 { QUICK_WHILE_GATHERING } else { QUICK };
        let is_quick = (0..limit).contains(&(at - self.last));
        self.last = at;
        if !is_quick {
            self.small = 0;
            self.pause = 0;
        } else if self.pause == 0 {
            self.small = if count <= SMALL { self.small + 1 } else { 0 };
            if self.small == BEGIN {
                self.pause = FIRST;
            }
        } else if count >= LARGE {
            // The pipe may have been full, and its writer may have waited for us.
            self.pause /= 2;
            if self.pause < SHORTEST {
                self.small = 0;
                self.pause = 0;
            }
        } else if count < LARGE / 2 {
            self.pause = (self.pause * 2).min(LONGEST);
        }
    }

    /// Nothing was there to be read: nothing gathers any more. A reader who is merely faster than the writer finds nothing each time.
    pub(super) fn rest(&mut self) {
        if self.pause > 0 {
            self.small = 0;
            self.pause = 0;
        }
    }

    /// How long to let the pipe gather before the next read.
    pub(super) fn pause(&self) -> Option<Timespec> {
        (self.pause > 0).then(|| Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(self.pause) * 1000,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads of `count` bytes, `apart` microseconds from each other; the pause after them.
    fn after(pace: &mut Pace, reads: u32, count: usize, apart: i64) -> u32 {
        for _ in 0..reads {
            pace.read(count, pace.last + apart);
        }
        pace.pause()
            .map_or(0, |pause| u32::try_from(pause.tv_nsec / 1000).unwrap())
    }

    #[test]
    fn lines_in_quick_succession_gather_and_the_pause_grows_to_its_limit() {
        let mut pace = Pace::default();
        assert_eq!(after(&mut pace, BEGIN, 100, 5), FIRST);
        assert_eq!(after(&mut pace, 1, 100, 200), 2 * FIRST);
        assert_eq!(after(&mut pace, 9, 100, 200), LONGEST);
    }

    #[test]
    fn lines_now_and_then_and_blocks_are_read_at_once() {
        let mut pace = Pace::default();
        assert_eq!(after(&mut pace, 1000, 100, 150), 0);
        assert_eq!(after(&mut pace, 1000, LARGE, 5), 0);
        assert_eq!(after(&mut pace, BEGIN - 1, 100, 5), 0);
        assert_eq!(after(&mut pace, 1, LARGE, 5), 0);
        assert_eq!(after(&mut pace, BEGIN - 1, 100, 5), 0);
    }

    #[test]
    fn a_pipe_that_fills_meanwhile_is_read_sooner_and_an_empty_one_is_waited_for() {
        let mut pace = Pace::default();
        after(&mut pace, BEGIN + 9, 100, 5);
        assert_eq!(after(&mut pace, 1, LARGE, 5), LONGEST / 2);
        assert_eq!(after(&mut pace, 9, LARGE, 5), 0);
        after(&mut pace, BEGIN, 100, 5);
        pace.rest();
        assert_eq!(pace.pause(), None);
        after(&mut pace, BEGIN, 100, 5);
        assert_eq!(after(&mut pace, 1, 100, 1_000_000), 0);
    }

    #[test]
    fn a_reader_that_finds_nothing_after_each_line_gathers_all_the_same() {
        let mut pace = Pace::default();
        for _ in 0..BEGIN {
            after(&mut pace, 1, 100, 20);
            assert!(pace.pause().is_none() || pace.small == BEGIN);
            if pace.pause().is_none() {
                pace.rest();
            }
        }
        assert!(pace.pause().is_some());
    }
}
