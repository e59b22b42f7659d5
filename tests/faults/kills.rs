//! `kill -9` of everything in turn, and of all of it together, while the stack starts, runs and stops.

use super::{kill_both, kill_together, recovers, stack};
use crate::support::{
    Project, Running, Signal, free_port, is_alive, is_free, parent_of, pid, signal, wait_gone, wait_until,
};

/// Who is killed. The wrapper is the leader of its service, the program inside is what the wrapper runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Client,
    FollowedClient,
    Keeper,
    Supervisor,
    /// Client, keeper and supervisor, none of which sees the death of another.
    AllOfOurs,
    Wrapper,
    Program,
    Child,
}

const VICTIMS: [Victim; 8] = [
    Victim::Client,
    Victim::FollowedClient,
    Victim::Keeper,
    Victim::Supervisor,
    Victim::AllOfOurs,
    Victim::Wrapper,
    Victim::Program,
    Victim::Child,
];

/// A program behind a wrapper, with a child in a session of its own. It ignores the request to end, so that a stop takes a while.
fn wrapped() -> (Project, u16) {
    let port = free_port();
    let words = format!(
        "child session ignore pid child.pid end wait-for child.pid ignore pid inner.pid wait-for go listen {port}"
    );
    let project = Project::new().toml(&format!(
        "[services.web]\nscript = \"sh\"\nargs = [\"-c\", \"PUPPET {words}; true\"]\nports = [{port}]\nkill_timeout = \"2s\"\n\
         [profiles.dev]\nservices = [\"web\"]"
    ));
    (project, port)
}

/// The processes of ours that run this verb.
fn of_verb(project: &Project, verb: &str) -> Vec<u32> {
    let is_verb = |command: &str| command.split(' ').nth(1) == Some(verb);
    let processes = project.processes().into_iter();
    let ours = processes.filter(|process| process.is_xtask() && is_verb(&process.command));
    ours.map(|process| process.pid).collect()
}

fn kill(project: &Project, victim: Victim, client: &Running) {
    match victim {
        Victim::Client | Victim::FollowedClient => client.signal(Signal::KILL),
        Victim::Keeper => of_verb(project, "keeper")
            .into_iter()
            .for_each(|pid| signal(pid, Signal::KILL)),
        Victim::Supervisor => signal(project.supervisor(), Signal::KILL),
        Victim::AllOfOurs => {
            let all: Vec<u32> = ["keeper", "supervisor"]
                .iter()
                .flat_map(|verb| of_verb(project, verb))
                .collect();
            client.signal(Signal::STOP);
            kill_together(&all);
            client.signal(Signal::KILL);
        }
        Victim::Wrapper => signal(pid(&project.service_status("web")), Signal::KILL),
        Victim::Program => signal(project.pid_in("inner.pid"), Signal::KILL),
        Victim::Child => signal(project.pid_in("child.pid"), Signal::KILL),
    }
}

/// Ends as it must: with success, or with a word about what went wrong.
#[track_caller]
fn ends_with_a_word(victim: Victim, client: Running) {
    let run = client.wait();
    if matches!(victim, Victim::Client | Victim::FollowedClient | Victim::AllOfOurs) {
        return;
    }
    match run.status.code() {
        Some(0) => {}
        Some(1) => drop(run.says(&["error: "])),
        _ => panic!("{victim:?}: {run}"),
    }
}

/// Plays the same for every victim, each in a project of its own, all at once.
fn for_each_victim(play: impl Fn(Victim, Project, u16) + Sync) {
    std::thread::scope(|scope| {
        let plays: Vec<_> = VICTIMS
            .iter()
            .map(|victim| {
                let play = &play;
                scope.spawn(move || {
                    let (project, port) = wrapped();
                    play(*victim, project, port);
                })
            })
            .collect();
        let failed: Vec<_> = VICTIMS
            .iter()
            .zip(plays)
            .filter_map(|(victim, play)| play.join().is_err().then_some(victim))
            .collect();
        assert!(failed.is_empty(), "killed: {failed:?}");
    });
}

#[test]
fn kill_9_of_anyone_while_starting_leaves_nothing_and_the_next_start_works() {
    for_each_victim(|victim, project, port| {
        let followed = victim == Victim::FollowedClient;
        let dev = project.start(if followed { &["dev"] } else { &["dev", "-d", "--wait"] });
        project.wait_status("web", "online");
        project.pid_in("inner.pid");
        kill(&project, victim, &dev);
        project.write("go", "");
        ends_with_a_word(victim, dev);
        match victim {
            // Nobody wants the stack any more.
            Victim::FollowedClient | Victim::Keeper | Victim::Supervisor => project.wait_nothing_left(),
            Victim::Client | Victim::Wrapper | Victim::Program | Victim::Child => drop(project.wait_ready("web")),
            Victim::AllOfOurs => {}
        }
        recovers(&project, port);
    });
}

#[test]
fn kill_9_of_anyone_while_stopping_leaves_nothing_and_the_next_start_works() {
    for_each_victim(|victim, project, port| {
        project.write("go", "");
        let owner = (victim == Victim::FollowedClient).then(|| project.start(&["dev"]));
        if owner.is_none() {
            project.up();
        }
        project.wait_ready("web");
        let stop = project.start(&["stop"]);
        project.wait_status("web", "stopping");
        kill(&project, victim, owner.as_ref().unwrap_or(&stop));
        ends_with_a_word(victim, stop);
        if victim != Victim::AllOfOurs {
            project.wait_nothing_left();
            assert!(is_free(port));
        }
        recovers(&project, port);
    });
}

/// The client is seen first, then the keeper, the supervisor, and the service.
#[test]
fn kill_9_of_all_of_ours_at_any_stage_of_a_start_leaves_nothing_behind_the_next_command() {
    let stages = [1, 2, 3, 4];
    std::thread::scope(|scope| {
        for stage in stages {
            scope.spawn(move || {
                let (project, port) = wrapped();
                project.write("go", "");
                let dev = project.start(&["dev", "-d", "--wait"]);
                wait_until(&format!("{stage} processes are there"), || {
                    (project.processes().len() >= stage || project.service_status("web")["ready"] == true).then_some(())
                });
                let ours: Vec<u32> = project
                    .processes()
                    .iter()
                    .filter(|process| process.is_xtask())
                    .map(|process| process.pid)
                    .collect();
                for with in [Signal::STOP, Signal::KILL] {
                    ours.iter().for_each(|pid| signal(*pid, with));
                }
                dev.wait();
                recovers(&project, port);
            });
        }
    });
}

/// What the processes of an endless build write their pids into: its leader, one in a session of its own, one that has lost its parent.
const BUILD: [&str; 3] = ["leader.pid", "child.pid", "orphan.pid"];

/// Kills the command that is at the endless build, and waits until nothing of that is left.
fn kill_at_the_build(project: &Project, command: Running) {
    let build = BUILD.map(|file| project.pid_in(file));
    command.signal(Signal::KILL);
    build.into_iter().for_each(wait_gone);
    wait_until("the guard to end", || {
        of_verb(project, "guard").is_empty().then_some(())
    });
    command.wait();
    for file in BUILD {
        std::fs::remove_file(project.path(file)).unwrap();
    }
}

#[test]
fn kill_9_of_a_command_that_builds_leaves_nothing_of_the_build() {
    let project = Project::new().service("web", "pid web.pid", "build = \"app\"").toml(
        "[tasks.app]\nscript = \"sh\"\nargs = [\"-c\", \"test -e quick || exec PUPPET child session pid child.pid end \
         child child session pid orphan.pid end wait-for orphan.pid exit 0 end pid leader.pid\"]\n",
    );
    for words in [&["dev"][..], &["build"]] {
        kill_at_the_build(&project, project.start(words));
        project.wait_nothing_left();
    }
    // And beside a stack that runs, which stays.
    project.write("quick", "");
    project.up();
    std::fs::remove_file(project.path("quick")).unwrap();
    let web = project.pid_in("web.pid");
    kill_at_the_build(&project, project.start(&["dev"]));
    assert_eq!(pid(&project.service_status("web")), web);
}

#[test]
fn what_a_build_leaves_on_purpose_lives_on() {
    let project = Project::new().service("web", "pid web.pid", "build = \"app\"").toml(
        "[tasks.app]\nscript = \"sh\"\nargs = [\"-c\", \"PUPPET session pid server.pid >/dev/null 2>&1 & \
         exec PUPPET wait-for server.pid exit 3\"]\n",
    );
    project.run(&["dev", "-d"]).code(1).says(&["task app failed"]);
    let server = project.pid_in("server.pid");
    assert_eq!(of_verb(&project, "guard"), [0_u32; 0]);
    assert!(is_alive(server));
    signal(server, Signal::KILL);
}

#[test]
fn kill_9_of_a_service_brings_it_back() {
    let (project, port) = stack();
    let (before, child) = (pid(&project.up().service_status("web")), project.pid_in("child.pid"));
    signal(before, Signal::KILL);
    let after = project.wait("web", "is up again", |web| web["ready"] == true && web["pid"] != before);
    assert_eq!(
        (&after["restarts"], &after["last_exit"]["signal"]),
        (&1.into(), &"SIGKILL".into())
    );
    assert!(
        after["last_exit"].get("code").is_none(),
        "code or signal, never both: {after:#}"
    );
    assert!(!is_alive(child));
    assert!(!is_free(port));
}

#[test]
fn kill_9_of_the_supervisor_leaves_nothing_alive() {
    let (project, port) = stack();
    project.up();
    signal(project.supervisor(), Signal::KILL);
    project.wait_nothing_left();
    assert!(is_free(port));
    assert_eq!(project.stacks().len(), 0);
    project.run(&["stop"]).ok();
    project.up();
    assert_eq!(project.service_status("web")["ready"], true);
}

#[test]
fn a_followed_dev_notices_the_death_of_the_supervisor() {
    let (project, _) = stack();
    let dev = project.start(&["dev"]);
    project.wait_ready("web");
    signal(project.supervisor(), Signal::KILL);
    dev.wait().code(1).says(&["error: ", "supervisor"]);
    project.wait_nothing_left();
}

#[test]
fn kill_9_of_the_keeper_stops_the_stack() {
    let (project, port) = stack();
    project.up();
    signal(parent_of(project.supervisor()), Signal::KILL);
    project.wait_nothing_left();
    assert!(is_free(port));
    assert_eq!(project.stacks().len(), 0);
}

#[test]
fn the_next_dev_clears_what_a_double_kill_left_behind() {
    let (project, _) = stack();
    project.up();
    kill_both(&project);
    let before = project.pid_in("child.pid");
    project.up();
    assert!(!is_alive(before));
    assert_eq!(project.service_status("web")["ready"], true);
}

#[test]
fn a_followed_dev_clears_what_a_double_kill_left_behind() {
    let (project, port) = stack();
    let dev = project.start(&["dev"]);
    project.wait_ready("web");
    let supervisor = project.supervisor();
    kill_together(&[parent_of(supervisor), supervisor]);
    dev.wait().code(1).says(&["error: ", "ended without a word"]);
    project.assert_no_service_process();
    assert!(is_free(port));
}

#[test]
fn stop_clears_what_a_double_kill_left_behind() {
    let (project, port) = stack();
    project.up();
    kill_both(&project);
    let left = "the supervisor of profile dev was killed; `cargo xtask stop -p dev` ends what it may have left";
    project.run(&["status"]).ok().says(&[left]);
    project.run(&["stop"]).ok();
    assert!(is_free(port));
    project.assert_no_service_process();
    project.wait_nothing_left();
}

#[test]
fn a_request_to_end_makes_the_supervisor_stop_the_stack_in_order() {
    let project = Project::new().service("web", "bye ended 'in order'", "min_uptime = 50");
    project.up();
    signal(project.supervisor(), Signal::TERM);
    project.wait_nothing_left();
    assert_eq!(project.read("ended"), "in order\n");
}
