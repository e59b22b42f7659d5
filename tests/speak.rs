//! `signal` and `send`: what a user says to a running service itself.

use crate::support::{Project, is_alive, wait_gone, wait_until};

#[test]
fn a_signal_reaches_the_whole_group_by_any_of_its_names() {
    for signal in ["SIGTERM", "term", "15"] {
        let project = Project::new().service("web", "ignore child pid child.pid end", "min_uptime = 50");
        project.up();
        let child = project.pid_in("child.pid");
        project.run(&["signal", signal, "web"]).ok();
        wait_gone(child);
        let web = project.service_status("web");
        assert_eq!(
            (&web["status"], &web["restarts"]),
            (&"online".into(), &0.into()),
            "{signal}"
        );
        assert!(
            project.events().contains("SIGTERM sent by command"),
            "{}",
            project.events()
        );
    }
}

#[test]
fn an_end_by_a_users_signal_is_an_exit_like_any_other() {
    let project = Project::new().service("web", "count runs", "min_uptime = 50");
    project.up();
    project.run(&["signal", "USR1", "web"]).ok();
    let web = project.wait("web", "runs again", |web| web["restarts"] == 1 && web["ready"] == true);
    assert_eq!(
        (&web["last_exit"]["signal"], project.lines("runs")),
        (&"SIGUSR1".into(), 2)
    );
}

#[test]
fn an_unknown_signal_names_the_nearest_and_a_service_that_does_not_run_says_so() {
    let project = Project::new().service("web", "", "min_uptime = 50");
    project.up();
    project
        .run(&["signal", "SIGTREM", "web"])
        .code(2)
        .says(&["no signal is called `SIGTREM`; did you mean `SIGTERM`?"]);
    project.run(&["signal", "99", "web"]).code(2);
    project
        .run(&["signal", "HUP", "wbe"])
        .code(1)
        .says(&["did you mean `web`?"]);
    project.run(&["stop", "web"]).ok();
    for words in [["signal", "HUP", "web"], ["send", "web", "hello"]] {
        project
            .run(&words)
            .code(1)
            .says(&["error: web: it does not run (stopped); `cargo xtask start web` starts it"]);
    }
}

#[test]
fn a_line_that_is_sent_arrives_whole_and_stdin_stays_open() {
    let project = Project::new().service("web", "hear heard", "min_uptime = 50");
    project.up();
    for text in ["reload now", "-v", ""] {
        project.run(&["send", "web", text]).ok();
    }
    wait_until("all was heard", || {
        (project.read("heard") == "reload now\n-v\n\n").then_some(())
    });
}

#[test]
fn instances_are_spoken_to_together_by_a_glob() {
    let project = Project::new().service("web", "hear heard", "instances = 2\nmin_uptime = 50");
    project.up();
    project.run(&["send", "web-*", "hello"]).ok();
    wait_until("both heard", || {
        (project.read("heard") == "hello\nhello\n").then_some(())
    });
}

#[test]
fn a_service_that_does_not_read_holds_nobody_up() {
    let project =
        Project::new()
            .service("deaf", "", "min_uptime = 50")
            .service("closed", "close-stdin", "min_uptime = 50");
    project.up();
    let text = "x".repeat(100_000);
    project
        .run(&["send", "deaf", &text])
        .code(1)
        .says(&["error: deaf: its stdin is full", "of 100001 bytes"]);
    project
        .run(&["send", "deaf", "more"])
        .code(1)
        .says(&["its stdin is full: it does not read"]);
    project
        .run(&["send", "closed", "hello"])
        .code(1)
        .says(&["error: closed: it has closed its stdin"]);
    let deaf = project.service_status("deaf");
    assert!(is_alive(crate::support::pid(&deaf)));
}
