//! Histories of one service, by hand and at random.

use super::{
    Action, Cause, Event, Exit, HELD, Next, PAST_RUNS, Phase, Ready, Run, RunId, Service, State, Turn, Wanted,
    deadline, step,
};
use crate::clock::Now;
use crate::config::{Autorestart, Signal};
use crate::policy::{Policy, Readiness};
use proptest::prelude::*;
use std::time::Duration;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const MEMORY: Cause = Cause::Memory { used: 2, limit: 1 };

fn policy() -> Policy {
    Policy {
        autorestart: Autorestart::Always,
        max_restarts: 2,
        min_uptime: ms(1000),
        restart_delay: ms(100),
        exp_backoff_restart_delay: None,
        stop_exit_codes: vec![7],
        kill_signal: Signal::Int,
        kill_timeout: ms(5000),
        watch_delay: ms(200),
        readiness: Readiness::Probe(ms(3000)),
        builds: false,
    }
}

/// A service with a clock: plays the fleet's part and collects what is to be done.
struct Play {
    service: Service,
    policy: Policy,
    at: Duration,
    runs: u32,
    actions: Vec<Action>,
}

impl Play {
    fn new(policy: Policy) -> Self {
        Self {
            service: Service::new(),
            policy,
            at: ms(1_000_000),
            runs: 0,
            actions: Vec::new(),
        }
    }

    /// A service that is online in its first run.
    fn online(policy: Policy) -> Self {
        let mut play = Self::new(policy);
        play.take(Event::Start);
        play.spawn();
        play
    }

    fn take(&mut self, event: Event) -> &mut Self {
        let now = Now {
            monotonic: self.at,
            wall: jiff::Timestamp::UNIX_EPOCH,
        };
        let (service, actions) = step(self.service.clone(), event, &self.policy, now);
        self.service = service;
        self.actions = actions
            .into_iter()
            .filter(|action| !matches!(action, Action::Note(_)))
            .collect();
        self
    }

    fn spawn(&mut self) -> RunId {
        assert_eq!(self.service.state, State::Launching(None));
        self.runs += 1;
        let run = RunId(self.runs);
        let pid = 100 + self.runs;
        self.take(Event::Go(run)).take(Event::Spawned(run, pid));
        run
    }

    fn pass(&mut self, time: Duration) -> &mut Self {
        self.at += time;
        self.take(Event::Tick)
    }

    /// The build of a change that has just been quiet for long enough.
    fn build(&self) -> Action {
        Action::Build(self.at - self.policy.watch_delay)
    }

    /// The present run crashes and leaves nothing behind.
    fn crash(&mut self, exit: Exit) -> &mut Self {
        let run = RunId(self.runs);
        self.take(Event::Exited(run, exit)).take(Event::TreeGone(run))
    }
}

#[test]
fn an_unstable_run_is_retried_max_restarts_times_and_then_given_up() {
    let mut play = Play::online(policy());
    for _ in 0..2 {
        play.crash(Exit::Code(1));
        assert!(
            matches!(play.service.state, State::WaitingRestart { .. }),
            "{:?}",
            play.service.state
        );
        play.pass(ms(100));
        play.spawn();
    }
    play.crash(Exit::Code(1));
    assert_eq!(play.service.state, State::Errored);
    assert_eq!((play.service.restarts, play.service.unstable), (2, 3));
    assert!(play.service.reason().is_some_and(|why| why.contains("exit code 1")));
}

#[test]
fn what_is_given_up_comes_back_by_nobody_but_a_user_even_while_its_leftovers_end() {
    for (exit, autorestart, end) in [
        (Exit::Code(1), Autorestart::Always, State::Errored),
        (Exit::Code(0), Autorestart::Never, State::Stopped),
    ] {
        let mut play = Play::online(Policy {
            max_restarts: 0,
            autorestart,
            ..policy()
        });
        let run = RunId(play.runs);
        play.take(Event::Exited(run, exit)).take(Event::Restart(MEMORY));
        play.take(Event::TreeGone(run));
        assert_eq!(play.service.state, end);
        play.take(Event::Restart(Cause::Command));
        assert_eq!(play.service.state, State::Launching(None));
    }
}

#[test]
fn a_run_that_lasted_clears_the_count_of_unstable_ones_whenever_it_happens() {
    let mut play = Play::online(policy());
    for _ in 0..50 {
        play.crash(Exit::Signal(9)).pass(ms(100));
        play.spawn();
        play.pass(ms(1500));
    }
    assert_eq!((play.service.restarts, play.service.unstable), (50, 0));
}

#[test]
fn a_stop_wins_over_retry_watch_and_restart_until_the_users_start() {
    let mut play = Play::online(policy());
    play.crash(Exit::Code(1)).take(Event::Stop);
    assert_eq!(play.service.state, State::Stopped);
    for event in [
        Event::Changed(vec!["a".to_owned()]),
        Event::Restart(MEMORY),
        Event::Restart(Cause::Schedule),
        Event::Restart(Cause::Dependency("db".to_owned())),
        Event::Built(Ok(())),
    ] {
        play.take(event).pass(ms(60_000));
        assert_eq!(play.service.state, State::Stopped);
    }
    play.take(Event::Start);
    assert_eq!(play.service.state, State::Launching(None));
}

#[test]
fn a_stop_is_the_last_word_until_the_next_start_and_only_to_what_began_before() {
    let mut play = Play::new(policy());
    let (before, after) = (play.at - ms(1), play.at + ms(1));
    assert!(!play.service.is_stopped_since(before), "nobody has stopped it");
    // Also where it is down anyway.
    play.take(Event::Stop);
    assert!(play.service.is_stopped_since(before) && !play.service.is_stopped_since(after));
    play.take(Event::Start);
    assert!(!play.service.is_stopped_since(before));
}

#[test]
fn a_schedule_restarts_what_runs_and_starts_what_rests_or_was_given_up() {
    let job = Policy {
        autorestart: Autorestart::Never,
        ..policy()
    };
    let mut play = Play::online(job);
    for runs in 1..=3 {
        play.crash(Exit::Code(0));
        assert_eq!(
            (&play.service.state, play.service.restarts),
            (&State::Stopped, runs - 1)
        );
        play.take(Event::Restart(Cause::Schedule));
        play.spawn();
    }
    play.take(Event::Restart(Cause::Schedule))
        .take(Event::Halt)
        .crash(Exit::Signal(2));
    play.spawn();
    assert_eq!((play.service.restarts, play.service.unstable), (4, 0));
    let mut play = Play::online(Policy {
        max_restarts: 0,
        ..policy()
    });
    for _ in 0..3 {
        play.crash(Exit::Code(1));
        assert_eq!(play.service.state, State::Errored);
        play.take(Event::Restart(Cause::Schedule));
        play.spawn();
    }
    play.crash(Exit::Code(1))
        .take(Event::Stop)
        .take(Event::Restart(Cause::Schedule));
    assert_eq!(play.service.state, State::Stopped);
}

#[test]
fn what_rests_by_itself_runs_again_when_its_dependency_comes_back_but_not_what_was_given_up_or_stopped() {
    let back = || Event::Restart(Cause::Dependency("caddy".to_owned()));
    for exit in [Exit::Code(0), Exit::Code(1)] {
        let mut play = Play::online(Policy {
            autorestart: Autorestart::Never,
            ..policy()
        });
        play.crash(exit).take(back());
        play.spawn();
        assert_eq!(play.service.restarts, 1);
        assert_eq!(play.service.began_by, Some(Cause::Dependency("caddy".to_owned())));
        play.crash(exit).take(Event::Stop).take(back());
        assert_eq!(play.service.state, State::Stopped);
    }
    let mut play = Play::online(Policy {
        max_restarts: 0,
        ..policy()
    });
    play.crash(Exit::Code(1)).take(back());
    assert_eq!(play.service.state, State::Errored);
}

#[test]
fn what_does_not_end_in_time_is_killed_and_then_stopped_not_errored() {
    let mut play = Play::online(policy());
    play.take(Event::Stop).take(Event::Halt);
    assert_eq!(play.actions, [Action::Terminate(RunId(1))]);
    play.pass(ms(4999));
    assert_eq!(play.actions, []);
    play.pass(ms(1));
    assert_eq!(play.actions, [Action::Kill(RunId(1))]);
    play.crash(Exit::Signal(9));
    assert_eq!(play.service.state, State::Stopped);
}

#[test]
fn the_next_run_waits_for_the_leftovers_of_a_crash() {
    let mut play = Play::online(Policy {
        restart_delay: ms(0),
        ..policy()
    });
    play.take(Event::Exited(RunId(1), Exit::Code(1)));
    assert_eq!(play.actions, [Action::Clear(RunId(1))]);
    play.pass(ms(500));
    assert_eq!(play.actions, [Action::Kill(RunId(1))]);
    play.take(Event::TreeGone(RunId(1)));
    assert_eq!(play.service.state, State::Launching(None));
}

#[test]
fn a_backoff_grows_by_half_up_to_fifteen_seconds_and_is_cleared_after_thirty_up() {
    let growing = Policy {
        exp_backoff_restart_delay: Some(ms(100)),
        max_restarts: 100,
        ..policy()
    };
    let mut play = Play::online(growing);
    let mut delays = Vec::new();
    for _ in 0..15 {
        play.crash(Exit::Code(1));
        let State::WaitingRestart { until } = play.service.state else {
            panic!("{:?}", play.service.state)
        };
        delays.push((until - play.at).as_millis());
        play.pass(until - play.at);
        play.spawn();
    }
    assert_eq!(delays[..4], [100, 150, 225, 337]);
    assert_eq!(delays[14], 15_000);
    play.pass(ms(30_000));
    play.crash(Exit::Code(1));
    assert_eq!(play.service.backoff, Some(ms(100)));
}

#[test]
fn an_exit_by_a_stop_code_or_without_autorestart_is_stopped_and_completed_only_on_success() {
    let table = [
        (Autorestart::Always, Exit::Code(7), State::Stopped, true),
        (Autorestart::Never, Exit::Code(0), State::Stopped, true),
        (Autorestart::Never, Exit::Code(1), State::Stopped, false),
        (Autorestart::Never, Exit::Signal(15), State::Stopped, false),
        (Autorestart::OnFailure, Exit::Code(0), State::Stopped, true),
    ];
    for (autorestart, exit, state, completed) in table {
        let mut play = Play::online(Policy {
            autorestart,
            ..policy()
        });
        play.crash(exit);
        assert_eq!(
            (&play.service.state, play.service.completed.is_some()),
            (&state, completed),
            "{autorestart:?} {exit:?}"
        );
    }
    let mut play = Play::online(Policy {
        autorestart: Autorestart::OnFailure,
        ..policy()
    });
    play.crash(Exit::Code(1));
    assert!(matches!(play.service.state, State::WaitingRestart { .. }));
}

#[test]
fn readiness_that_does_not_come_in_time_is_a_failure_that_may_still_heal() {
    let mut play = Play::online(policy());
    play.take(Event::NotReady(RunId(1), "GET /: 503".to_owned()))
        .pass(ms(3000));
    assert_eq!(play.service.reason().as_deref(), Some("not ready after 3s: GET /: 503"));
    assert!(!play.service.is_ready());
    play.take(Event::Ready(RunId(1)));
    assert!(play.service.is_ready());
    assert_eq!(play.service.reason(), None);
}

#[test]
fn a_burst_of_changes_is_one_turn_and_names_the_first_file() {
    let mut play = Play::online(policy());
    for number in 0..20 {
        play.pass(ms(50)).take(Event::Changed(vec![format!("src/{number}.rs")]));
    }
    play.pass(ms(199));
    assert_eq!(play.service.restart, None);
    play.pass(ms(1));
    assert_eq!(
        play.service.restart.as_ref().map(ToString::to_string).as_deref(),
        Some("src/0.rs changed (+19 more)")
    );
}

#[test]
fn a_failed_build_keeps_the_old_process_and_shows_why() {
    let mut play = Play::online(Policy {
        builds: true,
        ..policy()
    });
    play.take(Event::Changed(vec!["a".to_owned()])).pass(ms(200));
    assert_eq!(play.actions, [play.build()]);
    assert_eq!(play.service.status(), "building");
    play.take(Event::Built(Err("no such type".to_owned())));
    assert_eq!(play.service.status(), "online");
    assert_eq!(play.service.reason().as_deref(), Some("build failed: no such type"));
    play.take(Event::Changed(vec!["a".to_owned()]))
        .pass(ms(200))
        .take(Event::Built(Ok(())));
    assert!(play.service.restart.is_some());
    assert_eq!(play.service.reason(), None);
}

#[test]
fn a_change_during_a_build_cancels_it_and_leads_to_one_more_turn() {
    let mut play = Play::online(Policy {
        builds: true,
        ..policy()
    });
    play.take(Event::Changed(vec!["a".to_owned()])).pass(ms(200));
    play.take(Event::Changed(vec!["b".to_owned()]));
    assert_eq!(play.actions, [Action::CancelBuild]);
    play.pass(ms(200));
    assert_eq!(play.actions, [play.build()]);
}

#[test]
fn a_service_that_writes_what_it_watches_is_left_alone_until_the_users_restart() {
    let mut play = Play::online(policy());
    let loops = |play: &mut Play| {
        (0..50).find(|_| {
            play.pass(ms(600));
            play.take(Event::Changed(vec!["stamp".to_owned()])).pass(ms(200));
            if play.service.watch_suspended.is_some() {
                return true;
            }
            if play.service.restart.is_none() {
                // Suspected: nothing happens for a while, and then one start more.
                play.pass(ms(2000));
            }
            let run = RunId(play.runs);
            play.take(Event::Halt).take(Event::Exited(run, Exit::Signal(2)));
            play.take(Event::TreeGone(run));
            play.spawn();
            false
        })
    };
    assert_eq!(loops(&mut play), Some(8));
    let reason = play.service.reason().unwrap();
    assert!(reason.contains("stamp") && reason.contains("suspended"), "{reason}");
    // It runs on, and its changes lead to nothing.
    assert!(matches!(play.service.state, State::Online(_)));
    play.take(Event::Changed(vec!["main.rs".to_owned()])).pass(ms(5000));
    assert_eq!((&play.service.turn, &play.service.restart), (&Turn::None, &None));
    play.take(Event::Restart(Cause::Command));
    assert_eq!(play.service.watch_suspended, None);
    play.take(Event::Halt);
    let run = RunId(play.runs);
    play.take(Event::TreeGone(run)).spawn();
    play.pass(ms(9000))
        .take(Event::Changed(vec!["main.rs".to_owned()]))
        .pass(ms(200));
    assert!(matches!(play.service.restart, Some(Cause::Changed(_))));
    // And so does a start after a stop.
    play.service.watch_suspended = Some("stamp".to_owned());
    play.take(Event::Stop).take(Event::Start);
    assert_eq!(play.service.watch_suspended, None);
}

#[test]
fn a_build_that_writes_what_is_watched_is_found_out_too() {
    let mut play = Play::online(Policy {
        builds: true,
        ..policy()
    });
    play.take(Event::Changed(vec!["main.rs".to_owned()])).pass(ms(200));
    let turns = (0..50).find(|_| {
        play.pass(ms(500));
        play.take(Event::Changed(vec!["generated.rs".to_owned()])).pass(ms(200));
        if matches!(play.service.turn, Turn::Building { later: Some(_), .. }) {
            // Ended often enough: this one comes to its end, and what changed meanwhile is the next turn's.
            play.take(Event::Built(Err("no".to_owned()))).pass(ms(200));
        }
        if matches!(play.service.turn, Turn::Settling { .. }) {
            // Suspected: nothing happens for a while, and then one build more.
            play.pass(ms(2000));
        }
        play.service.watch_suspended.is_some()
    });
    assert!(turns.is_some_and(|turns| turns < 15), "{turns:?}");
    let reason = play.service.reason().unwrap();
    assert!(
        reason.contains("generated.rs") && !reason.contains("main.rs"),
        "{reason}"
    );
}

#[test]
fn changes_that_never_become_quiet_lead_to_a_turn_all_the_same() {
    let mut play = Play::online(policy());
    for _ in 0..30 {
        play.take(Event::Changed(vec!["app.log".to_owned()])).pass(ms(100));
    }
    assert!(matches!(play.service.restart, Some(Cause::Changed(_))));
}

#[test]
fn a_build_that_newer_changes_ended_often_comes_to_its_end_and_the_last_change_counts() {
    let mut play = Play::online(Policy {
        builds: true,
        ..policy()
    });
    for name in ["a", "b", "c", "d"] {
        play.take(Event::Changed(vec![name.to_owned()])).pass(ms(200));
        assert_eq!(play.actions, [play.build()], "{name}");
    }
    play.take(Event::Changed(vec!["e".to_owned()]));
    assert_eq!(play.actions, [] as [Action; 0]);
    play.take(Event::Built(Ok(())));
    assert!(matches!(play.service.restart, Some(Cause::Changed(_))));
    play.take(Event::Halt).take(Event::Exited(RunId(1), Exit::Signal(2)));
    play.take(Event::TreeGone(RunId(1))).pass(ms(200));
    assert_eq!(play.actions, [play.build()], "e is built, too");
}

#[test]
fn a_change_while_it_was_down_is_remembered_until_the_next_stop_or_start() {
    let mut play = Play::online(policy());
    play.take(Event::Stop)
        .take(Event::Halt)
        .take(Event::Exited(RunId(1), Exit::Signal(2)));
    play.take(Event::TreeGone(RunId(1)));
    play.take(Event::Changed(vec!["a".to_owned()])).pass(ms(5000));
    assert!(play.service.missed.is_some() && play.service.turn == Turn::None);
    play.take(Event::Start);
    assert_eq!(play.service.missed, None);
}

#[test]
fn whose_port_it_is_is_said_before_the_time_is_up() {
    let mut play = Play::online(policy());
    let run = RunId(play.runs);
    play.take(Event::NotReady(run, "connection refused".to_owned()));
    assert_eq!(play.service.reason(), None);
    let held = format!("port 1 is {HELD}pid 7");
    play.take(Event::NotReady(run, held.clone()));
    assert_eq!(play.service.reason(), Some(held));
    play.take(Event::Ready(run));
    assert_eq!(play.service.reason(), None);
}

#[test]
fn a_blocked_service_looks_again_when_the_holder_is_gone_and_now_and_then() {
    let mut play = Play::new(policy());
    play.take(Event::Start).take(Event::Go(RunId(1)));
    play.take(Event::PortsHeld(RunId(1), "port 1 is held".to_owned()));
    assert_eq!(
        (play.service.status(), play.service.reason().as_deref()),
        ("blocked", Some("port 1 is held"))
    );
    play.take(Event::PortsFreed);
    assert_eq!(play.service.state, State::Launching(None));
    play.take(Event::Go(RunId(2)))
        .take(Event::PortsHeld(RunId(2), "port 1 is held".to_owned()));
    play.pass(ms(999));
    assert!(matches!(play.service.state, State::Blocked { .. }));
    play.pass(ms(1));
    assert_eq!(play.service.state, State::Launching(None));
    // To anybody else it is no news.
    play.runs = 2;
    let run = play.spawn();
    play.take(Event::PortsFreed);
    assert!(matches!(play.service.state, State::Online(Run { id, .. }) if id == run));
}

#[test]
fn a_blocked_service_is_tried_at_once_when_the_user_asks_and_by_nobody_else() {
    for (event, tries) in [
        (Event::Start, true),
        (Event::Restart(Cause::Command), true),
        (Event::Restart(Cause::Configuration), true),
        (Event::Restart(MEMORY), false),
        (Event::Restart(Cause::Schedule), false),
        (Event::Restart(Cause::Dependency("db".to_owned())), false),
    ] {
        let mut play = Play::new(policy());
        play.take(Event::Start).take(Event::Go(RunId(1)));
        play.take(Event::PortsHeld(RunId(1), "port 1 is held".to_owned()));
        play.take(event.clone());
        assert_eq!(play.service.state == State::Launching(None), tries, "{event:?}");
        assert_eq!(play.service.reason().is_none(), tries, "{event:?}");
        if tries {
            play.take(Event::Go(RunId(2)))
                .take(Event::PortsHeld(RunId(2), "port 1 is still held".to_owned()));
            assert_eq!(
                (play.service.status(), play.service.reason().as_deref()),
                ("blocked", Some("port 1 is still held"))
            );
        }
    }
}

#[test]
fn the_last_runs_are_remembered_with_who_ended_them() {
    let mut play = Play::online(Policy {
        max_restarts: 100,
        ..policy()
    });
    play.pass(ms(40)).crash(Exit::Code(1)).pass(ms(100));
    play.spawn();
    play.take(Event::Restart(MEMORY))
        .take(Event::Halt)
        .crash(Exit::Signal(2));
    play.spawn();
    play.take(Event::Stop)
        .take(Event::Halt)
        .pass(ms(5000))
        .crash(Exit::Signal(9));
    let ends: Vec<_> = play
        .service
        .past
        .iter()
        .map(|run| (run.pid, run.lasted, run.exit, run.ended_by.as_deref()))
        .collect();
    assert_eq!(
        ends,
        [
            (101, ms(40), Exit::Code(1), None),
            (
                102,
                ms(0),
                Exit::Signal(2),
                Some("its memory passed the limit: 2B, `max_memory_restart` is 1B")
            ),
            (103, ms(5000), Exit::Signal(9), Some("stopped; killed")),
        ]
    );
    play.take(Event::Start);
    for _ in 0..20 {
        play.spawn();
        play.crash(Exit::Code(1)).pass(ms(100));
    }
    assert_eq!((play.service.past.len(), play.service.past[0].pid), (PAST_RUNS, 114));
}

/// One random happening; the run it speaks of may be an earlier one.
#[derive(Debug, Clone)]
enum Happening {
    Event(Event),
    Launch,
    Pass(u64),
    OfRun(u8, u32),
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let event = prop_oneof![
        Just(Event::Start),
        Just(Event::Stop),
        Just(Event::Kill),
        Just(Event::Reset),
        Just(Event::Halt),
        Just(Event::Restart(Cause::Command)),
        Just(Event::Restart(MEMORY)),
        Just(Event::Restart(Cause::Schedule)),
        Just(Event::Restart(Cause::Dependency("db".to_owned()))),
        Just(Event::Changed(vec!["a".to_owned()])),
        Just(Event::Built(Ok(()))),
        Just(Event::Built(Err("no".to_owned()))),
    ];
    let one = prop_oneof![
        3 => event.prop_map(Happening::Event),
        3 => Just(Happening::Launch),
        2 => (0_u64..7000).prop_map(Happening::Pass),
        4 => (0_u8..8, 0_u32..3).prop_map(|(kind, age)| Happening::OfRun(kind, age)),
    ];
    prop::collection::vec(one, 1..200)
}

fn of_run(kind: u8, run: RunId) -> Event {
    match kind {
        0 => Event::Spawned(run, 1),
        1 => Event::Exited(run, Exit::Code(1)),
        2 => Event::TreeGone(run),
        3 => Event::Ready(run),
        4 => Event::NotReady(run, "no".to_owned()),
        5 => Event::PortsHeld(run, "held".to_owned()),
        6 => Event::Scarce(run, "none left".to_owned()),
        _ => Event::Survivors(run, "pid 1".to_owned()),
    }
}

fn live(service: &Service) -> Option<RunId> {
    service.live_run().map(|run| run.id)
}

proptest! {
    #[test]
    fn any_history_keeps_the_promises(history in happenings(), builds: bool, timeout in 0_u64..3000) {
        let policy = Policy { builds, kill_timeout: ms(timeout), ..policy() };
        let mut play = Play::new(policy);
        for happening in history {
            let before = play.service.clone();
            let event = match happening {
                Happening::Event(event) => event,
                Happening::Launch if before.state == State::Launching(None) => {
                    play.runs += 1;
                    Event::Go(RunId(play.runs))
                }
                Happening::Launch => Event::Tick,
                Happening::Pass(time) => {
                    play.at += ms(time);
                    Event::Tick
                }
                Happening::OfRun(kind, age) => of_run(kind, RunId(play.runs.saturating_sub(age))),
            };
            play.take(event.clone());
            let after = &play.service;
            // A run ends only when nothing of its tree is left, and a new one never begins while one lives.
            if let Some(run) = live(&before) {
                prop_assert!(live(after) == Some(run) || event == Event::TreeGone(run), "{before:?} {event:?} {after:?}");
            }
            // A launch is asked for only when nothing lives.
            if play.actions.iter().any(|action| matches!(action, Action::Launch(_))) {
                prop_assert_eq!(live(&before), None);
            }
            // News of an earlier run changes nothing.
            if let Event::Spawned(run, _) | Event::Exited(run, _) | Event::TreeGone(run) | Event::Ready(run) = &event
                && *run < RunId(play.runs)
            {
                prop_assert_eq!(&before, after);
            }
            // A stop is final until the user's start.
            if before.wanted == Wanted::Down {
                let by_user = matches!(event, Event::Start | Event::Restart(Cause::Command));
                prop_assert!(after.wanted == Wanted::Down || by_user, "{event:?}");
                prop_assert!(by_user || !matches!(after.state, State::Launching(None)), "{event:?}");
            }
            // Counters go back only by a reset; the deadline that a tick has handled is gone.
            prop_assert!(after.restarts >= before.restarts || event == Event::Reset);
            if event == Event::Tick {
                prop_assert!(deadline(after, &play.policy).is_none_or(|at| at > play.at), "{after:?}");
            }
        }
        // Wanted down leads to down in bounded time, when the processes obey SIGKILL.
        play.take(Event::Stop).take(Event::Halt);
        if let State::Launching(Some(run)) = play.service.state {
            play.take(Event::Spawned(run, 1)).take(Event::Halt);
        }
        play.pass(ms(timeout));
        if let Some(run) = live(&play.service) {
            play.take(Event::Exited(run, Exit::Signal(9))).take(Event::TreeGone(run));
        }
        prop_assert_eq!(&play.service.state, &State::Stopped);
        prop_assert_eq!(&play.service.turn, &Turn::None);
    }
}

#[test]
fn a_launch_without_room_is_tried_again_for_ever_and_counts_no_run() {
    let mut play = Play::new(policy());
    play.take(Event::Start);
    for number in 1..100 {
        let run = RunId(number);
        play.take(Event::Go(run))
            .take(Event::Scarce(run, "no process left".to_owned()));
        assert_eq!(
            deadline(&play.service, &play.policy),
            Some(play.at + crate::policy::SCARCITY_DELAY)
        );
        assert_eq!(play.service.reason().as_deref(), Some("no process left"));
        play.pass(crate::policy::SCARCITY_DELAY);
    }
    play.runs = 100;
    play.spawn();
    assert_eq!(
        (play.service.restarts, play.service.unstable, play.service.reason()),
        (0, 0, None)
    );
}

#[test]
fn a_stuck_process_is_named_and_keeps_the_next_run_away() {
    let mut play = Play::online(policy());
    play.take(Event::Stop)
        .take(Event::Halt)
        .pass(ms(5000))
        .take(Event::Survivors(RunId(1), "pid 5 (sh)".to_owned()));
    play.pass(ms(3000));
    assert_eq!(play.actions, [Action::Name(RunId(1))]);
    let run = Run {
        id: RunId(1),
        pid: 101,
        since: ms(1_000_000),
        at: jiff::Timestamp::UNIX_EPOCH,
        ready: Ready::Waiting { until: ms(1_003_000) },
    };
    assert_eq!(
        play.service.state,
        State::Ending {
            run,
            phase: Phase::Stuck,
            next: Next::Rest
        }
    );
    assert!(play.service.reason().is_some_and(|why| why.contains("pid 5 (sh)")));
    play.take(Event::Start);
    assert!(matches!(play.service.state, State::Ending { .. }));
    play.crash(Exit::Signal(9));
    assert_eq!(play.service.state, State::Launching(None));
}
