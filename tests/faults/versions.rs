//! An older command and a newer supervisor, and the reverse: a clear word or it works, and the stack is never stopped by it.

use super::{recovers, stack};
use crate::support::{Project, Value, json, pid};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

/// Where the supervisor of the project's only stack listens.
fn socket(project: &Project) -> PathBuf {
    let state: Value = serde_json::from_str(&project.read(".dev/dev/state.json")).unwrap();
    PathBuf::from(state["socket"].as_str().unwrap())
}

/// Says a line to the supervisor and reads its answer.
fn say(project: &Project, line: &str) -> Value {
    let mut stream = UnixStream::connect(socket(project)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    serde_json::from_str(&answer).unwrap_or_else(|_| panic!("no answer to {line}: {answer:?}"))
}

#[test]
fn a_command_of_another_version_is_refused_in_words_and_stops_nothing() {
    let (project, port) = stack();
    let before = pid(&project.up().service_status("web"));
    let lines = [
        json!({"protocol": 0, "request": "Invocation"}),
        json!({"protocol": 999, "request": {"Stop": {"services": ["web"]}}}),
        json!({"protocol": 999, "request": {"Up": {"plan": {}, "new": true}}}),
        json!({"protocol": 999, "request": {"Fly": {"to": "the moon"}}}),
        json!({"request": "Invocation"}),
    ];
    for line in lines {
        let answer = say(&project, &line.to_string());
        let why = answer["Refused"].as_str().unwrap_or_else(|| panic!("{line}: {answer}"));
        assert!(
            why.contains("speaks protocol") && why.contains("the stack keeps running"),
            "{why}"
        );
    }
    for line in [
        "",
        "{}",
        "not json at all",
        "[1, 2",
        "\"Shutdown\"",
        "{\"protocol\": 1, \"request\": {\"Fly\": 1}}",
    ] {
        let answer = say(&project, line);
        assert!(answer["Refused"].is_string(), "{line}: {answer}");
    }
    assert_eq!(pid(&project.service_status("web")), before);
    recovers(&project, port);
}

#[test]
fn any_version_can_look_at_a_stack_and_stop_it() {
    let (project, port) = stack();
    project.up();
    let status = say(
        &project,
        &json!({"protocol": 999, "request": "Status", "new": 1}).to_string(),
    );
    assert_eq!(status["Status"]["services"][0]["name"], "web");
    let ended = say(&project, &json!({"protocol": 0, "request": "Shutdown"}).to_string());
    assert!(
        ended == json!("Working") || ended["Ended"]["failures"] == json!([]),
        "{ended}"
    );
    project.wait_nothing_left();
    recovers(&project, port);
}

/// A supervisor of another version: it answers every request with the same line.
fn foreign(project: &Project, answer: &'static str) {
    project.up();
    let socket = socket(project);
    project.run(&["stop"]).ok();
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut writer = stream.try_clone().unwrap();
                for _request in BufReader::new(stream).lines().map_while(Result::ok) {
                    let _ = writer.write_all(format!("{answer}\n").as_bytes());
                }
            });
        }
    });
}

#[test]
fn a_supervisor_that_has_no_room_for_a_connection_is_not_taken_for_one_that_does_not_run() {
    let (project, _) = stack();
    project.up();
    let socket = socket(&project);
    project.run(&["stop"]).ok();
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"{\"Refused\":\"no room for another connection\"}\n");
        }
    });
    // Whether the command has asked by then or not is a race: all ways of it.
    for _ in 0..10 {
        for args in COMMANDS {
            project.run(args).code(1).says(&["no room for another connection"]);
        }
    }
}

const COMMANDS: [&[&str]; 5] = [&["status"], &["stop"], &["restart"], &["dev", "-d"], &["stop", "web"]];

#[test]
fn a_supervisor_that_refuses_or_says_what_nobody_knows_is_reported() {
    for answer in [
        r#"{"Refused":"the supervisor of xtask 0.0.1 speaks protocol 0"}"#,
        r#"{"Hologram":{"of":"web"}}"#,
        "gibberish",
    ] {
        let (project, _) = stack();
        foreign(&project, answer);
        let word = if answer.contains("Refused") {
            "speaks protocol 0"
        } else {
            "the stack keeps running"
        };
        for command in COMMANDS {
            project.run(command).code(1).says(&["error: ", word]);
        }
    }
}

#[test]
fn the_status_of_an_older_or_newer_supervisor_is_shown() {
    let (project, _) = stack();
    foreign(
        &project,
        r#"{"Status":{"profile":"dev","mood":"fine","supervisor":{"pid":1,"uptime_ms":5,"version":"9.0.0"},"services":[{"id":3,"name":"web","status":"online","ready":true,"planet":"earth"}]}}"#,
    );
    let status = project.status();
    let web = &status["stacks"][0]["services"][0];
    assert_eq!(
        (&web["name"], &web["id"], &web["restarts"]),
        (&json!("web"), &json!(3), &json!(0))
    );
}
