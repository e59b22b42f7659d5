//! Finds out that a service, or its build, writes into what it watches: the same file changes right after each start, turn
//! after turn, at the same pace. Only judges; what follows from it is decided in `step`.
//!
//! Nobody can see who wrote a file, so this is a judgement. A person who saves one file again and again differs in at least
//! one of the four: the time after the start, its steadiness, how often, how long.

use super::Monotonic;
use std::collections::BTreeSet;
use std::time::Duration;

/// A change this long after the start of a build or run may be its doing; `npm run` on a busy machine takes its time.
const RIGHT_AFTER: Duration = Duration::from_secs(3);
/// How much the time from start to change may differ from turn to turn.
const STEADY: Duration = Duration::from_secs(1);
/// So many such turns in a row …
const TURNS: u32 = 8;
/// … over at least this long are no coincidence. A script that edits and awaits the restart is soon done.
const AT_LEAST: Duration = Duration::from_secs(5);
/// The most names that are compared: the first ones of a burst.
const MOST_NAMES: usize = 200;

/// What speaks for a service that writes into what it watches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OwnWrites {
    /// The last start of a build or a run.
    acted_at: Monotonic,
    /// What changed since the last turn began.
    burst: Option<Burst>,
    streak: Option<Streak>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Burst {
    /// From the last start to the first change.
    delay: Duration,
    files: BTreeSet<String>,
}

/// Turns in a row that look like the service's own doing.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Streak {
    /// Files that changed in each of them.
    files: BTreeSet<String>,
    turns: u32,
    began: Monotonic,
    shortest: Duration,
    longest: Duration,
}

impl OwnWrites {
    /// A build or a run began, or was asked to end: whatever that writes comes from now on.
    pub fn acted(&mut self, now: Monotonic) {
        self.acted_at = now;
    }

    /// Files changed.
    pub fn changed(&mut self, files: &[String], now: Monotonic) {
        let burst = self.burst.get_or_insert_with(|| Burst {
            delay: now.saturating_sub(self.acted_at),
            files: BTreeSet::new(),
        });
        let room = MOST_NAMES.saturating_sub(burst.files.len());
        burst.files.extend(files.iter().take(room).cloned());
    }

    /// A turn begins with what changed since the last one; a file that the service seems to write, when it is certain
    /// enough.
    pub fn turn(&mut self, now: Monotonic) -> Option<String> {
        let burst = self.burst.take()?;
        if burst.delay > RIGHT_AFTER {
            self.streak = None;
            return None;
        }
        let streak = match self.streak.take().and_then(|streak| streak.and(&burst)) {
            Some(longer) => longer,
            None => Streak {
                files: burst.files,
                turns: 1,
                began: now,
                shortest: burst.delay,
                longest: burst.delay,
            },
        };
        let certain = streak.turns >= TURNS && now.saturating_sub(streak.began) >= AT_LEAST;
        let file = streak.files.first().filter(|_| certain).cloned();
        self.streak = Some(streak);
        file
    }
}

impl Streak {
    /// With one turn more; `None` when that one is of another kind.
    fn and(mut self, burst: &Burst) -> Option<Self> {
        self.files.retain(|file| burst.files.contains(file));
        self.shortest = self.shortest.min(burst.delay);
        self.longest = self.longest.max(burst.delay);
        self.turns += 1;
        (!self.files.is_empty() && self.longest - self.shortest <= STEADY).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays turns of a start, a change of `file` after the delay, and a turn 200 ms later; the number of the turn at which
    /// the file is named.
    fn named(turns: impl IntoIterator<Item = (Duration, &'static str)>) -> Option<usize> {
        let (mut own, mut now) = (OwnWrites::default(), Duration::ZERO);
        for (number, (delay, file)) in turns.into_iter().enumerate() {
            own.acted(now);
            now += delay;
            own.changed(&[file.to_owned(), format!("other-{number}")], now);
            now += Duration::from_millis(200);
            if let Some(named) = own.turn(now) {
                assert_eq!(named, file);
                return Some(number + 1);
            }
        }
        None
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_same_file_right_after_each_start_is_found_out() {
        assert_eq!(named((0..100).map(|turn| (ms(700 + turn % 7 * 20), "stamp"))), Some(8));
        assert_eq!(named((0..100).map(|_| (ms(2900), "stamp"))), Some(8));
    }

    #[test]
    fn a_quick_loop_is_found_out_after_five_seconds() {
        assert_eq!(named((0..100).map(|_| (ms(50), "stamp"))), Some(21));
    }

    #[test]
    fn a_person_is_not_taken_for_it() {
        // Unhurried, unsteady, in several files, or with one pause.
        assert_eq!(named((0..100).map(|_| (ms(3100), "main.rs"))), None);
        assert_eq!(named((0..100).map(|turn| (ms(300 + turn % 5 * 400), "main.rs"))), None);
        assert_eq!(
            named((0..100).map(|turn| (ms(500), if turn % 5 == 0 { "b.rs" } else { "a.rs" }))),
            None
        );
        assert_eq!(
            named((0..100).map(|turn| (ms(if turn % 7 == 6 { 9000 } else { 500 }), "main.rs"))),
            None
        );
    }

    #[test]
    fn without_a_change_there_is_nothing_to_judge() {
        let mut own = OwnWrites::default();
        assert_eq!(own.turn(ms(1)), None);
        assert_eq!(own, OwnWrites::default());
    }
}
