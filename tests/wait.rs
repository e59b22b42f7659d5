//! `wait`, and `dev -d --wait`: they return as soon as the fate of each service is known.

use crate::support::{LIMIT, Project, free_port, measure};

#[test]
fn it_returns_0_once_all_is_ready() {
    let (web, api) = (free_port(), free_port());
    let project = Project::new()
        .service("web", &format!("after 300 listen {web}"), &format!("ports = [{web}]"))
        .service(
            "api",
            &format!("after 600 listen {api}"),
            &format!("ready = {{ tcp = \"localhost:{api}\" }}"),
        );
    project.up();
    for name in ["web", "api"] {
        assert_eq!(project.service_status(name)["ready"], true);
    }
}

#[test]
fn it_names_who_failed_and_why_with_its_last_lines_and_leaves_the_stack_up() {
    let port = free_port();
    let project = Project::new()
        .service("web", &format!("listen {port}"), &format!("ports = [{port}]"))
        .service(
            "bad",
            "out 'reading the config' err 'boom: no database' exit 3",
            "max_restarts = 1",
        )
        .service("late", "", "depends_on = [\"bad\"]");
    let run = project.run(&["dev", "-d", "--wait"]).code(1);
    let run = run.says(&["error: ", "bad", "late", "boom: no database", "reading the config"]);
    assert!(!run.stderr.contains("error: web"), "web did not fail; {run}");
    assert_eq!(project.service_status("web")["ready"], true);
    assert_eq!(project.service_status("bad")["status"], "errored");
    assert_eq!(project.service_status("late")["status"], "launching");
}

#[test]
fn the_last_lines_of_a_failure_are_those_of_its_own_run() {
    let project = Project::new().service(
        "bad",
        "exit-when never 3 out 'of an earlier stack'",
        "min_uptime = 50\nautorestart = false",
    );
    project.up();
    project.run(&["stop"]).ok();
    project.edit(
        "exit-when never 3 out 'of an earlier stack'",
        "err 'of this one' exit 3",
    );
    let run = project
        .run(&["dev", "-d", "--wait"])
        .code(1)
        .says(&["error: bad", "of this one"]);
    assert!(!run.stderr.contains("of an earlier stack"), "{run}");
}

#[test]
fn a_one_shot_that_ended_with_0_or_a_stop_code_counts_as_success() {
    let project = Project::new()
        .service("migrate", "exit 0", "autorestart = false")
        .service("seed", "exit 7", "stop_exit_codes = [7]")
        .service("web", "", "min_uptime = 50\ndepends_on = { migrate = \"completed\" }");
    project.up();
    assert_eq!(project.service_status("migrate")["status"], "stopped");
    assert_eq!(project.service_status("web")["ready"], true);
}

#[test]
fn who_waits_for_a_one_shot_that_has_ended_well_to_be_ready_is_named_at_once() {
    for (words, keys, code) in [
        ("exit 0", "autorestart = false", 0),
        ("exit 0", "autorestart = \"on-failure\"", 0),
        ("exit 7", "stop_exit_codes = [7]", 7),
    ] {
        let project = Project::new()
            .service("one", words, keys)
            .service("afterone", "", "depends_on = [\"one\"]")
            .service("last", "", "depends_on = [\"afterone\"]");
        let why = format!("waits for one (ended with exit code {code})");
        let failures = [
            format!("error: afterone: {why}"),
            format!("error: last: waits for afterone ({why})"),
        ];
        for command in [&["dev", "-d", "--wait"] as &[&str], &["wait"]] {
            let run = project.run(command).code(1);
            let run = run.says(&[&failures[0], &failures[1]]);
            assert!(!run.stderr.contains("error: one"), "{run}");
        }
    }
}
#[test]
fn any_other_exit_without_a_restart_is_a_failure() {
    let project = Project::new().service("migrate", "err 'table exists' exit 4", "autorestart = false");
    project
        .run(&["dev", "-d", "--wait"])
        .code(1)
        .says(&["migrate", "4", "table exists"]);
    assert_eq!(project.service_status("migrate")["last_exit"]["code"], 4);
}

#[test]
fn not_ready_in_time_is_a_failure_and_the_service_may_still_become_ready() {
    let port = free_port();
    let ready = format!("ready = {{ http = \"http://localhost:{port}/\", timeout = \"400ms\", interval = \"50ms\" }}");
    let project = Project::new().service("web", &format!("listen-when {port} open"), &ready);
    project
        .run(&["dev", "-d", "--wait"])
        .code(1)
        .says(&["web", "not ready"]);
    let web = project.service_status("web");
    assert_eq!((&web["status"], &web["ready"]), (&"online".into(), &false.into()));
    assert!(web["reason"].is_string(), "{web:#}");
    project.write("open", "");
    assert_eq!(project.wait_ready("web")["reason"], serde_json::Value::Null);
}

#[test]
fn a_timeout_ends_the_waiting_and_not_the_stack() {
    let port = free_port();
    let ready = format!("ready = {{ tcp = \"localhost:{port}\", timeout = \"1h\" }}");
    let project = Project::new().service("web", "", &ready);
    let (run, took) = measure(|| project.run(&["dev", "-d", "--wait", "--timeout", "300ms"]));
    run.code(1).says(&["error: ", "web"]);
    assert!(took < LIMIT, "it took {took:?}");
    assert_eq!(project.service_status("web")["status"], "online");
}

#[test]
fn between_two_runs_the_reason_is_how_the_last_one_ended() {
    let project = Project::new().service("web", "exit 3", "restart_delay = '1h'");
    let run = project.run(&["dev", "-d", "--wait", "--timeout", "2s"]).code(1);
    run.says(&["error: web: not in time: restarting: it ended with exit code 3"]);
    let web = project.wait_status("web", "waiting restart");
    assert_eq!(web["reason"], "restarting: it ended with exit code 3");
}

#[test]
fn wait_returns_when_ready_and_names_who_is_not_and_why() {
    let port = free_port();
    let ready = format!("ready = {{ tcp = \"localhost:{port}\", timeout = \"1h\" }}");
    let project = Project::new()
        .service("job", "exit 0", "autorestart = false")
        .service("web", &format!("wait-for go listen {port}"), &ready)
        .service("bad", "exit 3", "max_restarts = 0")
        .service("late", "", "depends_on = [\"bad\"]");
    project.run(&["dev", "-d"]);
    project.run(&["wait", "job"]).ok();
    let run = project.run(&["wait", "--timeout", "200ms"]).code(1);
    let run = run.says(&[
        "error: web: not in time",
        "error: bad: gave up",
        "error: late: waits for bad",
    ]);
    assert!(!run.stderr.contains("job"), "{run}");
    let waiting = project.start(&["wait", "web"]);
    project.write("go", "");
    waiting.wait().ok();
    assert_eq!(project.service_status("web")["ready"], true);
    project.run(&["stop", "web"]).ok();
    project.run(&["wait", "web"]).code(1).says(&["error: web: stopped"]);
    project.run(&["wait", "wbe"]).code(1).says(&["did you mean `web`?"]);
}

#[test]
fn wait_covers_all_stacks_at_the_same_time() {
    let project = Project::new()
        .service(
            "web",
            "wait-for go after 100",
            "ready = { log = \"up\", timeout = \"1h\" }",
        )
        .toml("[profiles.one]\nservices = [\"web\"]\n[profiles.two]\nservices = [\"web\"]");
    for profile in ["one", "two"] {
        project.run(&["dev", "-d", "-p", profile]).ok();
    }
    let run = project.run(&["wait", "--timeout", "100ms"]).code(1);
    run.says(&["error: one/web: not in time", "error: two/web: not in time"]);
    project
        .run(&["wait", "web", "-p", "two", "--timeout", "50"])
        .code(1)
        .says(&["error: web: not in time"]);
    project.run(&["stop", "--all"]).ok();
    project.run(&["wait"]).code(1).says(&["no stack is running"]);
}

#[test]
fn a_crash_loop_of_stable_runs_that_is_never_ready_is_not_ready_in_time() {
    let keys = "min_uptime = \"50ms\"\nready = { log = \"never\", timeout = \"500ms\" }";
    let project = Project::new()
        .service("web", "after 100 exit 7", keys)
        .service("late", "", "depends_on = [\"web\"]");
    let why = "error: web: not ready after 500ms: it keeps ending, last with exit code 7";
    project.run(&["dev", "-d", "--wait"]).code(1).says(&[why]);
    project
        .run(&["wait", "late"])
        .code(1)
        .says(&["error: late: waits for web"]);
    project.wait("web", "has the reason", |web| {
        web["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("it keeps ending"))
    });
}
