//! Build-then-swap: the builds of a watch restart run while the old process keeps serving.

use std::fs;

use crate::support::{Project, free_port, get, json, pid, restarts, wait_until};

/// A service that watches `src`, with a build.
fn watched(keys: &str) -> Project {
    let keys = format!("min_uptime = 50\nwatch = [\"src\"]\nwatch_delay = \"100ms\"\n{keys}");
    Project::new()
        .file("src/main.rs", "fn main() {}")
        .service("web", "count runs", &keys)
}

#[test]
fn a_build_runs_before_the_restart_and_a_failed_one_keeps_the_old_process() {
    let project = watched("build = \"compile\"").file("verdict", "0").toml(
        "[tasks.compile]\nscript = \"sh\"\nargs = ['-c', 'echo built >> builds; cat verdict; exit $(cat verdict)']\n\
         [profiles.dev]\nservices = [\"web\"]",
    );
    project.up();
    let first = pid(&project.service_status("web"));
    assert_eq!((project.lines("builds"), project.lines("runs")), (1, 1));
    project.write("verdict", "7");
    project.write("src/main.rs", "broken");
    let web = project.wait("web", "says that the build failed", |web| {
        web["reason"].is_string() && web["status"] == "online"
    });
    assert_eq!(
        (pid(&web), &web["ready"], project.lines("runs")),
        (first, &json!(true), 1)
    );
    assert!(web["reason"].as_str().unwrap().contains("compile"), "{web:#}");
    project.write("verdict", "0");
    project.write("src/main.rs", "mended");
    let web = project.wait("web", "is rebuilt", |web| web["ready"] == true && web["pid"] != first);
    assert_eq!(
        (project.lines("builds"), project.lines("runs"), &web["reason"]),
        (3, 2, &json!(null))
    );
}

#[test]
fn an_edit_during_a_build_is_built_too() {
    let project = watched("build = \"compile\"").toml(
        "[tasks.compile]\nscript = \"sh\"\nargs = ['-c', 'echo built >> builds; cat src/main.rs > bin; while [ -e hold ]; do sleep 0.02; done']\n\
         [profiles.dev]\nservices = [\"web\"]",
    );
    project.up();
    project.write("hold", "");
    project.write("src/main.rs", "second");
    wait_until("the build is under way", || {
        (project.lines("builds") == 2).then_some(())
    });
    project.wait_status("web", "building");
    project.write("src/main.rs", "third");
    fs::remove_file(project.path("hold")).unwrap();
    wait_until("the last edit is built", || {
        (project.read("bin") == "third").then_some(())
    });
    project.wait("web", "is up", |web| web["status"] == "online" && web["ready"] == true);
}

/// A service that says what its build has made of `src`; the build waits for `go` in the middle.
fn slowly_built() -> Project {
    Project::new().file("src/main.ts", "one").file("go", "").toml(
        "[tasks.compile]\nscript = 'sh'\nargs = ['-c', 'v=$(cat src/main.ts); echo begun >> begun; \
             while ! [ -e go ]; do sleep 0.02; done; echo $v > built']\ninputs = ['src']\noutputs = ['built']\n\
             [services.web]\nscript = 'sh'\nargs = ['-c', 'cp built serving; exec sleep 1000']\nmin_uptime = 50\n\
             watch = true\nwatch_delay = '100ms'\nbuild = 'compile'\nignore_watch = ['begun', 'go', 'serving']\n\
             [profiles.dev]\nservices = ['web']",
    )
}

fn serves(project: &Project, what: &str) {
    let serving = project.path("serving");
    wait_until(&format!("it serves {what}"), || {
        (fs::read_to_string(&serving).unwrap_or_default() == format!("{what}\n")).then_some(())
    });
}

#[test]
fn an_edit_during_the_build_of_dev_or_start_is_built_too() {
    let project = slowly_built();
    fs::remove_file(project.path("go")).unwrap();
    let dev = project.start(&["dev", "-d", "--wait"]);
    project.wait_lines("begun", 1);
    project.write("src/main.ts", "two");
    project.write("go", "");
    dev.wait().ok();
    serves(&project, "two");
    project.run(&["stop", "web"]).ok();
    project.write("src/main.ts", "three");
    fs::remove_file(project.path("go")).unwrap();
    let begun = project.lines("begun");
    let start = project.start(&["start", "web"]);
    project.wait_lines("begun", begun + 1);
    project.write("src/main.ts", "four");
    project.write("go", "");
    start.wait().ok();
    serves(&project, "four");
}

#[test]
fn what_a_build_says_it_writes_is_no_change() {
    let project = slowly_built();
    project.up();
    for text in ["two", "three"] {
        project.write("src/main.ts", text);
        serves(&project, text);
        project.wait_ready("web");
    }
    assert_eq!(project.lines("begun"), 3, "one build each");
    assert!(!project.events().contains("cancelled"), "{}", project.events());
}

#[test]
fn a_build_that_writes_unnamed_files_into_what_is_watched_comes_to_its_end() {
    let project = watched("build = \"compile\"").toml(
        "[tasks.compile]\nscript = 'sh'\nargs = ['-c', 'date +%s%N > src/generated; sleep 0.3; cp src/main.rs built']\n\
         [profiles.dev]\nservices = [\"web\"]",
    );
    project.up();
    project.write("src/main.rs", "edited");
    wait_until("the edit is built", || {
        (project.read("built") == "edited" && project.lines("runs") > 1).then_some(())
    });
}

#[test]
fn a_task_that_two_services_share_runs_once_at_a_time_and_the_second_finds_it_fresh() {
    let keys = "min_uptime = 50\nwatch = ['src']\nwatch_delay = '50ms'\nbuild = 'compile'";
    let project = Project::new()
        .file("src/main.ts", "one")
        .service("web", "count web.runs", keys)
        .service("api", "count api.runs", keys)
        .toml(
            "[tasks.compile]\nscript = 'sh'\nargs = ['-c', 'mkdir busy || exit 9; echo built >> builds; sleep 0.3; cp src/main.ts built; rmdir busy']\n\
             inputs = ['src']\noutputs = ['built']\n[profiles.dev]\nservices = ['web', 'api']",
        );
    project.up();
    project.write("src/main.ts", "two");
    project.wait_lines("web.runs", 2);
    project.wait_lines("api.runs", 2);
    assert_eq!(project.lines("builds"), 2);
    // From outside, too: whoever comes second waits.
    project.write("src/main.ts", "three");
    let builds: Vec<_> = (0..3).map(|_| project.start(&["build", "compile"])).collect();
    builds.into_iter().for_each(|build| drop(build.wait().ok()));
    project.wait_lines("web.runs", 3);
    project.wait_lines("api.runs", 3);
    assert_eq!(project.lines("builds"), 3);
}

#[test]
fn a_failed_build_is_forgotten_once_another_way_has_built() {
    let project = watched("build = \"compile\"").file("verdict", "0").toml(
        "[tasks.compile]\nscript = 'sh'\nargs = ['-c', 'exit $(cat verdict)']\n[profiles.dev]\nservices = [\"web\"]",
    );
    project.up();
    project.write("verdict", "7");
    project.write("src/main.rs", "broken");
    project.wait("web", "says that the build failed", |web| web["reason"].is_string());
    project.write("verdict", "0");
    project.run(&["restart", "web"]).ok();
    project.wait("web", "has no reason", |web| {
        web["ready"] == true && web["reason"].is_null()
    });
}

#[test]
fn the_old_process_serves_while_the_build_runs() {
    let port = free_port();
    let project = Project::new().file("src/main.rs", "first").service(
        "web",
        &format!("listen {port}"),
        &format!("ports = [{port}]\nwatch = [\"src\"]\nwatch_delay = 50\nbuild = \"compile\""),
    );
    let project = project.toml(
        "[tasks.compile]\nscript = \"sh\"\nargs = ['-c', 'while [ -e hold ]; do sleep 0.02; done']\n\
         [profiles.dev]\nservices = [\"web\"]",
    );
    let old = pid(&project.up().service_status("web")).to_string();
    project.write("hold", "");
    project.write("src/main.rs", "second");
    let web = project.wait_status("web", "building");
    assert_eq!((pid(&web).to_string(), &web["ready"]), (old.clone(), &json!(true)));
    assert_eq!(get(port, "/"), Some((200, old.clone())));
    fs::remove_file(project.path("hold")).unwrap();
    let web = project.wait("web", "is swapped", |web| {
        web["ready"] == true && pid(web).to_string() != old
    });
    assert_eq!(
        (get(port, "/"), restarts(&web)),
        (Some((200, pid(&web).to_string())), 1)
    );
}

#[test]
fn the_last_lines_of_a_failed_build_are_in_the_reason_and_in_the_log_and_it_stays_armed() {
    let project = watched("build = \"compile\"").toml(
        "[tasks.compile]\nscript = \"sh\"\n\
         args = ['-c', 'if grep -q broken src/main.rs; then seq 1 30; echo error: expected a semicolon >&2; exit 101; fi']\n\
         [profiles.dev]\nservices = [\"web\"]",
    );
    let old = pid(&project.up().service_status("web"));
    for (round, text) in ["broken", "still broken"].into_iter().enumerate() {
        project.write("src/main.rs", text);
        let failures = || project.events().matches("[web] build failed").count();
        wait_until("the build fails", || (failures() == round + 1).then_some(()));
        let web = project.wait_status("web", "online");
        let reason = web["reason"].as_str().unwrap();
        for part in [
            "build failed: task compile ended with exit code 101",
            "30",
            "error: expected a semicolon",
        ] {
            assert!(reason.contains(part), "no {part:?} in {reason}");
        }
        assert_eq!((pid(&web), &web["ready"]), (old, &json!(true)));
    }
    let log = project.run(&["logs", "web", "--no-follow"]).ok();
    assert!(log.stdout.contains("error: expected a semicolon"), "{log}");
    project.write("src/main.rs", "mended");
    let web = project.wait("web", "runs the mended one", |web| {
        web["ready"] == true && web["pid"] != old
    });
    assert_eq!(
        (&web["reason"], restarts(&web), project.lines("runs")),
        (&json!(null), 1, 2)
    );
}

#[test]
fn each_of_the_last_lines_of_a_failed_build_has_a_row_of_its_own() {
    let project = watched("build = \"compile\"").file("said", "").toml(
        "[tasks.compile]\nscript = \"sh\"\nargs = ['-c', 'if [ -s said ]; then cat said; exit 4; fi']\n\
         [profiles.dev]\nservices = [\"web\"]",
    );
    project.up();
    let following = project.start(&["logs"]);
    following.wait_for("ready after");
    let said = ["generating", "error[E0308]: in \"C:\\new\"", "  --> src/main.rs"];
    project.write("said", &said.join("\n"));
    project.write("src/main.rs", "broken");
    following.wait_for("--> src/main.rs");
    following.press_ctrl_c();
    let first = "build failed: task compile ended with exit code 4";
    let rows: String = [first]
        .iter()
        .chain(&said)
        .map(|row| format!("web * {row}\n"))
        .collect();
    following.wait().prints(&[&rows]);
    project.run(&["logs", "web", "--no-follow"]).ok().prints(&[&rows]);
    // An event that matches in any of its lines is shown whole, and only it.
    let found = project.run(&["logs", "web", "--no-follow", "--grep", "^error"]).ok();
    assert_eq!(found.stdout, rows);
    let found = project
        .run(&["logs", "web", "--no-follow", "--grep", "^error", "--json"])
        .ok();
    let text = format!("{first}\n{}", said.join("\n"));
    let event: crate::support::Value = serde_json::from_str(&found.stdout).unwrap();
    assert_eq!(event["text"], text.as_str(), "{found}");
    let described = project.run(&["describe", "web"]).ok();
    let reason = described.stdout.lines().find(|row| row.ends_with(first)).unwrap();
    let below = format!("\n{}", " ".repeat(reason.len() - first.len()));
    described.prints(&[&text.replace('\n', &below)]);
    let events = project.events();
    let written = r#"code 4\ngenerating\nerror[E0308]: in "C:\\new"\n  --> src/main.rs"#;
    assert!(events.lines().any(|line| line.ends_with(written)), "{events}");
}

#[test]
fn a_newer_change_cancels_the_running_build_with_all_its_processes() {
    let project = watched("build = \"compile\"").toml(
        "[tasks.compile]\nscript = \"sh\"\n\
         args = ['-c', 'cat src/main.rs >> builds; echo >> builds; if grep -q endless src/main.rs; then sh -c \"echo \\$\\$ > inner; while :; do sleep 0.02; done\"; fi']\n\
         [profiles.dev]\nservices = [\"web\"]",
    );
    project.up();
    project.write("src/main.rs", "endless");
    let inner = project.pid_in("inner");
    project.write("src/main.rs", "second");
    wait_until("the newer one runs", || (project.lines("runs") == 2).then_some(()));
    assert!(!crate::support::is_alive(inner));
    assert_eq!(project.read("builds"), "fn main() {}\nendless\nsecond\n");
    assert!(project.events().contains("[web] build cancelled: a newer change"));
    assert_eq!(restarts(&project.wait_ready("web")), 1);
}

#[test]
fn a_stop_ends_the_running_build() {
    let project = watched("build = \"compile\"").toml(
        "[tasks.compile]\nscript = \"sh\"\n\
         args = ['-c', 'if grep -q endless src/main.rs; then echo $$ > inner; while :; do sleep 0.02; done; fi']\n\
         [profiles.dev]\nservices = [\"web\"]",
    );
    project.up();
    project.write("src/main.rs", "endless");
    let inner = project.pid_in("inner");
    project.run(&["stop", "web"]).ok();
    crate::support::wait_gone(inner);
    assert_eq!(project.service_status("web")["status"], "stopped");
    project.run(&["stop"]).ok();
    project.wait_nothing_left();
}
