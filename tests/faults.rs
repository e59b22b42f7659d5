//! Faults: somebody kills or stops a part of the machinery itself.

use crate::support::{
    LIMIT, Project, Signal, free_port, is_free, measure, parent_of, pid, signal, wait_gone, wait_until,
};

/// A stack with a child that left its session, and its port.
fn stack() -> (Project, u16) {
    let port = free_port();
    let words = format!("child session pid child.pid end wait-for child.pid listen {port}");
    (
        Project::new().service("web", &words, &format!("ports = [{port}]")),
        port,
    )
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
    assert!(!crate::support::is_alive(child));
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
    assert!(!crate::support::is_alive(before));
    assert_eq!(project.service_status("web")["ready"], true);
}

#[test]
fn stop_clears_what_a_double_kill_left_behind() {
    let (project, port) = stack();
    project.up();
    kill_both(&project);
    project.run(&["stop"]).ok();
    assert!(is_free(port));
    project.assert_no_service_process();
    project.wait_nothing_left();
}

/// Kills keeper and supervisor so that neither can clear up: stopped processes run nothing before they die.
fn kill_both(project: &Project) {
    let supervisor = project.supervisor();
    let keeper = parent_of(supervisor);
    for with in [Signal::STOP, Signal::KILL] {
        signal(keeper, with);
        signal(supervisor, with);
    }
    wait_gone(supervisor);
    wait_gone(keeper);
    assert!(!project.processes().is_empty(), "the services outlive a double kill");
}

#[test]
fn a_stopped_supervisor_makes_commands_fail_in_time_and_heals() {
    let (project, _) = stack();
    project.up();
    let supervisor = project.supervisor();
    signal(supervisor, Signal::STOP);
    let (run, took) = measure(|| project.run(&["status"]));
    run.code(1).says(&["error: ", &supervisor.to_string()]);
    assert!(took < LIMIT, "status took {took:?}");
    let (run, took) = measure(|| project.run(&["restart", "web"]));
    run.code(1);
    assert!(took < LIMIT, "restart took {took:?}");
    signal(supervisor, Signal::CONT);
    wait_until("status works again", || {
        project.run(&["status"]).status.success().then_some(())
    });
    project.wait_ready("web");
}

#[test]
fn a_request_to_end_makes_the_supervisor_stop_the_stack_in_order() {
    let project = Project::new().service("web", "bye ended 'in order'", "min_uptime = 50");
    project.up();
    signal(project.supervisor(), Signal::TERM);
    project.wait_nothing_left();
    assert_eq!(project.read("ended"), "in order\n");
}
