//! `watch`: an edit restarts what it belongs to, once, after its build.

use crate::support::{Project, json, pid, restarts, wait_until};

/// A service that watches `src`, with a build where `build` says so.
fn watched(keys: &str) -> Project {
    let keys = format!("min_uptime = 50\nwatch = [\"src\"]\nwatch_delay = \"300ms\"\n{keys}");
    Project::new()
        .file("src/main.rs", "fn main() {}")
        .service("web", "count runs", &keys)
}

#[test]
fn an_edit_restarts_the_service_and_the_file_is_named() {
    let project = watched("");
    project.up();
    assert_eq!(project.service_status("web")["watching"], true);
    project.write("src/main.rs", "fn main() { edited() }");
    wait_until("it runs again", || (project.lines("runs") == 2).then_some(()));
    assert_eq!(restarts(&project.wait_ready("web")), 1);
    assert!(project.events().contains("src/main.rs"), "{}", project.events());
}

#[test]
fn quick_saves_are_one_restart() {
    let project = watched("");
    project.up();
    for number in 0..20 {
        project.write("src/main.rs", &format!("// {number}"));
    }
    wait_until("it runs again", || (project.lines("runs") >= 2).then_some(()));
    // One more edit after all is ready: a second restart that the twenty had caused would be seen beside it.
    project.wait_ready("web");
    project.write("src/other.rs", "");
    wait_until("it runs once more", || (project.lines("runs") >= 3).then_some(()));
    project.wait_ready("web");
    assert_eq!(
        (project.lines("runs"), restarts(&project.service_status("web"))),
        (3, 2)
    );
}

#[test]
fn a_file_that_an_editor_replaces_counts_again_and_again() {
    let project = watched("");
    project.up();
    for round in 2..5 {
        project.write("src/.main.rs.swp", &format!("// {round}"));
        std::fs::rename(project.path("src/.main.rs.swp"), project.path("src/main.rs")).unwrap();
        wait_until("it runs again", || (project.lines("runs") == round).then_some(()));
        project.wait_ready("web");
    }
}

#[test]
fn a_new_directory_is_watched_too() {
    let project = watched("");
    project.up();
    project.write("src/deep/er/new.rs", "");
    wait_until("it runs again", || (project.lines("runs") == 2).then_some(()));
    project.wait_ready("web");
    project.write("src/deep/er/new.rs", "// edited");
    wait_until("it runs once more", || (project.lines("runs") == 3).then_some(()));
}

#[test]
fn ignored_files_do_not_restart() {
    let project = watched("ignore_watch = [\"*.test.ts\", \"generated\"]")
        .file(".gitignore", "*.tmp\n")
        .file(".git/HEAD", "");
    for dir in ["src/generated", "src/node_modules", "src/target", "src/sub/.git"] {
        std::fs::create_dir_all(project.path(dir)).unwrap();
    }
    project.up();
    let ignored = [
        "src/a.test.ts",
        "src/b.tmp",
        "src/generated/c.rs",
        "src/node_modules/d.js",
        "src/target/e",
        "src/sub/.git/f",
    ];
    for file in ignored {
        project.write(file, "changed");
    }
    assert!(!project.read("src/a.test.ts").is_empty());
    // What is seen after them restarts; they are not part of what is named.
    project.write("src/main.rs", "// edited");
    wait_until("it runs again", || (project.lines("runs") == 2).then_some(()));
    project.wait_ready("web");
    assert_eq!(restarts(&project.service_status("web")), 1);
    let events = project.events();
    let named: Vec<_> = ignored.iter().filter(|file| events.contains(**file)).collect();
    assert!(
        named.is_empty() && events.contains("src/main.rs"),
        "{named:?} in {events}"
    );
}

#[test]
fn no_watch_leaves_it_out() {
    let project = watched("").service("eye", "count eye.runs", "min_uptime = 50");
    project.run(&["dev", "-d", "--wait", "--no-watch"]).ok();
    assert_eq!(project.service_status("web")["watching"], false);
    project.write("src/main.rs", "// edited");
    // With the next dev it is watched again; only then does an edit count.
    project.up();
    assert_eq!(project.service_status("web")["watching"], true);
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
    std::fs::remove_file(project.path("hold")).unwrap();
    wait_until("the last edit is built", || {
        (project.read("bin") == "third").then_some(())
    });
    project.wait("web", "is up", |web| web["status"] == "online" && web["ready"] == true);
}

#[test]
fn a_stopped_service_stays_stopped_when_its_files_change() {
    let project = watched("").service(
        "eye",
        "count eye.runs",
        "min_uptime = 50\nwatch = [\"src\"]\nwatch_delay = \"600ms\"",
    );
    project.up().run(&["stop", "web"]).ok();
    project.write("src/main.rs", "// edited");
    // The other watches the same files with a longer delay.
    wait_until("the other was restarted", || {
        (project.lines("eye.runs") == 2).then_some(())
    });
    assert_eq!(
        (project.lines("runs"), &project.service_status("web")["status"]),
        (1, &json!("stopped"))
    );
}
