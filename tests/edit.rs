//! An edit of `dev.toml`: the next `dev` or `restart` brings the running stack in line, and changes only what differs.

use crate::support::{Project, pid, restarts};

fn pair() -> Project {
    Project::new()
        .service(
            "web",
            "count web.runs env web.json",
            "min_uptime = 50\nenv = { COLOUR = \"red\" }",
        )
        .service("api", "count api.runs", "min_uptime = 50")
}

#[test]
fn only_what_an_edit_changed_restarts() {
    let project = pair();
    let (web, api) = (
        pid(&project.up().service_status("web")),
        pid(&project.service_status("api")),
    );
    project.edit("COLOUR = \"red\"", "COLOUR = \"blue\"");
    project.up();
    let after = project.service_status("web");
    assert_ne!(pid(&after), web);
    assert_eq!(restarts(&after), 1);
    assert_eq!(pid(&project.service_status("api")), api);
    assert!(project.read("web.json").contains("\"COLOUR\":\"blue\""));
    assert_eq!((project.lines("web.runs"), project.lines("api.runs")), (2, 1));
}

#[test]
fn moving_and_commenting_lines_changes_nothing() {
    let project = pair();
    let before = project.up().stacks();
    project.write("dev.toml", &format!("# A comment.\n\n{}", project.read("dev.toml")));
    project.up();
    let after = project.stacks();
    for index in [0, 1] {
        assert_eq!(pid(&before[0]["services"][index]), pid(&after[0]["services"][index]));
    }
}

#[test]
fn what_an_edit_removed_stops_and_what_it_added_starts() {
    let project = pair().service("old", "count old.runs pid old.pid", "min_uptime = 50");
    project.up();
    let (web, old) = (pid(&project.service_status("web")), project.pid_in("old.pid"));
    project.edit("[services.old]", "[services.new]");
    project.edit("\"old\"]", "\"new\"]");
    project.edit("old.runs", "new.runs");
    project.up();
    assert!(!crate::support::is_alive(old));
    assert_eq!(project.service_status("old"), serde_json::Value::Null);
    assert_eq!(project.service_status("new")["ready"], true);
    assert_eq!(pid(&project.service_status("web")), web);
    assert_eq!(project.lines("new.runs"), 1);
    project.write(
        "dev.toml",
        &format!("{}\n[services.later]\nscript = \"sleep\"\n", project.read("dev.toml")),
    );
    for verb in ["start", "restart"] {
        let new = "error: later is in dev.toml, but profile dev does not list it; add it there, then `cargo xtask dev -p dev`";
        project.run(&[verb, "later"]).code(1).says(&[new]);
    }
    let events = project.read(".dev/dev/supervisor.log");
    assert!(events.contains(" [old] stopped\n"), "{events}");
}

#[test]
fn what_was_stopped_or_errored_starts_with_the_next_dev() {
    let project = pair().service("bad", "exit-when fixed 0 wait-for mended", "min_uptime = 50");
    project.up();
    project.run(&["stop", "web"]).ok();
    assert_eq!(project.service_status("web")["status"], "stopped");
    project.up();
    assert_eq!(project.service_status("web")["ready"], true);
    assert_eq!((project.lines("web.runs"), project.lines("api.runs")), (2, 1));
}

#[test]
fn restart_of_what_is_no_longer_in_the_profile_says_so() {
    let project = pair();
    let api = pid(&project.up().service_status("api"));
    project.write(
        "dev.toml",
        &project.read("dev.toml").replace("\"web\", \"api\"", "\"web\""),
    );
    project
        .run(&["restart", "api"])
        .code(1)
        .says(&["error: api: no longer in profile dev"]);
    project
        .run(&["restart"])
        .ok()
        .says(&["warning: api: no longer in profile dev"]);
    assert_eq!(pid(&project.service_status("api")), api);
    assert_eq!(restarts(&project.wait_ready("web")), 1);
}

#[test]
fn a_broken_edit_is_refused_and_the_stack_stays_as_it_is() {
    let project = pair();
    let before = project.up().stacks();
    project.edit("min_uptime = 50\nenv", "min_uptme = 50\nenv");
    project
        .run(&["dev", "-d"])
        .code(1)
        .says(&["dev.toml:", "min_uptme", "min_uptime"]);
    project.run(&["restart", "web"]).code(1).says(&["min_uptme"]);
    assert_eq!(pid(&project.stacks()[0]["services"][0]), pid(&before[0]["services"][0]));
}

#[test]
fn restart_applies_the_present_dev_toml_with_the_shell_as_it_was_at_dev() {
    let project = pair();
    project
        .run_with(
            &[("SHELL_VALUE", "first")],
            &["dev", "-d", "--wait", "-e", "EXTRA=kept"],
        )
        .ok();
    project.edit("COLOUR = \"red\"", "COLOUR = \"blue\"");
    project.run_with(&[("SHELL_VALUE", "second")], &["restart", "web"]).ok();
    project.wait_ready("web");
    let env = project.read("web.json");
    for part in ["\"COLOUR\":\"blue\"", "\"SHELL_VALUE\":\"first\"", "\"EXTRA\":\"kept\""] {
        assert!(env.contains(part), "no {part} in {env}");
    }
    project
        .run_with(&[("SHELL_VALUE", "third")], &["restart", "web", "--update-env"])
        .ok();
    project.wait_ready("web");
    assert!(project.read("web.json").contains("\"SHELL_VALUE\":\"third\""));
    assert_eq!((project.lines("web.runs"), project.lines("api.runs")), (3, 1));
}

#[test]
fn what_an_edit_takes_from_the_environment_is_gone() {
    let keys = "env = { KEPT = \"1\", GONE = \"1\" }\nenv_file = \"web.env\"";
    let project = Project::new()
        .file("web.env", "FILE_KEPT=1\nFILE_GONE=1\n")
        .service("web", "env web.json", keys);
    let has = |names: &[&str]| {
        let env = project.read("web.json");
        names
            .iter()
            .map(|name| env.contains(&format!("\"{name}\":")))
            .collect::<Vec<_>>()
    };
    let all = ["KEPT", "GONE", "FILE_KEPT", "FILE_GONE", "SHELL_GONE"];
    project.run_with(&[("SHELL_GONE", "1")], &["dev", "-d", "--wait"]).ok();
    assert_eq!(has(&all), [true; 5]);
    project.edit(", GONE = \"1\"", "");
    project.write("web.env", "FILE_KEPT=1\n");
    project.run(&["restart", "web"]).ok();
    project.wait_ready("web");
    assert_eq!(has(&all), [true, false, true, false, true]);
    project.run(&["restart", "web", "--update-env"]).ok();
    project.wait_ready("web");
    assert_eq!(has(&all), [true, false, true, false, false]);
}

#[test]
fn options_of_one_dev_count_until_the_next() {
    let project = pair();
    project.run(&["dev", "-d", "--wait", "-e", "COLOUR=green"]).ok();
    assert!(project.read("web.json").contains("\"COLOUR\":\"green\""));
    project.up();
    assert!(project.read("web.json").contains("\"COLOUR\":\"red\""));
}
