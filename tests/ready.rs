//! Readiness, ports and order: when a service counts as ready, who else may hold its port, who starts and stops first.

use std::net::TcpListener;

use crate::support::{Project, free_port, json, wait_until};

#[test]
fn http_is_ready_with_a_good_answer_only() {
    let port = free_port();
    let keys = format!("ready = {{ http = \"http://localhost:{port}/api/health\", interval = \"50ms\" }}");
    let project = Project::new()
        .service("web", &format!("listen-when {port} open pid web.pid"), &keys)
        .service("after", "count after.runs", "min_uptime = 50\ndepends_on = [\"web\"]");
    project.run(&["dev", "-d"]).ok();
    wait_until("it answers 503", || {
        crate::support::get(port, "/").filter(|(status, _)| *status == 503)
    });
    assert_eq!(
        (
            project.service_status("web")["ready"].clone(),
            project.lines("after.runs")
        ),
        (json!(false), 0)
    );
    project.write("open", "");
    project.wait_ready("web");
    project.wait_ready("after");
}

#[test]
fn tcp_is_ready_when_somebody_of_the_tree_accepts() {
    let port = free_port();
    let keys = format!("ready = {{ tcp = \"127.0.0.1:{port}\", interval = \"50ms\" }}");
    let project = Project::new().service("web", &format!("wait-for go listen {port}"), &keys);
    project.run(&["dev", "-d"]).ok();
    assert_eq!(project.service_status("web")["ready"], false);
    project.write("go", "");
    project.wait_ready("web");
}

#[test]
fn a_line_a_command_or_a_notification_makes_a_service_ready() {
    for (words, ready) in [
        (
            "out 'server is upset' wait-for go out 'server is up'",
            "log = \"is up$\"",
        ),
        ("", "command = [\"test\", \"-e\", \"go\"], interval = \"50ms\""),
        ("notify STATUS=starting wait-for go notify READY=1", "notify = true"),
    ] {
        let project = Project::new().service("web", words, &format!("ready = {{ {ready} }}\nmin_uptime = 1"));
        project.run(&["dev", "-d"]).ok();
        assert_eq!(project.wait_status("web", "online")["ready"], false, "{ready}");
        project.write("go", "");
        project.wait_ready("web");
    }
}

#[test]
fn without_ready_all_declared_ports_must_be_listened_on() {
    let (one, two) = (free_port(), free_port());
    let project = Project::new().service(
        "web",
        &format!("listen {one} wait-for go listen {two}"),
        &format!("ports = [{one}, {two}]"),
    );
    project.run(&["dev", "-d"]).ok();
    project.wait("web", "listens on one", |web| web["ports"] == json!([one]));
    assert_eq!(project.service_status("web")["ready"], false);
    project.write("go", "");
    project.wait_ready("web");
}

#[test]
fn without_ready_and_ports_a_service_is_ready_after_min_uptime() {
    let project = Project::new().service("web", "", "min_uptime = \"400ms\"");
    project.up();
    let web = project.service_status("web");
    assert!(
        web["ready"] == true && web["uptime_ms"].as_u64().unwrap() >= 400,
        "{web:#}"
    );
}

#[test]
fn a_port_that_somebody_else_holds_blocks_the_launch_and_names_the_holder() {
    let port = free_port();
    let project = Project::new().service(
        "web",
        &format!("count runs listen {port}"),
        &format!("ports = [{port}]"),
    );
    let holder = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let (port_text, own) = (port.to_string(), std::process::id().to_string());
    project
        .run(&["dev", "-d"])
        .code(1)
        .says(&["error: ", "web", &port_text, "integration"]);
    // A child of this test shares the socket between its fork and its exec: it may be named, too, for that moment.
    let web = wait_until("the holder is named", || {
        let web = project.service_status("web");
        web["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains(&own))
            .then_some(web)
    });
    let reason = web["reason"].as_str().unwrap();
    assert!(web["status"] == "blocked" && reason.contains(&port_text), "{web:#}");
    assert!(reason.contains("integration"), "the command of the holder: {reason}");
    assert_eq!(project.lines("runs"), 0);
    drop(holder);
    project.wait_ready("web");
    assert_eq!(project.lines("runs"), 1);
}

#[test]
fn a_service_that_swallows_address_in_use_is_not_ready_beside_the_holder() {
    let (own, taken) = (free_port(), free_port());
    let words = format!("listen {own} wait-for go try-listen {taken} pid tried");
    let keys = format!(
        "ports = [{own}, {taken}]\nready = {{ tcp = \"127.0.0.1:{taken}\", interval = \"50ms\", timeout = \"500ms\" }}"
    );
    let project = Project::new().service("web", &words, &keys);
    project.run(&["dev", "-d"]).ok();
    project.wait("web", "listens", |web| web["ports"] == json!([own]));
    // The holder comes after the launch, as a program in another window does.
    let _holder = TcpListener::bind(("127.0.0.1", taken)).unwrap();
    project.write("go", "");
    project.pid_in("tried");
    let web = project.wait("web", "was not ready in time", |web| web["reason"].is_string());
    assert_eq!(
        (&web["status"], &web["ready"]),
        (&json!("online"), &json!(false)),
        "{web:#}"
    );
    assert!(web["reason"].as_str().unwrap().contains(&taken.to_string()), "{web:#}");
}

#[test]
fn services_start_in_the_order_of_their_dependencies_and_stop_in_reverse() {
    let service = |project: Project, name: &str, after: &str| {
        let port = free_port();
        let words = format!("bye story '{name} stopped' note story '{name} started' after 100 listen {port}");
        project.service(name, &words, &format!("ports = [{port}]\n{after}"))
    };
    let project = service(Project::new(), "web", "depends_on = [\"api\"]");
    let project = service(project, "api", "depends_on = [\"db\"]");
    let project = service(project, "db", "");
    project.up().run(&["stop"]).ok();
    let story = "db started\napi started\nweb started\nweb stopped\napi stopped\ndb stopped\n";
    assert_eq!(project.read("story"), story);
    let dev = project.start(&["dev"]);
    project.wait_ready("web");
    dev.press_ctrl_c();
    dev.wait().ok();
    assert_eq!(project.read("story"), story.repeat(2));
}

#[test]
fn a_dependency_may_be_met_by_a_start_or_an_end() {
    let port = free_port();
    let project = Project::new()
        .service(
            "slow",
            &format!("listen-when {port} never"),
            &format!("ready = {{ http = \"http://localhost:{port}/\" }}"),
        )
        .service("migrate", "wait-for schema exit 0", "autorestart = false")
        .service("early", "", "min_uptime = 50\ndepends_on = { slow = \"started\" }")
        .service("late", "", "min_uptime = 50\ndepends_on = { migrate = \"completed\" }");
    project.run(&["dev", "-d"]).ok();
    project.wait_ready("early");
    assert_eq!(project.service_status("late")["reason"], "waits for migrate");
    project.write("schema", "");
    project.wait_ready("late");
    assert_eq!(project.service_status("slow")["ready"], false);
}

#[test]
fn a_dependent_with_restart_comes_back_with_its_dependency() {
    let port = free_port();
    let project = Project::new()
        .service("caddy", &format!("listen {port}"), &format!("ports = [{port}]"))
        .service(
            "server",
            "count runs",
            "min_uptime = 50\ndepends_on = { caddy = { condition = \"ready\", restart = true } }",
        )
        .service("other", "count other.runs", "min_uptime = 50\ndepends_on = [\"caddy\"]");
    project.up().run(&["restart", "caddy"]).ok();
    wait_until("the server was restarted", || {
        (project.lines("runs") == 2).then_some(())
    });
    project.wait_ready("server");
    assert_eq!(project.lines("other.runs"), 1);
}

#[test]
fn a_timeout_is_a_failure_with_the_last_answer_of_the_probe_and_may_still_heal() {
    let (port, nobody) = (free_port(), free_port());
    let listen = format!("listen-when {port} open");
    let http = format!("http = \"http://localhost:{port}/api/health\"");
    let tcp = format!("tcp = \"127.0.0.1:{nobody}\"");
    let refused = format!("connect 127.0.0.1:{nobody}: connection refused");
    let cases: [(&str, &str, &str, bool); 5] = [
        (&listen, &http, "GET /api/health: 503", true),
        ("", &tcp, &refused, false),
        ("", "command = [\"test\", \"-e\", \"open\"]", "test: exit code 1", true),
        (
            "out hello",
            "log = \"never\"",
            "no line of its output matches `never`",
            false,
        ),
        ("", "notify = true", "it has not sent READY=1", false),
    ];
    for (words, probe, error, heals) in cases {
        let keys = format!("ready = {{ {probe}, timeout = \"400ms\", interval = \"50ms\" }}");
        let project =
            Project::new()
                .service("web", words, &keys)
                .service("after", "", "min_uptime = 50\ndepends_on = [\"web\"]");
        let run = project.run(&["dev", "-d", "--wait"]).code(1);
        let run = run.says(&["error: web: not ready after 400ms: ", error]);
        run.says(&["error: after: waits for web (not ready after 400ms"]);
        let web = project.service_status("web");
        assert_eq!((&web["status"], &web["ready"]), (&json!("online"), &json!(false)));
        assert!(web["reason"].as_str().unwrap().contains(error), "{web:#}");
        assert_eq!(project.service_status("after")["status"], "launching");
        if heals {
            project.write("open", "");
            assert_eq!(project.wait_ready("web")["reason"], json!(null));
            project.wait_ready("after");
        }
    }
}

#[test]
fn the_output_of_a_probe_never_enters_the_log() {
    let script = "echo noise; echo noise >&2; echo asked >> asked; test -e go";
    let keys = format!("ready = {{ command = [\"sh\", \"-c\", \"{script}\"], interval = \"20ms\" }}");
    let project = Project::new().service("web", "out mine", &keys);
    project.run(&["dev", "-d"]).ok();
    wait_until("it was asked often", || (project.lines("asked") > 3).then_some(()));
    project.write("go", "");
    project.wait_ready("web");
    for file in ["web-out.log", "web-error.log"] {
        assert!(!project.read(&format!(".dev/dev/logs/{file}")).contains("noise"));
    }
    assert!(project.read(".dev/dev/logs/web-out.log").contains("mine"));
    assert!(!project.events().contains("noise"));
}

#[test]
fn what_answers_late_but_in_time_is_ready() {
    let ready = "ready = { command = [\"sleep\", \"1.2\"], timeout = \"1h\" }";
    let project = Project::new().service("web", "", ready);
    project.up();
    assert_eq!(project.service_status("web")["ready"], true);
}

#[test]
fn a_pattern_does_not_see_colours() {
    let project = Project::new().toml(
        "[services.web]\nscript = \"PUPPET\"\npty = true\n\
         args = [\"out\", \"\\u001b[1mVITE\\u001b[0m v5 \\u001b[32mready in\\u001b[0m 3 ms\"]\n\
         ready = { log = \"^VITE v5 ready in 3 ms$\", timeout = \"1h\" }\n\
         [profiles.colours]\nservices = [\"web\"]",
    );
    project.run(&["dev", "-p", "colours", "-d", "--wait"]).ok();
    assert_eq!(project.service_status("web")["ready"], true);
}
