//! Several terminals at once: starts, stops and restarts in random order, and still one stack.

use super::recovers;
use crate::support::{Project, Signal, free_port, restarts, signal};
use std::time::Duration;

/// What one command may take, when five others want something else.
const COMMAND: Duration = Duration::from_secs(60);

/// SplitMix64: small, and the same on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % sides).unwrap()
    }
}

fn two_services() -> (Project, u16) {
    let port = free_port();
    let project = Project::new()
        .service(
            "web",
            &format!("listen {port}"),
            &format!("ports = [{port}]\nmax_restarts = 0"),
        )
        .service("job", "child session end", "min_uptime = 50\ndepends_on = [\"web\"]");
    (project, port)
}

/// One supervisor, one keeper, one copy of each service.
#[track_caller]
fn is_one_stack(project: &Project) {
    let processes = project.processes();
    let count = |text: &str| {
        processes
            .iter()
            .filter(|process| process.command.contains(text))
            .count()
    };
    let counts = [
        count(" supervisor "),
        count(" keeper "),
        count("puppet listen "),
        count("puppet child "),
        count("puppet"),
    ];
    assert_eq!(counts, [1, 1, 1, 1, 3], "{processes:#?}");
}

#[test]
fn six_cold_starts_at_once_make_one_stack() {
    for _ in 0..3 {
        let (project, port) = two_services();
        let starts: Vec<_> = (0..6).map(|_| project.start(&["dev", "-d", "--wait"])).collect();
        for start in starts {
            let (run, in_time) = start.end(COMMAND);
            assert!(in_time, "hangs: {run}");
            run.ok();
        }
        is_one_stack(&project);
        assert_eq!(restarts(&project.service_status("web")), 0);
        recovers(&project, port);
    }
}

/// `XTASK_SEED` replays what was rolled, though not what the system makes of it.
#[test]
fn starts_stops_and_restarts_from_six_terminals_end_in_one_stack() {
    const VERBS: [&[&str]; 7] = [
        &["dev", "-d"],
        &["dev", "-d", "--wait"],
        &["stop"],
        &["restart"],
        &["restart", "web"],
        &["stop", "job"],
        &["start", "job"],
    ];
    let named = std::env::var("XTASK_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = named.unwrap_or_else(|| u64::from(std::process::id()));
    println!("XTASK_SEED={seed}");
    let mut dice = Dice(seed);
    let (project, port) = two_services();
    for _ in 0..5 {
        let commands: Vec<_> = (0..6).map(|_| VERBS[dice.roll(VERBS.len() as u64)]).collect();
        let running: Vec<_> = commands.iter().map(|command| project.start(command)).collect();
        for (command, running) in commands.iter().zip(running) {
            let (run, in_time) = running.end(COMMAND);
            assert!(in_time, "{command:?} hangs; {run}");
            // Two that want the opposite cannot both have it, but who has not is told.
            let told = run.status.success() || (run.status.code() == Some(1) && run.stderr.contains("error: "));
            assert!(told, "{command:?}; {run}");
        }
    }
    project.up();
    is_one_stack(&project);
    recovers(&project, port);
}

/// Both were killed: the stop ends what they left, the start a new stack, and neither takes for dead what the other has just made.
#[test]
fn a_stop_beside_a_start_does_not_take_the_new_stacks_socket_away() {
    let (project, port) = two_services();
    for _ in 0..10 {
        project.up();
        for process in project.processes().iter().filter(|process| process.is_xtask()) {
            signal(process.pid, Signal::KILL);
        }
        let commands = [&["dev", "-d"][..], &["stop"], &["stop"]];
        for running in commands.map(|command| project.start(command)) {
            let (run, in_time) = running.end(COMMAND);
            assert!(in_time, "hangs: {run}");
            assert!(!run.stderr.contains("was removed"), "{run}");
        }
        let status = project.run(&["status"]);
        assert!(!status.stderr.contains("was removed"), "{status}");
    }
    recovers(&project, port);
}

#[test]
fn a_start_while_another_stop_is_at_its_end_starts_the_stack_anew() {
    let (project, port) = two_services();
    for _ in 0..10 {
        project.up();
        let stop = project.start(&["stop"]);
        let starts: Vec<_> = (0..3).map(|_| project.start(&["dev", "-d"])).collect();
        for running in starts.into_iter().chain([stop]) {
            let (run, in_time) = running.end(COMMAND);
            assert!(in_time, "hangs: {run}");
            assert!(!run.stderr.contains("unexpected answer"), "{run}");
        }
    }
    recovers(&project, port);
}
