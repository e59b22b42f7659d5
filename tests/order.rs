//! Order: what depends on what, started and stopped in parallel as far as that allows.

use crate::support::{Project, free_port, json, restarts};

fn sh(name: &str, script: &str, keys: &str) -> String {
    format!("[services.{name}]\nscript = \"sh\"\nargs = ['-c', \"{script}\"]\nmin_uptime = 50\n{keys}\n")
}

#[test]
fn what_does_not_depend_on_each_other_starts_and_stops_at_the_same_time() {
    // Each goes on only when the other has come as far.
    let script = |own: &str, other: &str| {
        let meet = |moment: &str| format!("touch {own}.{moment}; while [ ! -e {other}.{moment} ]; do sleep 0.01; done");
        let (down, up) = (meet("down"), meet("up"));
        format!("trap '{down}; exit 0' INT; {up}; touch {own}.met; while :; do sleep 0.01; done")
    };
    let keys = |name: &str| {
        let ready = format!("ready = {{ command = [\"test\", \"-e\", \"{name}.met\"] }}");
        format!("kill_timeout = \"60s\"\ndepends_on = [\"db\"]\n{ready}")
    };
    let project = Project::new()
        .toml(&sh("db", "while :; do sleep 0.01; done", ""))
        .toml(&sh("a", &script("a", "b"), &keys("a")))
        .toml(&sh("b", &script("b", "a"), &keys("b")))
        .toml("[profiles.dev]\nservices = [\"db\", \"a\", \"b\"]");
    project.up();
    project.run(&["stop"]).ok();
    assert!(project.path("a.down").exists() && project.path("b.down").exists());
}

#[test]
fn a_task_may_have_to_be_completed_first() {
    let project = Project::new()
        .file("verdict", "4")
        .service(
            "web",
            "note story web",
            "min_uptime = 50\ndepends_on = { migrate = \"completed\" }",
        )
        .toml(
            "[tasks.migrate]\nscript = \"sh\"\nargs = ['-c', 'echo migrated >> story; exit $(cat verdict)']\n\
             [profiles.dev]\nservices = [\"web\"]",
        );
    let run = project.run(&["dev", "-d", "--wait"]).code(1);
    run.says(&["error: task migrate failed"]);
    assert_eq!(
        (project.read("story").as_str(), project.stacks().len()),
        ("migrated\n", 0)
    );
    project.write("verdict", "0");
    project.up();
    assert_eq!(project.read("story"), "migrated\nmigrated\nweb\n");
}

#[test]
fn a_failed_dependency_is_the_reason_of_its_dependents_and_releases_them_when_it_comes_back() {
    let dependent = |name: &str, on: &str| {
        (
            format!("count {name}.runs"),
            format!("min_uptime = 50\ndepends_on = [\"{on}\"]"),
        )
    };
    let (api, web) = (dependent("api", "db"), dependent("web", "api"));
    let project = Project::new()
        .service("db", "exit-unless sound 3", "min_uptime = \"500ms\"\nmax_restarts = 1")
        .service("api", &api.0, &api.1)
        .service("web", &web.0, &web.1);
    let run = project.run(&["dev", "-d", "--wait"]).code(1);
    run.says(&[
        "error: db: gave up",
        "error: api: waits for db",
        "error: web: waits for api",
    ]);
    let api = project.service_status("api");
    let reason = api["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("waits for db (errored: gave up after 2 runs"),
        "{reason}"
    );
    assert_eq!((project.lines("api.runs"), project.lines("web.runs")), (0, 0));
    project.write("sound", "");
    project.run(&["start", "db"]).ok();
    project.wait_ready("api");
    assert_eq!(project.wait_ready("web")["reason"], json!(null));
}

#[test]
fn a_one_shot_dependency_that_fails_is_never_completed() {
    let project = Project::new()
        .service("migrate", "exit 4", "autorestart = false")
        .service(
            "web",
            "count runs",
            "min_uptime = 50\ndepends_on = { migrate = \"completed\" }",
        );
    let run = project.run(&["dev", "-d", "--wait"]).code(1);
    run.says(&[
        "error: migrate: ended with exit code 4",
        "error: web: waits for migrate",
    ]);
    assert_eq!(project.lines("runs"), 0);
}

#[test]
fn a_dependent_without_restart_stays_up_when_its_dependency_goes() {
    let port = free_port();
    let project = Project::new()
        .service("db", &format!("listen {port}"), &format!("ports = [{port}]"))
        .service("web", "count runs", "min_uptime = 50\ndepends_on = [\"db\"]");
    project.up().run(&["stop", "db"]).ok();
    assert_eq!(project.service_status("web")["ready"], true);
    project.run(&["start", "db"]).ok();
    project.wait_ready("db");
    assert_eq!(project.lines("runs"), 1);
}

#[test]
fn a_one_shot_that_configures_another_runs_again_whenever_that_comes_back_until_the_user_stops_it() {
    let project = Project::new()
        .service("caddy", "exit-when crash 1", "min_uptime = 50")
        .service(
            "setup",
            "count runs exit 0",
            "autorestart = false\ndepends_on = { caddy = { condition = \"ready\", restart = true } }",
        );
    project.up();
    project.write("crash", "");
    project.wait_lines("runs", 2);
    project.wait_status("setup", "stopped");
    project.run(&["restart", "caddy"]).ok();
    project.wait_lines("runs", 3);
    let setup = project.wait_status("setup", "stopped");
    assert_eq!(restarts(&setup), 2);
    assert!(project.events().contains("[setup] restarted: caddy came back (pid "));
    project.run(&["stop", "setup"]).ok();
    project.run(&["restart", "caddy"]).ok();
    project.wait_ready("caddy");
    let setup = project.service_status("setup");
    assert_eq!((&setup["status"], restarts(&setup)), (&json!("stopped"), 2));
}

#[test]
fn who_follows_the_completion_of_another_is_restarted_with_each_however_long_it_takes() {
    // Its whole run is over before `min_uptime`: it is never ready, only completed.
    let one_shot = "autorestart = false\nmin_uptime = '1h'";
    let project = Project::new()
        .service("quick", "count quick exit 0", one_shot)
        .service("slow", "count slow exit-when done 0", "autorestart = false\nmin_uptime = 50")
        .service(
            "web",
            "count runs",
            "min_uptime = 50\n\
             depends_on = { quick = { condition = 'completed', restart = true }, slow = { condition = 'completed', restart = true } }",
        )
        .file("done", "");
    project.up();
    project.run(&["restart", "quick"]).ok();
    project.wait_lines("runs", 2);
    project.wait_ready("web");
    project.run(&["restart", "slow"]).ok();
    // It is up, and ready by its uptime; only its end is news for `web`.
    project.wait_ready("slow");
    assert_eq!(project.lines("runs"), 2);
    project.write("done", "");
    project.wait_lines("runs", 3);
    project.wait_ready("web");
    assert!(project.events().contains("[web] restarted: slow came back (pid "));
}
