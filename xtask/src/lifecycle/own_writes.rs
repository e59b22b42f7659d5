//! Finds out that a service, or its build, writes into what it watches: the same file changes right after each start, turn
//! after turn, at the same pace. Only judges; what follows from it is decided in `step`.
//!
//! Nobody can see who wrote a file, so this is a judgement, and suspicion is put to the test before it is acted upon: no restart for a
//! while. A person, or a tool of theirs, saves again meanwhile; a service that writes at its start does not, and does so again after the
//! next one.

use super::Monotonic;
use std::collections::BTreeMap;
use std::time::Duration;

/// A change this long after the start of a build or run may be its doing; `npm run` on a busy machine takes its time.
const RIGHT_AFTER: Duration = Duration::from_secs(10);
/// How much the time from start to change may differ from turn to turn.
const STEADY: Duration = Duration::from_secs(1);
/// So many such turns in a row …
const TURNS: u32 = 8;
/// … over at least this long are no coincidence. A script that edits and awaits the restart is soon done.
const AT_LEAST: Duration = Duration::from_secs(5);
/// So often a suspicion may turn out wrong; what goes on even then is a service that writes all the time.
const EXCUSES: u32 = 2;
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
    suspicion: Suspicion,
    /// How often a suspicion was wrong since the same files last did not change right after a start.
    excused: u32,
}

/// What a turn is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is wrong.
    Act,
    /// The service seems to write what changed: wait so long whether it changes again without a start.
    Hold(Duration),
    /// It is certain enough: this file.
    Suspend(String),
}

/// How far the test has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Suspicion {
    #[default]
    None,
    /// No start happens, to see whether the files change all the same.
    Held,
    /// They did not. If they change after the next start, that is why.
    Confirmed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Burst {
    /// From the last start to the first change.
    delay: Duration,
    files: Names,
}

/// Files by what stays of their names from turn to turn, with one that was called so last.
type Names = BTreeMap<String, String>;

/// Turns in a row that look like the service's own doing.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Streak {
    /// Files that changed in each of them.
    files: Names,
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
        if self.suspicion == Suspicion::Held {
            if self.excused == EXCUSES {
                return;
            }
            // Without a start: no start made them change.
            self.suspicion = Suspicion::None;
            self.streak = None;
            self.burst = None;
            self.excused += 1;
        }
        let burst = self.burst.get_or_insert_with(|| Burst {
            delay: now.saturating_sub(self.acted_at),
            files: Names::new(),
        });
        let room = MOST_NAMES.saturating_sub(burst.files.len());
        let names = files.iter().take(room).map(|file| (lasting(file), file.clone()));
        burst.files.extend(names);
    }

    /// A turn begins with what changed since the last one.
    pub fn turn(&mut self, now: Monotonic) -> Verdict {
        if self.suspicion == Suspicion::Held && self.burst.is_none() {
            self.suspicion = Suspicion::Confirmed;
            return Verdict::Act;
        }
        let Some(burst) = self.burst.take() else {
            return Verdict::Act;
        };
        if burst.delay > RIGHT_AFTER {
            *self = Self {
                acted_at: self.acted_at,
                ..Self::default()
            };
            return Verdict::Act;
        }
        let streak = match self.streak.take().and_then(|streak| streak.and(&burst)) {
            Some(longer) => longer,
            None => {
                self.suspicion = Suspicion::None;
                Streak {
                    files: burst.files,
                    turns: 1,
                    began: now,
                    shortest: burst.delay,
                    longest: burst.delay,
                }
            }
        };
        let is_suspect = streak.turns >= TURNS && now.saturating_sub(streak.began) >= AT_LEAST;
        let (file, hold) = (streak.files.values().next().cloned(), streak.longest + STEADY);
        self.streak = Some(streak);
        let Some(file) = file.filter(|_| is_suspect) else {
            return Verdict::Act;
        };
        match self.suspicion {
            Suspicion::Confirmed => Verdict::Suspend(file),
            Suspicion::None | Suspicion::Held => {
                self.suspicion = Suspicion::Held;
                Verdict::Hold(hold)
            }
        }
    }
}

impl Streak {
    /// With one turn more; `None` when that one is of another kind.
    fn and(mut self, burst: &Burst) -> Option<Self> {
        self.files.retain(|name, file| match burst.files.get(name) {
            Some(last) => {
                file.clone_from(last);
                true
            }
            None => false,
        });
        self.shortest = self.shortest.min(burst.delay);
        self.longest = self.longest.max(burst.delay);
        self.turns += 1;
        (!self.files.is_empty() && self.longest - self.shortest <= STEADY).then_some(self)
    }
}

/// What of a file's name is the same each time: `run-4711.log` and `config.timestamp-1700000000000-0a1b2c.mjs` are made anew with other
/// numbers by each start.
fn lasting(file: &str) -> String {
    let is_part = |letter: char| letter.is_ascii_alphanumeric();
    let mut name = String::new();
    let mut rest = file;
    while let Some(first) = rest.chars().next() {
        let end = rest
            .find(|letter| is_part(letter) != is_part(first))
            .unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let is_number = word.contains(|letter: char| letter.is_ascii_digit());
        name.push_str(if is_number { "#" } else { word });
        rest = after;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays turns of a start, a change of `file` after the delay, and a turn 200 ms later; the number of the turn at which
    /// the file is named. While a turn is held, the change comes again after `meanwhile`, if that is soon enough.
    fn named(turns: impl IntoIterator<Item = (Duration, String)>, meanwhile: Option<Duration>) -> Option<usize> {
        let (mut own, mut now) = (OwnWrites::default(), Duration::ZERO);
        for (number, (delay, file)) in turns.into_iter().enumerate() {
            own.acted(now);
            now += delay;
            own.changed(&[file.clone(), format!("other/{}", "x".repeat(number))], now);
            now += ms(200);
            match own.turn(now) {
                Verdict::Act => {}
                Verdict::Suspend(named) => {
                    assert_eq!(named, file);
                    return Some(number + 1);
                }
                Verdict::Hold(span) => {
                    if let Some(meanwhile) = meanwhile.filter(|meanwhile| *meanwhile < span) {
                        now += meanwhile;
                        own.changed(&[file], now);
                        now += ms(200);
                    } else {
                        now += span;
                    }
                    match own.turn(now) {
                        Verdict::Act => {}
                        Verdict::Suspend(_) => return Some(number + 1),
                        Verdict::Hold(_) => panic!("held twice"),
                    }
                }
            }
        }
        None
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn file(name: &str) -> String {
        name.to_owned()
    }

    #[test]
    fn the_same_file_right_after_each_start_is_found_out_by_one_start_more() {
        assert_eq!(
            named((0..100).map(|turn| (ms(700 + turn % 7 * 20), file("stamp"))), None),
            Some(9)
        );
        assert_eq!(named((0..100).map(|_| (ms(4900), file("stamp"))), None), Some(9));
    }

    #[test]
    fn a_file_with_another_number_in_its_name_each_time_is_the_same() {
        let stamped = |turn: u64| format!("src/vite.config.ts.timestamp-{}-0a{turn}.mjs", 1_700_000_000 + turn);
        assert_eq!(named((0..100).map(|turn| (ms(700), stamped(turn))), None), Some(9));
        assert_eq!(lasting("src/run-4711.log"), "src/run-#.log");
        assert_eq!(lasting("src/main.rs"), "src/main.rs");
    }

    #[test]
    fn a_quick_loop_is_found_out_after_five_seconds() {
        assert_eq!(named((0..100).map(|_| (ms(50), file("stamp"))), None), Some(22));
    }

    #[test]
    fn a_person_is_not_taken_for_it() {
        // Unhurried, unsteady, in several files, or with one pause.
        assert_eq!(named((0..100).map(|_| (ms(10_100), file("main.rs"))), None), None);
        assert_eq!(
            named((0..100).map(|turn| (ms(300 + turn % 5 * 400), file("main.rs"))), None),
            None
        );
        let in_turn = |turn: u64| file(if turn.is_multiple_of(5) { "b.rs" } else { "a.rs" });
        assert_eq!(named((0..100).map(|turn| (ms(500), in_turn(turn))), None), None);
        let pause = |turn: u64| ms(if turn % 7 == 6 { 9000 } else { 500 });
        assert_eq!(named((0..100).map(|turn| (pause(turn), file("main.rs"))), None), None);
    }

    #[test]
    fn who_saves_steadily_goes_on_while_nothing_starts_and_is_no_suspect() {
        assert_eq!(
            named((0..20).map(|_| (ms(1400), file("main.rs"))), Some(ms(1400))),
            None
        );
    }

    #[test]
    fn what_never_stops_is_a_service_that_writes_all_the_time() {
        assert_eq!(
            named((0..100).map(|_| (ms(1400), file("app.log"))), Some(ms(1400))),
            Some(25)
        );
    }

    #[test]
    fn without_a_change_there_is_nothing_to_judge() {
        let mut own = OwnWrites::default();
        assert_eq!(own.turn(ms(1)), Verdict::Act);
        assert_eq!(own, OwnWrites::default());
    }
}
