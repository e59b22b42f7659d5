//! `dev -d --wait`: it returns as soon as the fate of each service is known.

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
