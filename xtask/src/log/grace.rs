//! When a reader that follows shows what it has found. Pure.
//!
//! A line reaches its file a little after its stamp was taken, so the youngest lines wait a moment for older ones of other files; and
//! an unfinished line, most often a prompt, is shown once it has been quiet for a while. Neither needs a look at the files before
//! something changes or a deadline passes.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::clock::Now;

/// How long a line may take from its stamp to its file: a writer that has to wait for a processor, a turn of the supervisor.
const GRACE: Duration = Duration::from_millis(100);
/// How long an unfinished line has to be quiet before it is shown.
const QUIET: Duration = Duration::from_secs(1);

/// What waits, and until when.
#[derive(Clone, Debug, Default)]
pub struct Grace {
    /// The first line that was found and not shown, and when it will be.
    held: Option<(Timestamp, Duration)>,
    /// Bytes of the unfinished line of each log, and when it will have been quiet long enough.
    unfinished: Vec<Option<(usize, Duration)>>,
}

impl Grace {
    /// The stamp of the youngest lines to be shown at `now`; none where all are.
    pub fn limit(&self, now: Now) -> Option<Timestamp> {
        match self.held {
            // Stamped in the future: the clock was set back, and waiting would not end.
            Some((stamp, due)) if due <= now.monotonic && stamp > now.wall => None,
            Some(_) | None => now.wall.checked_sub(GRACE).ok(),
        }
    }

    /// Takes note of what a look at `now` has left: the stamp of the first line that stays, and bytes of the unfinished line of each
    /// log, in an order that stays.
    pub fn left(&mut self, first: Option<Timestamp>, unfinished: &[usize], now: Now) {
        self.held = first.map(|stamp| {
            let wait = Duration::try_from(
                stamp.duration_since(now.wall) + SignedDuration::try_from(GRACE).unwrap_or_default(),
            );
            let due = now.monotonic + wait.unwrap_or_default().min(GRACE);
            match self.held {
                Some((before, since)) if before == stamp => (stamp, since.min(due)),
                Some(_) | None => (stamp, due),
            }
        });
        self.unfinished.resize(unfinished.len(), None);
        for (known, size) in self.unfinished.iter_mut().zip(unfinished) {
            *known = match *known {
                _ if *size == 0 => None,
                // One that was due and stays all the same is not asked for without end.
                Some((before, due)) if before == *size && due > now.monotonic => Some((before, due)),
                Some(_) | None => Some((*size, now.monotonic + QUIET)),
            };
        }
    }

    /// Whether the unfinished line of so many bytes of a log is to be shown at `now`. What other logs hold does not matter: it is younger.
    pub fn shows_unfinished(&self, log: usize, size: usize, now: Now) -> bool {
        let known = self.unfinished.get(log).copied().flatten();
        known.is_some_and(|(before, due)| before == size && due <= now.monotonic)
    }

    /// When to look again although nothing has changed.
    pub fn deadline(&self) -> Option<Duration> {
        let unfinished = self.unfinished.iter().flatten().map(|(_, due)| *due);
        unfinished.chain(self.held.map(|(_, due)| due)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Now {
        Now {
            monotonic: Duration::from_millis(millis),
            wall: stamp(millis),
        }
    }

    fn stamp(millis: u64) -> Timestamp {
        Timestamp::from_second(1_700_000_000).unwrap() + Duration::from_millis(millis)
    }

    #[test]
    fn a_line_is_shown_when_it_has_waited_and_never_needs_two_looks() {
        let mut grace = Grace::default();
        assert_eq!(grace.deadline(), None);
        grace.left(Some(stamp(950)), &[], at(1000));
        let due = grace.deadline().unwrap();
        assert_eq!(due, Duration::from_millis(1050));
        let then = at(u64::try_from(due.as_millis()).unwrap());
        assert!(grace.limit(then) >= Some(stamp(950)));
    }

    #[test]
    fn a_line_from_the_future_waits_no_longer_however_busy_the_files_are() {
        let mut grace = Grace::default();
        for millis in [1000, 1040, 1080] {
            assert!(grace.limit(at(millis)).is_some());
            grace.left(Some(stamp(9_999_999)), &[], at(millis));
        }
        assert_eq!(grace.deadline(), Some(Duration::from_millis(1100)));
        assert_eq!(grace.limit(at(1100)), None);
    }

    #[test]
    fn an_unfinished_line_is_shown_when_it_is_quiet_whatever_the_others_do() {
        let mut grace = Grace::default();
        grace.left(None, &[3, 0], at(1000));
        grace.left(None, &[5, 0], at(1500));
        assert_eq!(grace.deadline(), Some(Duration::from_millis(2500)));
        grace.left(Some(stamp(2350)), &[5, 7], at(2400));
        assert_eq!(
            grace.deadline(),
            Some(Duration::from_millis(2450)),
            "the held one comes first"
        );
        assert!(!grace.shows_unfinished(0, 5, at(2499)));
        assert!(grace.shows_unfinished(0, 5, at(2500)));
        assert!(!grace.shows_unfinished(0, 6, at(2500)), "it has grown");
        assert!(!grace.shows_unfinished(1, 7, at(2500)));
        grace.left(None, &[0, 7], at(2500));
        assert_eq!(grace.deadline(), Some(Duration::from_millis(3400)));
        grace.left(None, &[0, 7, 0], at(3500));
        assert_eq!(
            grace.deadline(),
            Some(Duration::from_millis(4500)),
            "no look without end"
        );
        grace.left(None, &[0, 0, 0], at(3600));
        assert_eq!(grace.deadline(), None);
    }
}
