//! Faults made for real: somebody kills, stops, starves or confuses a part of the machinery itself. Each test brings the
//! fault about, sees that nothing is lost and nothing is left, and that the next `dev -d` works.

mod clock;
mod files;
mod kills;
mod scarcity;
mod silence;
mod storms;
mod terminals;
mod unkillable;
mod versions;

use crate::support::{Project, Signal, free_port, is_free, parent_of, signal, wait_gone};

/// A stack with a child that left its session, and its port.
fn stack() -> (Project, u16) {
    let port = free_port();
    let words = format!("child session pid child.pid end wait-for child.pid listen {port}");
    (
        Project::new().service("web", &words, &format!("ports = [{port}]")),
        port,
    )
}

/// Kills keeper and supervisor so that neither can clear up: stopped processes run nothing before they die.
fn kill_both(project: &Project) {
    let supervisor = project.supervisor();
    kill_together(&[parent_of(supervisor), supervisor]);
    assert!(!project.processes().is_empty(), "the services outlive a double kill");
}

/// Kills processes so that none sees the death of another.
fn kill_together(pids: &[u32]) {
    for with in [Signal::STOP, Signal::KILL] {
        pids.iter().for_each(|pid| signal(*pid, with));
    }
    pids.iter().for_each(|pid| wait_gone(*pid));
}

/// Whatever happened: `stop` ends what is left, nothing stays behind, and the stack can be started and stopped anew.
#[track_caller]
fn recovers(project: &Project, port: u16) {
    project.run(&["stop"]).ok();
    project.wait_nothing_left();
    assert!(is_free(port));
    project.up();
    project.run(&["stop"]).ok();
    project.assert_no_service_process();
    assert!(is_free(port));
    project.wait_nothing_left();
}
