//! `stop`, `start` and `restart`: what they end, what they start, and when they say that they are done.

use crate::support::{Project, Signal, free_port, is_alive, is_free, parent_of, pid, restarts, signal};

#[test]
fn stop_ends_the_stack_and_frees_its_ports_before_it_returns() {
    let port = free_port();
    let project = Project::new()
        .service("web", &format!("listen {port}"), &format!("ports = [{port}]"))
        .service("api", "", "min_uptime = 50");
    project.up().run(&["stop"]).ok();
    assert!(is_free(port));
    project.assert_no_service_process();
    assert_eq!(project.stacks().len(), 0);
    project.wait_nothing_left();
}

#[test]
fn stop_with_nothing_running_is_0() {
    let project = Project::new().service("web", "", "");
    project.run(&["stop"]).ok();
    project.run(&["stop", "--all"]).ok();
    project.run(&["stop", "web"]).ok();
}

#[test]
fn stop_of_a_service_stops_just_it_and_keeps_the_supervisor() {
    let project = Project::new().service("web", "", "min_uptime = 50");
    project.up();
    let (supervisor, web) = (project.supervisor(), pid(&project.service_status("web")));
    project.run(&["stop", "web"]).ok();
    assert!(!is_alive(web));
    let stopped = project.service_status("web");
    assert_eq!(
        (&stopped["status"], &stopped["pid"]),
        (&"stopped".into(), &serde_json::Value::Null)
    );
    assert_eq!(project.supervisor(), supervisor);
}

#[test]
fn services_are_named_by_name_glob_id_or_all() {
    let project = Project::new()
        .service("web-a", "", "min_uptime = 50")
        .service("web-b", "", "min_uptime = 50")
        .service("api", "", "min_uptime = 50");
    let states =
        |project: &Project| ["web-a", "web-b", "api"].map(|name| project.service_status(name)["status"] == "online");
    project.up();
    project.run(&["stop", "web*"]).ok();
    assert_eq!(states(&project), [false, false, true]);
    project.run(&["start", "web-b"]).ok();
    assert_eq!(states(&project), [false, true, true]);
    let id = project.service_status("api")["id"].to_string();
    project.run(&["stop", &id]).ok();
    assert_eq!(states(&project), [false, true, false]);
    project.run(&["start", "all"]).ok();
    assert_eq!(states(&project), [true, true, true]);
}

#[test]
fn instances_are_services_of_their_own_and_can_be_named_together() {
    let project = Project::new().service("web", "count runs env env.json", "min_uptime = 50\ninstances = 2");
    project.up();
    let logs = ["web-0", "web-1"].map(|name| project.service_status(name)["out_log"].clone());
    assert_ne!(logs[0], logs[1]);
    assert_eq!(project.lines("runs"), 2);
    project.run(&["restart", "web-1"]).ok();
    project.wait_ready("web-1");
    assert!(project.read("env.json").contains("\"XTASK_INSTANCE\":\"1\""));
    project.run(&["stop", "web*"]).ok();
    assert_eq!(project.service_status("web-0")["status"], "stopped");
    // As dev.toml names it.
    project.run(&["start", "web"]).ok();
    for name in ["web-0", "web-1"] {
        project.wait_ready(name);
    }
}

#[test]
fn an_unknown_service_is_an_error_that_names_the_known_ones() {
    let project = Project::new().service("server", "", "min_uptime = 50");
    project.up();
    for verb in ["stop", "start", "restart"] {
        let run = project.run(&[verb, "sever"]).says(&["error: ", "sever", "server"]);
        assert!(matches!(run.status.code(), Some(1 | 2)), "{run}");
    }
    assert_eq!(project.service_status("server")["status"], "online");
}

#[test]
fn an_unknown_profile_is_an_error_and_not_a_stack_that_does_not_run() {
    let project = Project::new().service("server", "", "min_uptime = 50");
    project.up();
    for verb in ["stop", "status", "restart", "wait", "logs"] {
        project
            .run(&[verb, "-p", "dve"])
            .code(1)
            .says(&["error: no profile `dve`; there is dev; did you mean `dev`?"]);
    }
    assert_eq!(project.service_status("server")["status"], "online");
}

#[test]
fn a_service_of_several_stacks_is_named_with_those_alone() {
    let project = Project::new()
        .service("t", "", "min_uptime = 50")
        .service("u", "", "min_uptime = 50")
        .toml("[profiles.a]\nservices = [\"t\"]\n[profiles.b]\nservices = [\"t\"]\n[profiles.c]\nservices = [\"u\"]");
    for profile in ["a", "b", "c"] {
        project.run(&["dev", "-d", "--wait", "-p", profile]).ok();
    }
    let both = "error: t is in several stacks: a, b; say which with -p";
    project.run(&["stop", "t", "u"]).code(2).says(&[both]);
    project.run(&["stop", "u", "t"]).code(2).says(&[both]);
    let several = "error: a/t, u are of several stacks: a, c; change one stack at a time";
    project.run(&["stop", "a/t", "u"]).code(2).says(&[several]);
    project.run(&["stop", "u"]).ok();
}

#[test]
fn a_stack_that_is_not_running_is_named() {
    let project = Project::new()
        .service("web", "", "min_uptime = 50")
        .toml("[profiles.one]\nservices = [\"web\"]\n[profiles.two]\nservices = [\"web\"]");
    project.run(&["dev", "-d", "--wait", "-p", "one"]).ok();
    let not_running = "the stack of profile two is not running";
    project.run(&["stop", "-p", "two"]).ok().says(&[not_running]);
    project.run(&["stop", "web", "-p", "two"]).ok().says(&[not_running]);
    project
        .run(&["status", "-p", "two"])
        .ok()
        .says(&[not_running, "dev -p two"]);
    project
        .run(&["wait", "-p", "two"])
        .code(1)
        .says(&[not_running, "dev -p two"]);
}

#[test]
fn a_stack_that_stops_late_holds_up_no_other() {
    let project = Project::new()
        .service("late", "ignore", "min_uptime = 50\nkill_timeout = \"1h\"")
        .service("web", "", "min_uptime = 50")
        .toml("[profiles.one]\nservices = [\"late\"]\n[profiles.two]\nservices = [\"web\"]");
    for profile in ["one", "two"] {
        project.run(&["dev", "-d", "--wait", "-p", profile]).ok();
    }
    // Long enough for the other on a busy machine.
    project
        .run(&["stop", "--all", "--timeout", "5s"])
        .code(1)
        .says(&["error: failed to stop one: not stopped within 5s", "stopped two"]);
    let late = pid(&project.service_status("late"));
    signal(late, Signal::KILL);
    project.wait_nothing_left();
}

#[test]
fn stop_of_a_service_ends_what_is_left_of_a_stack_that_was_killed_as_a_whole() {
    let project = Project::new().service("web", "ignore", "min_uptime = 50\nkill_timeout = \"1h\"");
    let web = pid(&project.up().service_status("web"));
    let supervisor = project.supervisor();
    let keeper = parent_of(supervisor);
    // The keeper first, which would clear up after the supervisor.
    signal(keeper, Signal::KILL);
    signal(supervisor, Signal::KILL);
    project
        .run(&["stop", "web"])
        .ok()
        .says(&["ended 1 process that an earlier stack"]);
    assert!(!is_alive(web));
}

#[test]
fn a_stack_whose_socket_was_removed_is_told_of_and_stopped() {
    let port = free_port();
    let project = Project::new().service("web", &format!("listen {port}"), &format!("ports = [{port}]"));
    project.up();
    let state: serde_json::Value = serde_json::from_str(&project.read(".dev/dev/state.json")).unwrap();
    std::fs::remove_file(state["socket"].as_str().unwrap()).unwrap();
    let lost = [
        "the stack of profile dev runs",
        "was removed; `cargo xtask stop -p dev` stops it",
    ];
    project.run(&["status"]).ok().says(&lost);
    project.run(&["dev", "-d"]).code(1).says(&lost);
    project.run(&["stop"]).ok().says(&["stopped dev"]);
    assert!(is_free(port));
    project.wait_nothing_left();
}

#[test]
fn a_stop_while_an_earlier_command_still_builds_is_the_later_word() {
    let project = Project::new()
        .file("go", "")
        .service("web", "count runs", "min_uptime = 50\nbuild = \"compile\"")
        .service("api", "", "min_uptime = 50")
        .toml(
            "[tasks.compile]\nscript = 'sh'\n\
             args = ['-c', 'echo begun >> begun; while ! [ -e go ]; do sleep 0.02; done']\n\
             [profiles.dev]\nservices = ['web', 'api']",
        );
    project.up();
    for (command, was_up) in [
        (&["dev", "-d"] as &[&str], true),
        (&["dev", "-d", "--wait"], true),
        (&["restart"], true),
        (&["start", "web"], false),
    ] {
        if !was_up {
            project.run(&["stop", "web"]).ok();
        }
        let (begun, runs) = (project.lines("begun"), project.lines("runs"));
        std::fs::remove_file(project.path("go")).unwrap();
        let earlier = project.start(command);
        project.wait_lines("begun", begun + 1);
        project.run(&["stop", "web"]).ok();
        project.write("go", "");
        let run = earlier.wait().code(1);
        let run = run.says(&["error: web: it was stopped meanwhile"]);
        assert!(!run.stderr.contains("api: "), "{run}");
        assert_eq!(project.service_status("web")["status"], "stopped");
        assert_eq!(project.lines("runs"), runs);
        project.wait_ready("api");
        // A start that is the later word is one.
        project.run(&["start", "web"]).ok();
        project.wait_ready("web");
    }
}

#[test]
fn of_several_stops_at_once_each_succeeds() {
    for _ in 0..5 {
        let project = Project::new().service("web", "", "min_uptime = 1");
        project.up();
        let stops: Vec<_> = (0..4).map(|_| project.start(&["stop"])).collect();
        for stop in stops {
            stop.wait().ok();
        }
        project.wait_nothing_left();
    }
}

#[test]
fn start_starts_what_the_service_depends_on_too() {
    let project = Project::new().service("db", "", "min_uptime = 50").service(
        "web",
        "",
        "min_uptime = 50\ndepends_on = [\"db\"]",
    );
    project.up().run(&["stop", "web", "db"]).ok();
    project.run(&["start", "web"]).ok();
    project.wait_ready("db");
    let web = project.wait_ready("web");
    assert_eq!(restarts(&web), 0, "a start of a stopped service is no restart");
}

#[test]
fn restart_gives_a_new_process_and_counts() {
    let port = free_port();
    let project = Project::new()
        .service(
            "web",
            &format!("count runs listen {port}"),
            &format!("ports = [{port}]"),
        )
        .service("api", "", "min_uptime = 50");
    let (web, api) = (
        pid(&project.up().service_status("web")),
        pid(&project.service_status("api")),
    );
    project.run(&["restart", "web"]).ok();
    let after = project.wait_ready("web");
    assert_ne!(pid(&after), web);
    assert_eq!((restarts(&after), project.lines("runs")), (1, 2));
    assert_eq!(pid(&project.service_status("api")), api);
    project.run(&["restart"]).ok();
    assert_eq!(restarts(&project.wait_ready("web")), 2);
    assert_eq!(restarts(&project.wait_ready("api")), 1);
}

#[test]
fn with_several_stacks_up_p_or_all_says_which() {
    let project = Project::new()
        .service("web", "", "min_uptime = 50")
        .service("job", "", "min_uptime = 50")
        .toml("[profiles.one]\nservices = [\"web\", \"job\"]\n[profiles.two]\nservices = [\"web\"]");
    project.run(&["dev", "-d", "--wait", "-p", "one"]).ok();
    project.run(&["dev", "-d", "--wait", "-p", "two"]).ok();
    project.run(&["stop"]).code(2).says(&["one", "two"]);
    project.run(&["stop", "web"]).code(2).says(&["one", "two", "-p"]);
    project.run(&["restart", "web"]).code(2);
    assert_eq!(project.stacks().len(), 2);
    project.run(&["stop", "job"]).ok();
    // A profile has only its own, and none is told twice.
    project
        .run(&["stop", "two/job"])
        .code(1)
        .says(&["error: no service `two/job`; there is one/job, one/web, two/web"]);
    project
        .run(&["stop", "unheard-of"])
        .code(1)
        .says(&["error: no service `unheard-of`; there is job, web"]);
    // As `logs`, `why` and `wait` show it.
    project.run(&["stop", "two/web"]).ok();
    let state = |project: &Project, profile: &str, service: usize| {
        let stacks = project.stacks();
        let stack = stacks.iter().find(|stack| stack["profile"] == profile).unwrap();
        stack["services"][service]["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        [
            state(&project, "one", 0),
            state(&project, "one", 1),
            state(&project, "two", 0)
        ],
        ["online", "stopped", "stopped"]
    );
    project.run(&["stop", "-p", "two"]).ok();
    assert_eq!(project.stacks().len(), 1);
    project.run(&["dev", "-d", "-p", "two"]).ok();
    project.run(&["stop", "--all"]).ok();
    assert_eq!(project.stacks().len(), 0);
    project.wait_nothing_left();
}

#[test]
fn a_service_that_ignores_its_signal_is_killed_after_kill_timeout_and_is_stopped() {
    let project = Project::new().service(
        "deaf",
        "ignore pid deaf.pid",
        "min_uptime = 50\nkill_timeout = \"300ms\"",
    );
    project.up().run(&["stop", "deaf"]).ok();
    assert!(!is_alive(project.pid_in("deaf.pid")));
    let deaf = project.service_status("deaf");
    assert_eq!(
        (&deaf["status"], &deaf["last_exit"]["signal"]),
        (&"stopped".into(), &"SIGKILL".into())
    );
}

#[test]
fn a_service_has_the_time_of_its_kill_timeout_to_end_in_order() {
    let project = Project::new().service("slow", "bye ended 'in order'", "min_uptime = 50\nkill_timeout = \"1h\"");
    project.up().run(&["stop"]).ok();
    assert_eq!(project.read("ended"), "in order\n");
}

#[test]
fn a_timeout_of_stop_is_kept() {
    let project = Project::new().service("deaf", "ignore", "min_uptime = 50\nkill_timeout = \"1h\"");
    project.up();
    project
        .run(&["stop", "deaf", "--timeout", "500ms"])
        .code(1)
        .says(&["error: ", "deaf"]);
}

#[test]
fn the_kill_signal_is_the_one_that_was_chosen() {
    let script = "trap 'echo term >> got; exit 0' TERM; trap 'echo int >> got; exit 0' INT; echo up >> got; while :; do sleep 0.05; done";
    let project = Project::new().toml(&format!(
        "[services.web]\nscript = \"sh\"\nargs = [\"-c\", \"{script}\"]\nkill_signal = \"SIGTERM\"\nmin_uptime = 50\n[profiles.dev]\nservices = [\"web\"]\n"
    ));
    project.run(&["dev", "-d"]).ok();
    crate::support::wait_until("the trap is set", || project.read("got").contains("up").then_some(()));
    project.run(&["stop"]).ok();
    assert_eq!(project.read("got"), "up\nterm\n");
}
