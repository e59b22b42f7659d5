//! `why`: what keeps a service from being as wanted.

use crate::support::{Project, Signal, free_port, pid, signal, wait_until};

#[test]
fn each_of_the_last_exits_has_its_cause_its_time_and_its_last_lines() {
    let project = Project::new().service(
        "web",
        "count runs wait-for go err 'no database' exit 9",
        // So long that no load makes a run count as a stable one: it is not waited for.
        "max_restarts = 2\nmin_uptime = \"1m\"",
    );
    project.run(&["dev", "-d"]).ok();
    let first = pid(&project.service_status("web"));
    project.write("go", "");
    project.wait_status("web", "errored");
    let run = project.run(&["why", "web"]).ok().prints(&[
        "web is errored: gave up after 3 runs in a row shorter than 1m; the last ended with exit code 9\n",
        "`cargo xtask start web` tries again",
        "3 unstable runs in a row, 2 allowed (`max_restarts`)",
        "the last 3 ends, the latest first:",
        ": exit code 9 after ",
        ", by itself (pid ",
    ]);
    assert_eq!(run.stdout.matches("web ! no database").count(), 3, "{run}");
    assert!(run.stdout.contains(&format!("(pid {first})")), "{run}");
}

#[test]
fn the_last_lines_of_a_run_are_its_own_and_not_those_of_the_next() {
    let project = Project::new().service(
        "web",
        "out first-words exit-when crash 3",
        "min_uptime = 50\nautorestart = true",
    );
    project.up();
    project.write("crash", "");
    project.wait("web", "runs again", |web| web["restarts"] == 1 && web["ready"] == true);
    let run = project.run(&["why", "web"]).ok().prints(&[
        "web is online, ready\n",
        "its present run took the place of the last one: it ended with exit code 3",
        "one run has ended:",
    ]);
    assert_eq!(run.stdout.matches("first-words").count(), 1, "{run}");
}

#[test]
fn who_ended_a_run_is_told_apart() {
    let project = Project::new().service("web", "", "min_uptime = 50").service(
        "deaf",
        "ignore",
        "min_uptime = 50\nkill_timeout = 100",
    );
    project.up();
    project.run(&["restart", "web"]).ok();
    signal(pid(&project.wait_ready("web")), Signal::ABORT);
    project.wait("web", "runs again", |web| web["restarts"] == 2);
    project.run(&["stop", "web", "deaf"]).ok();
    project.run(&["why", "web"]).ok().prints(&[
        "web is stopped\n",
        "the user stopped it; `cargo xtask start web` starts it",
        "SIGABRT after ",
        "by itself (pid",
        "SIGINT after ",
        "ended by us: asked by command (pid",
        "ended by us: stopped (pid",
    ]);
    project
        .run(&["why", "deaf"])
        .ok()
        .prints(&["SIGKILL after ", "ended by us: stopped; killed (pid"]);
}

#[test]
fn a_held_port_a_missing_dependency_and_a_delay_are_named() {
    let port = free_port();
    let holder = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let project = Project::new()
        .service("db", &format!("listen {port}"), &format!("ports = [{port}]"))
        .service("web", "", "depends_on = [\"db\"]")
        .service("slow", "exit 4", "restart_delay = \"1h\"");
    project.run(&["dev", "-d"]);
    let held = format!("port {port} is held by pid {}", std::process::id());
    project.run(&["why", "db"]).ok().prints(&[
        "db is blocked: ",
        &held,
        "and the service starts by itself",
        "needed by web",
        "no run of it has ended yet",
    ]);
    project
        .run(&["why", "web"])
        .ok()
        .prints(&["web is launching: waits for db (blocked: ", &held]);
    project.wait_status("slow", "waiting restart");
    project
        .run(&["why", "slow"])
        .ok()
        .prints(&["the next run is due in ", ": it ended with exit code 4"]);
    drop(holder);
}

#[test]
fn a_failed_build_and_changed_files_are_told() {
    let project = Project::new()
        .file("src/a.txt", "1")
        .file("good", "")
        .toml("[tasks.compile]\nscript = \"sh\"\nargs = [\"-c\", \"test -e good || { echo no semicolon; exit 1; }\"]")
        .service(
            "web",
            "count runs",
            "watch = [\"src\"]\nbuild = \"compile\"\nmin_uptime = 50",
        );
    project.up();
    project.write("src/a.txt", "2");
    wait_until("it runs with the change", || (project.lines("runs") == 2).then_some(()));
    project
        .run(&["why", "web"])
        .ok()
        .prints(&["its present run took the place of the last one: ", "src/a.txt changed"]);
    std::fs::remove_file(project.path("good")).unwrap();
    project.write("src/a.txt", "3");
    project.wait("web", "has a failed build", |web| web["reason"].is_string());
    project
        .run(&["why", "web"])
        .ok()
        .prints(&["build failed: task compile ended with exit code 1\n    no semicolon"]);
}

#[test]
fn a_secret_is_told_in_no_reason_and_stays_in_what_the_service_wrote() {
    let project = Project::new().file("s.env", "FILE_TOKEN=hidden-of-the-file\n").toml(
        "[services.gone]\nscript = \"/opt/${APP_TOKEN}/gone\"\n\
             [services.after]\nscript = \"PUPPET\"\ndepends_on = [\"gone\"]\n\
             [services.place]\nscript = \"PUPPET\"\nenv_file = \"s.env\"\ncwd = \"${PLACE}\"\n\
             env = { FILE_TOKEN = false, PLACE = \"/opt/${FILE_TOKEN}\" }\n\
             [services.asked]\nscript = \"PUPPET\"\nargs = [\"out\", \"it says ${APP_TOKEN}\"]\n\
             ready = { command = [\"/opt/${APP_TOKEN}/ask\"], timeout = \"1m\" }\n\
             [profiles.dev]\nservices = [\"gone\", \"after\", \"place\", \"asked\"]",
    );
    project.run_with(&[("APP_TOKEN", "hidden-of-the-shell")], &["dev", "-d"]);
    project.wait("asked", "is asked", |asked| asked["pid"].is_number());
    wait_until("the probe has failed", || {
        let run = project.run(&["why", "asked"]).ok();
        run.stdout.contains("the readiness probe says: ").then_some(())
    });
    for (name, says) in [
        ("gone", "/opt/********/gone"),
        ("after", "/opt/********/gone"),
        ("place", "/opt/********"),
        ("asked", "/opt/********/ask"),
    ] {
        let run = project.run(&["why", name]).ok().prints(&[says]);
        assert!(!run.stdout.contains("hidden"), "{run}");
    }
    let run = project.run(&["status"]).ok().prints(&["/opt/********/gone"]);
    assert!(!run.stdout.contains("hidden"), "{run}");
    assert!(!project.read(".dev/dev/supervisor.log").contains("hidden"));
    signal(pid(&project.service_status("asked")), Signal::KILL);
    wait_until("it has ended", || {
        let run = project.run(&["why", "asked"]).ok();
        run.stdout.contains("it says hidden-of-the-shell").then_some(())
    });
}

#[test]
fn only_the_last_ten_exits_are_kept() {
    let project = Project::new().service("web", "exit 1", "max_restarts = 14");
    project.run(&["dev", "-d"]);
    project.wait_status("web", "errored");
    let run = project.run(&["why", "web"]).ok();
    assert_eq!(run.stdout.matches(": exit code 1 after ").count(), 10, "{run}");
}

#[test]
fn of_a_stack_that_does_not_run_the_logs_tell() {
    let project = Project::new().service("web", "err 'no luck' exit 9", "max_restarts = 0");
    project.run(&["dev", "-d"]);
    project.wait_status("web", "errored");
    project.run(&["stop"]).ok();
    project
        .run(&["why", "web"])
        .ok()
        .prints(&["no stack is running", "web ! no luck", "web * ended with exit code 9"]);
    project.run(&["why", "wbe"]).code(1).says(&["did you mean `web`?"]);
}

#[test]
fn a_service_that_ended_by_itself_is_told_with_what_keeps_it_down() {
    let project = Project::new()
        .service("coded", "exit 3", "stop_exit_codes = [3]")
        .service("done", "exit 0", "autorestart = 'on-failure'")
        .service("once", "exit 4", "autorestart = false");
    project.run(&["dev", "-d"]).ok();
    for (name, why) in [
        (
            "coded",
            "not restarted: 3 is one of its `stop_exit_codes`; `cargo xtask start coded` starts it",
        ),
        (
            "done",
            "not restarted: it ended well (`autorestart = \"on-failure\"`); `cargo xtask start done`",
        ),
        (
            "once",
            "not restarted: `autorestart = false`; `cargo xtask start once` starts it",
        ),
    ] {
        project.wait_status(name, "stopped");
        project.run(&["why", name]).ok().prints(&[why]);
    }
    project.run(&["stop", "once"]).ok();
    let why = project.run(&["why", "once"]).ok().prints(&["the user stopped it"]);
    assert!(!why.stdout.contains("not restarted"), "{why}");
}
