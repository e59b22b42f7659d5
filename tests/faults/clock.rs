//! The clock of the day is set back and forward: deadlines do not care. The machine's clock stays as it is; a small library in
//! front of the program's own tells it another time.

use super::recovers;
use crate::support::{Project, command, free_port, restarts, wait_until};

/// The crate's tests need a linker to be built, so there is a C compiler.
fn shifted(project: Project) -> Project {
    let library = project.path("shift.so");
    project.write("shift.c", include_str!("shift.c"));
    let built = command("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(project.path("shift.c"))
        .status();
    assert!(built.is_ok_and(|status| status.success()), "failed to compile shift.c");
    let file = project.path("shift");
    project.write("shift", "0");
    project
        .env("LD_PRELOAD", library.to_str().unwrap())
        .env("SHIFT_FILE", file.to_str().unwrap())
}

/// The hour of the last event, as the supervisor knows it.
fn hour(project: &Project) -> i64 {
    let events = project.events();
    let stamp = events.lines().last().unwrap().split(' ').next().unwrap();
    stamp.parse::<jiff::Timestamp>().unwrap().as_second() / 3600
}

#[cfg(target_os = "linux")]
#[test]
fn an_hour_back_and_forward_neither_storms_nor_sticks() {
    let port = free_port();
    let project = shifted(
        Project::new()
            .service(
                "web",
                &format!("listen {port} exit-when crash 1"),
                &format!("ports = [{port}]\nrestart_delay = 300"),
            )
            .service(
                "slow",
                "exit-when crash-slow 1",
                "min_uptime = 50\nexp_backoff_restart_delay = 300",
            ),
    );
    project.up();
    for (round, hours) in (1..).zip([-1, 1, -24, 24]) {
        let before = hour(&project);
        project.write("shift", &(hours * 3600).to_string());
        project.write("crash", "");
        project.write("crash-slow", "");
        for name in ["web", "slow"] {
            let after = project.wait(name, "is up again", |service| {
                service["ready"] == true && restarts(service) >= round
            });
            assert_eq!(restarts(&after), round, "{name} is restarted once");
            let uptime = after["uptime_ms"].as_u64().unwrap();
            assert!(uptime < 60_000, "{name} is up for {uptime} ms");
        }
        assert_ne!(hour(&project), before, "the clock was not set");
    }
    // A stop has its time limits, a command its patience.
    project.run(&["restart"]).ok();
    wait_until("all are ready", || {
        ["web", "slow"]
            .iter()
            .all(|name| project.service_status(name)["ready"] == true)
            .then_some(())
    });
    recovers(&project, port);
}
