//! `pty = true`: a service that is given a terminal.

use crate::support::{Project, json, pid, wait_gone, wait_until};

/// What the service has found out about its streams.
#[track_caller]
fn streams(project: &Project) -> serde_json::Value {
    wait_until("the streams are told", || {
        serde_json::from_str(&project.read("tty.json")).ok()
    })
}

#[test]
fn its_streams_are_a_terminal_of_a_sensible_size_and_others_have_none() {
    let project = Project::new()
        .service("web", "tty tty.json", "pty = true")
        .service("plain", "tty plain.json", "");
    project.run_with(&[("TERM", "")], &["dev", "-d"]).ok();
    let terminal = json!({ "terminals": [true, true, true], "size": [120, 40], "term": "xterm-256color" });
    assert_eq!(streams(&project), terminal);
    wait_until("the other's are told", || {
        project.read("plain.json").contains("[false,false,false]").then_some(())
    });
    assert_eq!(project.service_status("web")["error_log"], json!(null));
}

#[test]
fn its_environment_chooses_the_size_and_the_kind() {
    let keys = "pty = true\nenv = { COLUMNS = \"200\", LINES = \"50\" }";
    let project = Project::new().service("web", "tty tty.json", keys);
    project.run_with(&[("TERM", "vt100")], &["dev", "-d"]).ok();
    let expected = json!({ "terminals": [true, true, true], "size": [200, 50], "term": "vt100" });
    assert_eq!(streams(&project), expected);
}

#[test]
fn its_lines_are_logged_as_written_without_carriage_returns_and_without_an_echo_of_what_is_sent() {
    let project = Project::new().service("web", "out first err second hear heard", "pty = true\nmin_uptime = 50");
    project.up();
    project.run(&["send", "web", "a secret word"]).ok();
    wait_until("it heard", || {
        (project.read("heard") == "a secret word\n").then_some(())
    });
    project
        .run(&["send", "web", &"x".repeat(5000)])
        .code(1)
        .says(&["error: web: a terminal takes in at most"]);
    project.run(&["stop", "web"]).ok();
    let run = project.run(&["logs", "web", "--raw", "--no-follow"]).ok();
    assert_eq!(run.stdout, "first\nsecond\n");
}

#[test]
fn nothing_is_lost_of_what_it_writes_before_it_ends() {
    let words = "flood 5000 part 'the very last' exit 0";
    let project = Project::new().service("web", words, "pty = true\nautorestart = false");
    project.run(&["dev", "-d", "--wait"]).ok();
    let run = project.run(&["logs", "web", "--raw", "--no-follow", "-n", "6000"]).ok();
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!((lines.len(), lines[5000]), (5001, "the very last"));
    assert!((0..5000).all(|line| lines[line] == format!("line {line} {}", "x".repeat(80))));
}

#[test]
fn a_stop_reaches_its_whole_tree_in_order() {
    let words = "bye said web child bye said kid pid child.pid end";
    let project = Project::new().service("web", words, "pty = true\nmin_uptime = 50");
    let web = pid(&project.up().service_status("web"));
    let child = project.pid_in("child.pid");
    project.run(&["stop", "web"]).ok();
    let mut said: Vec<String> = project.read("said").lines().map(str::to_owned).collect();
    said.sort_unstable();
    assert_eq!(said, ["kid", "web"]);
    wait_gone(web);
    wait_gone(child);
    assert_eq!(project.service_status("web")["last_exit"]["code"], 0);
}

#[test]
fn a_file_for_its_errors_alone_is_refused() {
    let project = Project::new().service("web", "", "pty = true\nerror_file = \"e.log\"");
    project
        .run(&["check"])
        .code(1)
        .says(&["[services.web] error_file: with `pty` both outputs come by one terminal"]);
}
