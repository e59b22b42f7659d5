//! `inputs` and `outputs`: a task whose files are as they were after its last success is skipped, wherever it is asked for.

use crate::support::{Project, pid, restarts, wait_until};

/// A task that notes each run and copies `src/main.ts` to `out/main.js`; with a word in `verdict` it ends with that code.
fn built(keys: &str) -> Project {
    Project::new()
        .file("src/main.ts", "one")
        .file("verdict", "0")
        .service("web", "count runs", &format!("min_uptime = 50\n{keys}"))
        .toml(
            "[tasks.compile]\nscript = 'sh'\n\
             args = ['-c', 'echo built >> builds; mkdir -p out; cat src/main.ts > out/main.js; exit $(cat verdict)']\n\
             inputs = ['src']\noutputs = ['out']\n\
             [profiles.dev]\nbuild = ['compile']\nservices = ['web']",
        )
}

#[test]
fn build_skips_what_is_fresh_and_names_what_changed() {
    let project = built("");
    project.run(&["build"]).ok().says(&["building compile\n"]);
    project.run(&["build"]).ok().says(&["compile is fresh, skipped"]);
    // The same bytes, written anew.
    project.write("src/main.ts", "one");
    project
        .run(&["build", "compile"])
        .ok()
        .says(&["compile is fresh, skipped"]);
    project.write("src/main.ts", "two");
    project
        .run(&["build"])
        .ok()
        .says(&["building compile: src/main.ts changed"]);
    std::fs::remove_dir_all(project.path("out")).unwrap();
    project
        .run(&["build"])
        .ok()
        .says(&["building compile: its output out is missing"]);
    project.edit("echo built", "echo anew");
    project.run(&["build"]).ok().says(&["building compile: its definition"]);
    assert_eq!(project.lines("builds"), 4);
    project.run(&["build", "--force"]).ok().says(&["building compile\n"]);
    assert_eq!(project.lines("builds"), 5);
}

#[test]
fn a_failed_build_is_no_success_even_back_at_what_once_succeeded() {
    let project = built("");
    project.run(&["build"]).ok();
    project.write("src/main.ts", "broken");
    project.write("verdict", "3");
    project.run(&["build"]).code(1).says(&["compile"]);
    project.write("src/main.ts", "one");
    project.write("verdict", "0");
    project.run(&["build"]).ok().says(&["building compile"]);
    assert_eq!(
        (project.lines("builds"), project.read("out/main.js").as_str()),
        (3, "one")
    );
}

#[test]
fn dev_skips_what_is_fresh() {
    let project = built("");
    project.up().run(&["stop"]).ok();
    project
        .run(&["dev", "-d", "--wait"])
        .ok()
        .says(&["compile is fresh, skipped"]);
    assert_eq!(project.lines("builds"), 1);
    let records = project.path(".dev/.tasks");
    assert!(records.join("compile.json").is_file());
}

#[test]
fn a_watch_restart_builds_only_what_is_stale() {
    let project = built("build = 'compile'\nwatch = ['src', 'page.html']\nwatch_delay = 50").file("page.html", "one");
    project.up();
    assert_eq!(project.lines("builds"), 1);
    project.write("page.html", "two");
    wait_until("it runs again", || (project.lines("runs") == 2).then_some(()));
    assert!(
        project.events().contains("[web] task compile is fresh, skipped"),
        "{}",
        project.events()
    );
    project.wait_ready("web");
    project.write("src/main.ts", "two");
    wait_until("it runs once more", || (project.lines("runs") == 3).then_some(()));
    assert_eq!(
        (project.lines("builds"), project.read("out/main.js").as_str()),
        (2, "two")
    );
    assert_eq!(restarts(&project.wait_ready("web")), 2);
    // What the supervisor built is fresh for everybody.
    project.run(&["build"]).ok().says(&["compile is fresh, skipped"]);
}

#[test]
fn a_cancelled_build_is_no_success() {
    let project = built("build = 'compile'\nwatch = ['src']\nwatch_delay = 50");
    project.edit(
        "echo built >> builds;",
        "echo built >> builds; while [ -e hold ]; do sleep 0.02; done;",
    );
    let first = pid(&project.up().service_status("web"));
    project.write("hold", "");
    project.write("src/main.ts", "two");
    wait_until("it builds", || (project.lines("builds") == 2).then_some(()));
    // Back to what the last success was made of: the build that began since then may have written anything.
    project.write("src/main.ts", "one");
    wait_until("it builds again", || (project.lines("builds") == 3).then_some(()));
    assert!(project.events().contains("build cancelled"), "{}", project.events());
    std::fs::remove_file(project.path("hold")).unwrap();
    let web = project.wait("web", "is up anew", |web| web["ready"] == true && web["pid"] != first);
    assert_eq!((project.lines("builds"), restarts(&web)), (3, 1));
}

#[test]
fn start_builds_what_the_service_depends_on_too() {
    let project = built("build = 'compile'");
    project.edit("services = ['web']", "services = ['web', 'app']\n[services.app]\nscript = 'sleep'\nargs = '1000'\ndepends_on = ['web']\nmin_uptime = 50");
    project.up().run(&["stop"]).ok();
    project.up().run(&["stop", "app", "web"]).ok();
    project.write("src/main.ts", "two");
    project
        .run(&["start", "app"])
        .ok()
        .says(&["building compile: src/main.ts changed"]);
    assert_eq!(project.wait_ready("web")["status"], "online");
}

#[test]
fn start_and_restart_build_first() {
    let project = built("build = 'compile'");
    project.up().run(&["stop", "web"]).ok();
    project.write("src/main.ts", "two");
    project
        .run(&["start", "web"])
        .ok()
        .says(&["building compile: src/main.ts changed"]);
    project
        .run(&["restart", "web"])
        .ok()
        .says(&["compile is fresh, skipped"]);
    project.write("src/main.ts", "three");
    project.write("verdict", "1");
    let before = pid(&project.wait_ready("web"));
    project.run(&["restart", "web"]).code(1).says(&["task compile failed"]);
    assert_eq!(pid(&project.service_status("web")), before, "the old process stays");
}

#[test]
fn what_one_change_asks_of_several_services_is_built_once() {
    let watch = "build = ['lib', 'app']\nwatch = ['src']\nmin_uptime = 50";
    let project = Project::new()
        .file("src/main.ts", "one")
        .service(
            "web",
            "count webs",
            &format!("{watch}\nwatch_delay = 50\ninstances = 3"),
        )
        .service("worker", "count workers", &format!("{watch}\nwatch_delay = 300"))
        .toml(
            "[tasks.lib]\nscript = 'sh'\nargs = ['-c', 'echo lib >> builds']\n\
             [tasks.app]\nscript = 'sh'\nargs = ['-c', 'echo app >> builds']\n\
             [profiles.dev]\nservices = ['web', 'worker']",
        );
    project.up();
    assert_eq!(project.read("builds"), "lib\napp\n");
    for round in 2..4 {
        project.write("src/main.ts", &round.to_string());
        let runs = || (project.lines("webs"), project.lines("workers"));
        wait_until("all run again", || (runs() == (3 * round, round)).then_some(()));
        assert_eq!(project.lines("builds"), 2 * round, "{}", project.read("builds"));
    }
}

#[test]
fn a_task_that_fails_is_run_once_for_all_who_asked_for_it() {
    let project = Project::new()
        .file("src/main.ts", "one")
        .file("verdict", "0")
        .service(
            "web",
            "count webs",
            "build = 'lib'\nwatch = ['src']\nwatch_delay = 50\nmin_uptime = 50\ninstances = 3",
        )
        .toml(
            "[tasks.lib]\nscript = 'sh'\nargs = ['-c', 'echo lib >> builds; echo no such type; exit $(cat verdict)']\n\
             [profiles.dev]\nservices = ['web']",
        );
    project.up();
    project.write("verdict", "3");
    project.write("src/main.ts", "two");
    for number in 0..3 {
        project.wait(&format!("web-{number}"), "the build has failed", |web| {
            let reason = web["reason"].as_str().unwrap_or_default();
            reason.contains("task lib ended with exit code 3") && reason.contains("no such type")
        });
    }
    assert_eq!((project.lines("builds"), project.lines("webs")), (2, 3));
    project.write("verdict", "0");
    project.write("src/main.ts", "three");
    wait_until("all run again", || (project.lines("webs") == 6).then_some(()));
    assert_eq!(project.lines("builds"), 3);
}

#[test]
fn an_older_success_of_a_task_does_not_serve_after_a_newer_failure() {
    let watching = |delay: &str, sources: &str| {
        format!("build = 'lib'\nwatch = [{sources}]\nwatch_delay = {delay}\nmin_uptime = 50")
    };
    let project = Project::new()
        .file("shared/a", "one")
        .file("own/b", "good")
        .service("server", "count servers", &watching("50", "'shared', 'own'"))
        .service("worker", "count workers", &watching("'2s'", "'shared'"))
        .toml(
            "[tasks.lib]\nscript = 'sh'\nargs = ['-c', 'echo lib >> builds; rm -f out; grep -q good own/b && touch out']\n\
             [profiles.dev]\nservices = ['server', 'worker']",
        );
    project.up();
    project.write("shared/a", "two");
    wait_until("the server runs again", || {
        (project.lines("servers") == 2).then_some(())
    });
    project.write("own/b", "bad");
    let failed = |service: &serde_json::Value| {
        service["reason"]
            .as_str()
            .is_some_and(|why| why.contains("build failed"))
    };
    project.wait("server", "its build has failed", failed);
    // Of what the first build has written nothing is left.
    project.wait("worker", "its build has failed", failed);
    assert_eq!(project.lines("workers"), 1);
}
