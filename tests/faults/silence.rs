//! A supervisor that is suspended: no command waits for it for ever, and nothing is lost when it wakes.

use super::stack;
use crate::support::{Project, Signal, measure, pid, restarts, signal, wait_until};
use std::time::Duration;

/// Five seconds of silence are an error; the rest is for a machine whose cores are all busy.
const SILENCE: Duration = Duration::from_secs(15);

#[test]
fn a_suspended_supervisor_makes_every_command_fail_in_time_and_heals() {
    let (project, _) = stack();
    project.up();
    let (supervisor, web) = (project.supervisor(), pid(&project.service_status("web")));
    signal(supervisor, Signal::STOP);
    let commands: [&[&str]; 10] = [
        &["status"],
        &["status", "--json"],
        &["stop"],
        &["stop", "web"],
        &["stop", "--all", "--timeout", "1h"],
        &["start", "web"],
        &["restart", "web"],
        &["restart"],
        &["flush"],
        &["dev", "-d", "--replace"],
    ];
    let running = commands.map(|command| (command, project.start(command)));
    let (ends, took) = measure(|| running.map(|(command, running)| (command, running.wait())));
    for (command, run) in ends {
        assert_eq!(run.stdout, "", "{command:?} says that nothing runs");
        let run = run.code(1).says(&["error: ", "has not answered for 5 s", "SIGCONT"]);
        assert!(
            run.stderr.contains(&supervisor.to_string()),
            "{command:?} names no pid; {run}"
        );
    }
    assert!(took < SILENCE, "the last command took {took:?}");

    signal(supervisor, Signal::CONT);
    wait_until("status works again", || {
        project.run(&["status"]).status.success().then_some(())
    });
    let after = project.wait_ready("web");
    assert_eq!(
        (pid(&after), restarts(&after)),
        (web, 0),
        "what nobody waited for was not done"
    );
    project.run(&["restart", "web"]).ok();
    project.wait_ready("web");
    project.run(&["stop"]).ok();
    project.wait_nothing_left();
}

#[test]
fn a_followed_dev_survives_a_supervisor_that_is_suspended_for_a_while() {
    let (project, _) = stack();
    let dev = project.start(&["dev"]);
    project.wait_ready("web");
    let supervisor = project.supervisor();
    signal(supervisor, Signal::STOP);
    project.run(&["status"]).code(1);
    signal(supervisor, Signal::CONT);
    project.wait_ready("web");
    dev.press_ctrl_c();
    dev.wait().ok();
    project.wait_nothing_left();
}

#[test]
fn ctrl_c_does_not_wait_for_a_suspended_supervisor_for_ever() {
    let (project, _) = stack();
    let dev = project.start(&["dev"]);
    project.wait_ready("web");
    let supervisor = project.supervisor();
    signal(supervisor, Signal::STOP);
    dev.press_ctrl_c();
    let (run, took) = measure(|| dev.wait());
    run.code(1)
        .says(&["error: ", "has not answered for 5 s", &supervisor.to_string()]);
    assert!(took < SILENCE, "it took {took:?}");
    // Its owner has ended meanwhile.
    signal(supervisor, Signal::CONT);
    project.wait_nothing_left();
}

#[test]
fn a_suspended_supervisor_hides_no_other_stack() {
    let project = Project::new()
        .service("web", "", "min_uptime = 50")
        .service("api", "", "min_uptime = 50")
        .toml("[profiles.one]\nservices = [\"web\"]\n[profiles.two]\nservices = [\"api\"]");
    project.run(&["dev", "-d", "--wait", "-p", "one"]).ok();
    let silent = project.supervisor();
    project.run(&["dev", "-d", "--wait", "-p", "two"]).ok();
    signal(silent, Signal::STOP);
    let run = project
        .run(&["status"])
        .code(1)
        .says(&["profile one", "has not answered"]);
    assert!(run.stdout.contains("api") && !run.stdout.contains("web"), "{run}");
    let run = project.run(&["status", "--json"]).code(1);
    let stacks: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(stacks["stacks"][0]["profile"], "two");
    project
        .run(&["stop", "--all"])
        .code(1)
        .says(&["stopped two", "profile one", "has not answered"]);
    signal(silent, Signal::CONT);
    assert_eq!(project.stacks().len(), 1);
    project.run(&["stop", "--all"]).ok();
    project.wait_nothing_left();
}

#[test]
fn the_silence_of_several_passes_together() {
    let profiles = ["a", "b", "c", "d"];
    let project = profiles.iter().fold(Project::new(), |project, name| {
        project
            .service(name, "", "min_uptime = 50")
            .toml(&format!("[profiles.{name}]\nservices = [\"{name}\"]"))
    });
    for profile in profiles {
        project.run(&["dev", "-d", "--wait", "-p", profile]).ok();
    }
    let supervisors: Vec<u32> = project.stacks().iter().map(|stack| pid(&stack["supervisor"])).collect();
    supervisors.iter().for_each(|pid| signal(*pid, Signal::STOP));
    let (run, took) = measure(|| project.run(&["status"]));
    let run = run.code(1).says(&["profile a", "profile b", "profile c", "profile d"]);
    assert!(took < SILENCE, "it took {took:?}; {run}");
    supervisors.iter().for_each(|pid| signal(*pid, Signal::CONT));
    project.run(&["stop", "--all"]).ok();
    project.wait_nothing_left();
}

#[test]
fn a_suspended_starter_does_not_hold_up_the_others_for_ever() {
    let (project, _) = stack();
    project.write(".dev/dev/starting.lock", "");
    let lock = std::fs::File::options()
        .write(true)
        .open(project.path(".dev/dev/starting.lock"))
        .unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let (run, took) = measure(|| project.run(&["dev", "-d"]));
    run.code(1).says(&["error: ", "starting", "dev"]);
    assert!(took < Duration::from_secs(60), "took {took:?}");
    drop(lock);
    project.up();
}
