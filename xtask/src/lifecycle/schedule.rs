//! When a `cron_restart` is due, however the clock on the wall is set meanwhile.
//! Pure: both clocks and the time zone are arguments; whoever owns it restarts the service.

use super::Monotonic;
use crate::clock::Now;
use crate::config::CronLine;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// The longest time without a look at the clock on the wall, which may be set, and may have gone on while the machine slept.
const LONGEST: Duration = Duration::from_secs(60);

/// A clock that is set back by less than this is being corrected: what has just been served is not served again.
const CORRECTION: SignedDuration = SignedDuration::from_mins(1);

/// A cron line at work.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    line: CronLine,
    /// The next moment, by the clock on the wall.
    due: Option<Timestamp>,
    served: Option<Timestamp>,
    look_at: Monotonic,
}

impl Schedule {
    /// A schedule that begins now; a moment that is just passing is not waited for.
    pub fn new(line: CronLine, now: Now, zone: &TimeZone) -> Self {
        let mut schedule = Self {
            line,
            due: None,
            served: None,
            look_at: now.monotonic,
        };
        schedule.plan(now, zone);
        schedule
    }

    /// What it goes by.
    pub fn line(&self) -> &CronLine {
        &self.line
    }

    /// The next moment as far as the clock is not set.
    pub fn due(&self) -> Option<Timestamp> {
        self.due
    }

    /// When to look next.
    pub fn look_at(&self) -> Monotonic {
        self.look_at
    }

    /// Whether a moment of the schedule has come; however many have passed at once, they are one.
    pub fn look(&mut self, now: Now, zone: &TimeZone) -> bool {
        let has_come = self.due.is_some_and(|due| due <= now.wall);
        if has_come {
            self.served = Some(now.wall);
        }
        self.plan(now, zone);
        has_come
    }

    /// The next moment follows from the present time alone, not from the last one: a clock that was set changes it.
    fn plan(&mut self, now: Now, zone: &TimeZone) {
        let corrected = |served: &Timestamp| now.wall < *served && served.duration_since(now.wall) < CORRECTION;
        let from = self.served.filter(corrected).unwrap_or(now.wall);
        self.due = self.line.next_after(from, zone);
        let wait = self.due.map_or(LONGEST, |due| {
            let wait = due.duration_since(now.wall);
            Duration::try_from(wait).unwrap_or_default().min(LONGEST)
        });
        self.look_at = now.monotonic + wait;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: i64 = 1_800_000_000 / 86_400 * 86_400;

    /// A world whose clock on the wall can be set; looks whenever the schedule asks for it.
    struct World {
        schedule: Schedule,
        now: Now,
        served: Vec<i64>,
        looks: u32,
    }

    impl World {
        /// A world that begins so many seconds after a midnight.
        fn at(line: &str, second: i64) -> Self {
            let now = Now {
                monotonic: Duration::from_secs(1000),
                wall: Timestamp::from_second(DAY + second).unwrap(),
            };
            let schedule = Schedule::new(CronLine::parse(line).unwrap(), now, &TimeZone::UTC);
            Self {
                schedule,
                now,
                served: Vec::new(),
                looks: 0,
            }
        }

        fn pass(&mut self, time: Duration) -> &mut Self {
            let end = self.now.monotonic + time;
            while self.schedule.look_at() <= end {
                self.go_to(self.schedule.look_at().max(self.now.monotonic));
                self.looks += 1;
                if self.schedule.look(self.now, &TimeZone::UTC) {
                    self.served.push(self.now.wall.as_second() - DAY);
                }
            }
            self.go_to(end);
            self
        }

        fn go_to(&mut self, moment: Monotonic) {
            let passed = moment - self.now.monotonic;
            self.now.monotonic = moment;
            self.now.wall += passed;
        }

        fn set_clock(&mut self, by: SignedDuration) -> &mut Self {
            self.now.wall += by;
            self
        }
    }

    const HOUR: i64 = 3600;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn it_is_served_at_its_time_and_looks_at_most_once_a_minute() {
        let mut world = World::at("0 4 * * *", 3 * HOUR);
        world.pass(seconds(3 * 3600));
        assert_eq!(world.served, [4 * HOUR]);
        assert!(world.looks <= 181, "{}", world.looks);
        let mut world = World::at("* * * * * *", 0);
        world.pass(seconds(5));
        assert_eq!(world.served, [1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_clock_set_forward_serves_once_what_it_has_left_out() {
        let mut world = World::at("*/10 * * * *", 60);
        world
            .pass(seconds(30))
            .set_clock(SignedDuration::from_hours(5))
            .pass(seconds(120));
        assert_eq!(world.served.len(), 1, "{:?}", world.served);
        world.pass(seconds(600));
        assert_eq!(world.served.len(), 2, "{:?}", world.served);
    }

    #[test]
    fn a_clock_set_back_neither_stalls_nor_repeats_what_a_correction_would() {
        let mut world = World::at("* * * * *", 0);
        world
            .pass(seconds(150))
            .set_clock(SignedDuration::from_hours(-1))
            .pass(seconds(180));
        assert_eq!(world.served, [60, 120, 180 - HOUR + 60, 180 - HOUR + 120]);
        let mut world = World::at("0 4 * * *", 4 * HOUR - 10);
        world
            .pass(seconds(11))
            .set_clock(SignedDuration::from_secs(-5))
            .pass(seconds(3600));
        assert_eq!(world.served, [4 * HOUR]);
    }

    #[test]
    fn it_begins_with_the_next_moment_and_not_with_the_present_one() {
        assert!(World::at("0 4 * * *", 4 * HOUR).pass(seconds(3600)).served.is_empty());
    }

    proptest! {
        #[test]
        fn no_way_of_setting_the_clock_makes_a_storm_or_a_stall(sets in prop::collection::vec((-7200_i64..7200, 1_u64..300), 0..20)) {
            let mut world = World::at("* * * * *", 0);
            for (by, time) in sets {
                let before = world.served.len();
                world.set_clock(SignedDuration::from_secs(by)).pass(seconds(time));
                let served = (world.served.len() - before) as u64;
                prop_assert!(served <= time / 60 + 2, "{served} in {time} s");
                prop_assert!(served + 2 >= time / 60, "{served} in {time} s");
            }
            prop_assert!(world.looks < 1000);
        }
    }
}
