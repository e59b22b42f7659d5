//! `watch`: an edit restarts what it belongs to, once. Builds before that are `swap`.

use crate::support::{Project, Signal, json, restarts, signal, wait_until};

/// A service that watches `src`.
fn watched(keys: &str) -> Project {
    let keys = format!("min_uptime = 50\nwatch = [\"src\"]\nwatch_delay = \"300ms\"\n{keys}");
    Project::new()
        .file("src/main.rs", "fn main() {}")
        .service("web", "count runs", &keys)
}

#[track_caller]
fn expect_event(project: &Project, text: &str) {
    let events = project.events();
    assert!(events.contains(text), "no {text:?} in {events}");
}

/// Does something to files and waits for the restart that it leads to.
#[track_caller]
fn restarts_once(project: &Project, what: &str, act: impl FnOnce()) {
    let before = project.lines("runs");
    act();
    wait_until(what, || (project.lines("runs") == before + 1).then_some(()));
    project.wait_ready("web");
}

#[test]
fn an_edit_restarts_the_service_and_the_file_is_named() {
    let project = watched("");
    project.up();
    assert_eq!(project.service_status("web")["watching"], true);
    project.write("src/main.rs", "fn main() { edited() }");
    wait_until("it runs again", || (project.lines("runs") == 2).then_some(()));
    assert_eq!(restarts(&project.wait_ready("web")), 1);
    expect_event(&project, "[web] restarted: src/main.rs changed (pid ");
}

#[test]
fn of_several_changed_files_one_is_named_and_the_others_are_counted() {
    let project = watched("");
    project.up();
    let files = ["src/app.rs", "src/b.rs", "src/deep/c.rs", "src/main.rs"];
    for file in files {
        project.write(file, "// edited");
    }
    wait_until("it runs again", || (project.lines("runs") == 2).then_some(()));
    project.wait_ready("web");
    // The first that was found changed: which one that is is the system's to say.
    let events = project.events();
    let is_named = |file: &&str| events.contains(&format!("[web] restarted: {file} changed (+3 more) (pid "));
    assert!(files.iter().any(is_named), "{events}");
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
fn renames_deletes_links_and_removed_directories_count() {
    let project = watched("").file("src/deep/old.rs", "").file("lib/linked.rs", "one");
    std::os::unix::fs::symlink("../lib/linked.rs", project.path("src/linked.rs")).unwrap();
    project.up();
    let path = |path: &str| project.path(path);
    restarts_once(&project, "a rename counts", || {
        std::fs::rename(path("src/main.rs"), path("src/renamed.rs")).unwrap();
    });
    restarts_once(&project, "a delete counts", || {
        std::fs::remove_file(path("src/renamed.rs")).unwrap();
    });
    restarts_once(&project, "what a link leads to counts", || {
        project.write("lib/linked.rs", "two");
    });
    restarts_once(&project, "a directory that goes counts", || {
        std::fs::remove_dir_all(path("src/deep")).unwrap();
    });
    restarts_once(&project, "and one that comes back", || {
        project.write("src/deep/old.rs", "again");
    });
    restarts_once(&project, "with what is in it", || {
        project.write("src/deep/old.rs", "edited");
    });
    assert_eq!(restarts(&project.service_status("web")), 6);
}

#[test]
fn a_read_or_a_save_with_the_same_bytes_does_not_restart() {
    let project = watched("").file("src/other.rs", "same");
    project.up();
    // From here on the watcher knows what the files hold: before, a file that was just being saved may have looked empty to it.
    restarts_once(&project, "an edit counts", || project.write("src/main.rs", "// edited"));
    for _ in 0..3 {
        assert_eq!(project.read("src/other.rs"), "same");
        project.write("src/other.rs", "same");
    }
    restarts_once(&project, "another counts", || {
        project.write("src/main.rs", "// edited again");
    });
    assert_eq!(project.lines("runs"), 3);
    let restarted = |line: &&str| line.contains("[web] restarted: ");
    let events = project.read(".dev/dev/supervisor.log");
    let causes: Vec<&str> = events.lines().filter(restarted).collect();
    assert!(
        causes.len() == 2
            && causes
                .iter()
                .all(|cause| cause.contains("restarted: src/main.rs changed (pid ")),
        "{causes:?}"
    );
}

#[test]
fn edits_that_overflow_the_systems_queue_are_found_all_the_same() {
    let project = watched("ignore_watch = [\"*.tmp\"]");
    project.up();
    let supervisor = project.supervisor();
    signal(supervisor, Signal::STOP);
    // Each file is several events, of which the kernel keeps so many for us.
    let kept = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events");
    let kept: u32 = kept.map_or(16_384, |kept| kept.trim().parse().unwrap());
    for number in 0..kept / 2 {
        project.write(&format!("src/{number}.tmp"), "x");
    }
    project.write("src/late.rs", "// its event is lost");
    signal(supervisor, Signal::CONT);
    wait_until("it runs again", || (project.lines("runs") == 2).then_some(()));
    project.wait_ready("web");
    expect_event(&project, "[web] restarted: src/late.rs changed (pid ");
    if cfg!(target_os = "linux") {
        expect_event(&project, "the system lost track");
    }
    // And all is watched as before.
    restarts_once(&project, "an edit counts", || project.write("src/late.rs", "// edited"));
}

#[test]
fn its_own_logs_and_state_in_the_watched_directory_do_not_restart() {
    let keys = "min_uptime = 50\nwatch = true\nwatch_delay = 50\nignore_watch = [\"runs\"]\nout_file = \"web.log\"";
    let project = Project::new()
        .file("main.rs", "")
        .service("web", "count runs flood 200 flood 200", keys);
    project.up();
    wait_until("it has logged", || (project.lines("web.log") >= 400).then_some(()));
    restarts_once(&project, "an edit counts", || project.write("main.rs", "// edited"));
    assert_eq!(restarts(&project.service_status("web")), 1);
    expect_event(&project, "[web] restarted: main.rs changed (pid ");
}

/// The service shows what it was started with; `keys` make its start or its stop slow.
fn showing(script: &str) -> Project {
    Project::new().file("src/main.rs", "first").toml(&format!(
        "[services.web]\nscript = \"sh\"\nargs = ['-c', '''{script}''']\nmin_uptime = 50\nwatch = [\"src\"]\nwatch_delay = 50\n\
         [profiles.dev]\nservices = [\"web\"]"
    ))
}

#[test]
fn an_edit_during_the_stop_is_not_lost() {
    let stopping = "trap 'touch stopping; while [ -e hold ]; do sleep 0.02; done; exit 0' INT";
    let project = showing(&format!(
        "{stopping}; cat src/main.rs >> seen; echo >> seen; while :; do sleep 0.02; done"
    ));
    project.edit("min_uptime = 50", "min_uptime = 50\nkill_timeout = \"60s\"");
    project.up();
    project.write("hold", "");
    project.write("src/main.rs", "second");
    wait_until("it stops", || project.path("stopping").exists().then_some(()));
    assert_eq!(project.service_status("web")["status"], "stopping");
    project.write("src/main.rs", "third");
    // What is seen of it before the end of the stop is known to the next run.
    std::fs::remove_file(project.path("hold")).unwrap();
    wait_until("the last edit runs", || {
        (project.read("seen").ends_with("third\n")).then_some(())
    });
}

#[test]
fn an_edit_during_the_start_is_not_lost() {
    let project = showing("cat src/main.rs >> seen; echo >> seen; exec sleep 1000");
    project.edit("min_uptime = 50", "min_uptime = \"2s\"");
    project.run(&["dev", "-d"]).ok();
    wait_until("it started", || (project.read("seen") == "first\n").then_some(()));
    assert_eq!(project.service_status("web")["ready"], false);
    project.write("src/main.rs", "second");
    wait_until("the last edit runs", || {
        (project.read("seen").ends_with("second\n")).then_some(())
    });
    let web = project.wait_ready("web");
    assert_eq!((restarts(&web), &web["unstable_restarts"]), (1, &json!(0)));
}

#[test]
fn a_service_that_never_stops_writing_does_not_hide_an_edit() {
    let project = Project::new().file("src/main.rs", "one").toml(
        "[services.web]\nscript = 'sh'\nargs = ['-c', 'cp src/main.rs shown; while :; do date +%s%N >> src/app.log; sleep 0.05; done']\n\
         min_uptime = 50\nwatch = ['src']\nwatch_delay = '200ms'\n[profiles.dev]\nservices = ['web']",
    );
    project.up();
    project.write("src/main.rs", "two");
    wait_until("the edit counts", || (project.read("shown") == "two").then_some(()));
}

#[test]
fn files_with_another_name_at_each_start_are_found_out_as_the_services_own() {
    let project = Project::new().file("src/main.rs", "one").toml(
        "[services.web]\nscript = 'sh'\nargs = ['-c', 'sleep 0.2; date > src/run-$$.log; exec sleep 1000']\n\
         min_uptime = 50\nwatch = ['src']\nwatch_delay = '50ms'\n[profiles.dev]\nservices = ['web']",
    );
    project.up();
    let web = project.wait("web", "is no longer watched", |web| {
        web["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("suspended"))
    });
    let reason = web["reason"].as_str().unwrap();
    assert!(reason.contains("src/run-") && web["watching"] == false, "{web:#}");
    assert_eq!(project.wait_ready("web")["status"], "online");
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
    restarts_once(&project, "an edit counts again", || {
        project.write("src/main.rs", "// once more");
    });
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
    // A start resumes.
    project.run(&["start", "web"]).ok();
    project.wait_ready("web");
    restarts_once(&project, "an edit counts again", || {
        project.write("src/main.rs", "// once more");
    });
    assert_eq!(project.lines("runs"), 3);
}

#[test]
fn a_dependent_that_asked_for_it_restarts_too() {
    let project = watched("")
        .service(
            "page",
            "count page.runs",
            "min_uptime = 50\ndepends_on = { web = { condition = \"ready\", restart = true } }",
        )
        .service("other", "count other.runs", "min_uptime = 50\ndepends_on = [\"web\"]");
    project.up();
    project.write("src/main.rs", "// edited");
    wait_until("the dependent runs again", || {
        (project.lines("page.runs") == 2).then_some(())
    });
    project.wait_ready("page");
    expect_event(&project, "[page] restarted: web came back (pid ");
    assert_eq!((project.lines("runs"), project.lines("other.runs")), (2, 1));
}

#[test]
fn a_workspace_that_was_away_for_a_moment_is_watched_again() {
    let project = watched("");
    project.up();
    let root: std::path::PathBuf = project.path("").components().collect();
    let moved = root.with_file_name("moved");
    std::fs::rename(&root, &moved).unwrap();
    std::fs::rename(&moved, &root).unwrap();
    for text in ["// edited", "// edited again"] {
        restarts_once(&project, "an edit counts", || project.write("src/main.rs", text));
    }
}

#[test]
fn a_workspace_that_is_renamed_lives_on_and_says_that_nobody_watches_it() {
    let project = watched("").service("talker", "out words", "min_uptime = 50");
    project.up();
    let pid = project.service_status("web")["pid"].clone();
    let root: std::path::PathBuf = project.path("").components().collect();
    let moved = root.with_file_name("moved");
    std::fs::rename(&root, &moved).unwrap();
    let there = Project::of(&moved).beside(&project);
    let lost = |web: &crate::support::Value| {
        let reason = web["reason"].as_str().unwrap_or_default();
        reason.starts_with("watching failed: find the workspace ")
    };
    let web = there.wait("web", "says that it is lost", lost);
    assert_eq!((&web["pid"], restarts(&web)), (&pid, 0));
    let logs = there.run(&["logs", "talker", "--no-follow"]).ok();
    logs.prints(&["talker | words\n"]);
    there.write("src/main.rs", "// edited");
    // It would fail if anything had been made anew at the old place.
    std::fs::rename(&moved, &root).unwrap();
    wait_until("the edit counts", || (project.lines("runs") == 2).then_some(()));
    assert_eq!(project.wait_ready("web")["reason"], json!(null));
    expect_event(&project, "[web] restarted: src/main.rs changed (pid ");
}

#[test]
fn what_cannot_be_watched_is_said_in_the_reason() {
    let project = watched("ignore_watch = [\"a[\"]");
    project
        .run(&["check"])
        .code(1)
        .says(&["dev.toml:8:17: ", "`a[` is not a glob: unclosed character class"]);
    project.edit("\"a[\"", "\"!main.rs\"");
    project.run(&["dev", "-d"]).ok();
    let told = |web: &crate::support::Value| {
        web["reason"]
            .as_str()
            .unwrap_or_default()
            .contains("watching failed: read glob `!main.rs`")
    };
    project.wait("web", "says it", told);
    project.edit("\"!main.rs\"", "\"*.orig\"");
    project.up();
    project.wait("web", "says it no more", |web| web["reason"] == json!(null));
    restarts_once(&project, "an edit counts", || project.write("src/main.rs", "// edited"));
}
