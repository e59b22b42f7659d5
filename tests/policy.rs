//! Restarts: how often, after how long, after which exits, and what the user's word means.

use crate::support::{Project, Signal, json, pid, restarts, signal, wait_until};

#[test]
fn too_many_unstable_runs_are_errored_with_the_reason() {
    let project = Project::new().service("web", "count runs err 'no luck' exit 9", "max_restarts = 2");
    project.run(&["dev", "-d"]);
    let web = project.wait_status("web", "errored");
    assert_eq!((restarts(&web), project.lines("runs")), (2, 3));
    assert_eq!(
        (&web["last_exit"]["code"], &web["pid"], &web["uptime_ms"]),
        (&json!(9), &json!(null), &json!(null))
    );
    assert!(web["last_exit"]["at"].as_str().unwrap().ends_with('Z'));
    assert!(web["last_exit"].get("signal").is_none());
    assert!(
        web["reason"].as_str().is_some_and(|reason| reason.contains('9')),
        "{web:#}"
    );
}

#[test]
fn a_start_after_an_error_begins_a_new_count() {
    let project = Project::new().service("web", "count runs exit 9", "max_restarts = 1");
    project.run(&["dev", "-d"]);
    project.wait_status("web", "errored");
    assert_eq!(project.lines("runs"), 2);
    project.run(&["start", "web"]);
    wait_until("it was tried twice more", || (project.lines("runs") == 4).then_some(()));
    assert_eq!(project.wait_status("web", "errored")["unstable_restarts"], 2);
}

#[test]
fn a_run_that_lasted_clears_the_count() {
    let project = Project::new().service(
        "web",
        "count runs after 200 exit 1",
        "max_restarts = 1\nmin_uptime = \"100ms\"",
    );
    project.run(&["dev", "-d"]).ok();
    wait_until("it ran five times", || (project.lines("runs") >= 5).then_some(()));
    assert_ne!(project.service_status("web")["status"], "errored");
}

#[test]
fn what_is_not_restarted_is_stopped_whatever_its_code() {
    for (words, keys, exit) in [
        ("exit 0", "autorestart = false", 0),
        ("exit 7", "autorestart = false", 7),
        ("exit 0", "autorestart = \"on-failure\"", 0),
        ("exit 3", "stop_exit_codes = 3", 3),
        ("exit 4", "stop_exit_codes = [3, 4]", 4),
    ] {
        let project = Project::new().service("job", &format!("count runs {words}"), keys);
        project.run(&["dev", "-d"]).ok();
        let job = project.wait_status("job", "stopped");
        assert_eq!((&job["last_exit"]["code"], restarts(&job)), (&json!(exit), 0), "{keys}");
        assert_eq!(project.lines("runs"), 1, "{keys}");
    }
}

#[test]
fn on_failure_restarts_after_a_failure_only() {
    let project = Project::new().service(
        "job",
        "count runs exit-when fail 1 exit-when done 0",
        "autorestart = \"on-failure\"",
    );
    project.run(&["dev", "-d"]).ok();
    project.write("fail", "");
    wait_until("it runs again", || (project.lines("runs") == 2).then_some(()));
    project.write("done", "");
    let job = project.wait_status("job", "stopped");
    assert_eq!((&job["last_exit"]["code"], restarts(&job)), (&json!(0), 1));
}

#[test]
fn restart_delay_passes_between_two_runs() {
    let project = Project::new().service("web", "count runs exit-when crash 1", "restart_delay = 700");
    project.run(&["dev", "-d"]).ok();
    let first = wait_until("it runs", || {
        project.read("runs").split_whitespace().nth(1).map(str::to_owned)
    });
    project.write("crash", "");
    let waiting = project.wait_status("web", "waiting restart");
    assert_eq!(waiting["pid"], json!(null));
    wait_until("it runs again", || (project.lines("runs") == 2).then_some(()));
    let second = project.read("runs").split_whitespace().nth(3).unwrap().to_owned();
    let apart = second.parse::<u64>().unwrap() - first.parse::<u64>().unwrap();
    assert!(apart >= 700, "{apart} ms apart");
}

#[test]
fn a_death_by_signal_is_no_exit_code() {
    let project = Project::new().service("web", "die KILL", "autorestart = false");
    project.run(&["dev", "-d"]).ok();
    let web = project.wait_status("web", "stopped");
    let keys: Vec<_> = web["last_exit"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["signal", "at"]);
    assert_eq!(web["last_exit"]["signal"], "SIGKILL");
}

#[test]
fn a_users_stop_wins_over_a_waiting_restart() {
    let project = Project::new()
        .service(
            "web",
            "count web.runs exit-when web.crash 1",
            "restart_delay = \"500ms\"",
        )
        .service(
            "clock",
            "count clock.runs exit-when clock.crash 1",
            "restart_delay = \"1500ms\"",
        );
    project.run(&["dev", "-d"]).ok();
    project.write("web.crash", "");
    project.wait_status("web", "waiting restart");
    project.run(&["stop", "web"]).ok();
    // The clock's restart is due long after that of web would have been.
    project.write("clock.crash", "");
    wait_until("the clock runs again", || {
        (project.lines("clock.runs") == 2).then_some(())
    });
    assert_eq!(project.lines("web.runs"), 1);
    let web = project.service_status("web");
    assert_eq!((&web["status"], restarts(&web)), (&json!("stopped"), 0));
}

#[test]
fn every_restart_is_counted_and_a_start_is_not() {
    let project = Project::new().service("web", "count runs", "min_uptime = 50");
    let first = pid(&project.up().service_status("web"));
    project.run(&["restart", "web"]).ok();
    let second = project.wait("web", "is another", |web| web["ready"] == true && web["pid"] != first);
    signal(pid(&second), Signal::KILL);
    project.wait("web", "is the third", |web| {
        web["ready"] == true && web["pid"] != second["pid"]
    });
    project.run(&["stop", "web"]).ok();
    project.run(&["start", "web"]).ok();
    let web = project.wait_ready("web");
    assert_eq!((restarts(&web), project.lines("runs")), (2, 4));
}

#[test]
fn what_we_end_ourselves_is_not_unstable() {
    let project = Project::new().service("web", "count runs", "max_restarts = 1");
    project.run(&["dev", "-d"]).ok();
    for _ in 0..4 {
        project.run(&["restart", "web"]).ok();
    }
    let web = project.wait_status("web", "online");
    assert_eq!(
        (&web["unstable_restarts"], restarts(&web), project.lines("runs")),
        (&json!(0), 4, 5)
    );
}

#[test]
fn backoff_grows_from_its_first_delay() {
    let project = Project::new().service(
        "web",
        "count runs exit 1",
        "exp_backoff_restart_delay = 200\nmax_restarts = 3",
    );
    project.run(&["dev", "-d"]);
    project.wait_status("web", "errored");
    let text = project.read("runs");
    let at: Vec<u64> = text
        .lines()
        .map(|line| line.split(' ').nth(1).unwrap().parse().unwrap())
        .collect();
    let gaps: Vec<u64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(
        gaps.len() == 3 && gaps[0] >= 200 && gaps[1] >= 300 && gaps[2] >= 450,
        "{gaps:?}"
    );
}

#[test]
fn a_tree_that_passes_its_memory_limit_is_restarted() {
    let words = "count runs child wait-for hungry take hungry eat 200 end";
    let project = Project::new().service("web", words, "min_uptime = 50\nmax_memory_restart = \"100M\"");
    let first = pid(&project.up().service_status("web"));
    project.write("hungry", "");
    let web = project.wait("web", "is another", |web| web["ready"] == true && web["pid"] != first);
    assert_eq!(
        (&web["unstable_restarts"], restarts(&web), project.lines("runs")),
        (&json!(0), 1, 2)
    );
    assert!(project.events().contains("memory"), "{}", project.events());
}

#[test]
fn reset_zeroes_the_counters_and_gives_a_new_chance() {
    let project = Project::new()
        .service("web", "count runs exit 9", "max_restarts = 2")
        .service("other", "", "min_uptime = 50");
    project.run(&["dev", "-d"]);
    project.wait_status("web", "errored");
    project.run(&["reset", "web"]).ok();
    let web = project.service_status("web");
    assert_eq!(
        (&web["status"], restarts(&web), &web["unstable_restarts"]),
        (&json!("errored"), 0, &json!(0))
    );
    project.run(&["restart", "other"]).ok();
    project.run(&["reset"]).ok();
    assert_eq!(restarts(&project.service_status("other")), 0);
    project.run(&["reset", "wbe"]).code(1).says(&["did you mean `web`?"]);
}

#[test]
fn a_schedule_restarts_until_the_users_stop_and_counts_as_a_restart_and_never_as_unstable() {
    let project = Project::new()
        .service(
            "web",
            "count web.runs",
            "cron_restart = \"* * * * * *\"\nmax_restarts = 0",
        )
        .service(
            "job",
            "count job.runs exit 0",
            "autorestart = false\ncron_restart = \"* * * * * *\"",
        )
        .service(
            "clock",
            "count clock.runs exit 0",
            "autorestart = false\ncron_restart = \"*/2 * * * * *\"",
        );
    project.run(&["dev", "-d"]).ok();
    let web = project.wait("web", "was restarted", |web| web["restarts"].as_u64() >= Some(3));
    assert_eq!(
        (&web["status"], &web["unstable_restarts"]),
        (&json!("online"), &json!(0))
    );
    assert!(
        project.events().contains("restarted: its schedule was due"),
        "{}",
        project.events()
    );
    wait_until("the job ran again", || (project.lines("job.runs") >= 3).then_some(()));
    project.run(&["stop", "web"]).ok();
    let (runs, ticks) = (project.lines("web.runs"), project.lines("clock.runs"));
    // Three more moments of its own pass.
    wait_until("the clock went on", || {
        (project.lines("clock.runs") >= ticks + 2).then_some(())
    });
    assert_eq!(project.lines("web.runs"), runs);
    project
        .run(&["why", "web"])
        .ok()
        .prints(&["the user stopped it", "ended by us: its schedule was due"]);
    project
        .run(&["describe", "job"])
        .ok()
        .prints(&["cron_restart", "* * * * * *", "scheduled"]);
}

#[test]
fn a_cron_line_that_is_none_is_an_error_with_its_place() {
    let project = Project::new().service("web", "", "cron_restart = \"0 25 * * *\"");
    let run = project.run(&["check"]).code(1);
    run.says(&[
        "error: dev.toml:",
        "`cron_restart`",
        "`0 25 * * *` is not a cron line",
        "write five fields like",
    ]);
}

#[test]
fn a_crash_loop_long_after_the_start_is_given_up_like_one_at_the_start() {
    let project = Project::new().service(
        "web",
        "count runs wait-for broken exit 1",
        // Long enough that a run of a busy machine that only exits does not pass for one that lasted.
        "max_restarts = 2\nmin_uptime = 1000",
    );
    project.up();
    project.write("broken", "");
    // The first run lasted; the next three do not.
    let web = project.wait_status("web", "errored");
    assert_eq!((restarts(&web), project.lines("runs")), (3, 4));
}

#[test]
fn a_users_stop_wins_over_changed_files() {
    let project = Project::new()
        .file("src/a.txt", "1")
        .service("web", "count web.runs", "watch = [\"src\"]\nmin_uptime = 50")
        .service("other", "count other.runs", "watch = [\"src\"]\nmin_uptime = 50");
    project.up();
    project.run(&["stop", "web"]).ok();
    project.write("src/a.txt", "2");
    // Whoever is up restarts by the same change.
    project.wait("other", "was restarted", |other| {
        other["restarts"] == 1 && other["ready"] == true
    });
    let web = project.service_status("web");
    assert_eq!((&web["status"], project.lines("web.runs")), (&json!("stopped"), 1));
}
