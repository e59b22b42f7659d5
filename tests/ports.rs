//! Ports: who holds one before a start, whose it is after it, and that `stop` gives it back.

use std::net::TcpListener;

use crate::support::{Project, Running, Value, command, free_port, has, is_free, json, pid, wait_until};

fn reason(service: &Value) -> &str {
    service["reason"]
        .as_str()
        .unwrap_or_else(|| panic!("no reason in {service:#}"))
}

#[track_caller]
fn reason_with(project: &Project, name: &str, parts: &[&str]) -> Value {
    let what = format!("says {parts:?}");
    project.wait(name, &what, |service| {
        let reason = service["reason"].as_str().unwrap_or_default();
        parts.iter().all(|part| reason.contains(part))
    })
}

fn web(port: u16) -> Project {
    let words = format!("count runs listen {port}");
    Project::new().service("web", &words, &format!("ports = [{port}]"))
}

#[test]
fn a_strangers_port_blocks_and_is_not_taken_over_by_replace() {
    let port = free_port();
    let project = web(port);
    let elsewhere = tempfile::tempdir().unwrap();
    let place = elsewhere.path().canonicalize().unwrap();
    let mut stranger = command(crate::support::puppet());
    let stranger = Running::start(
        stranger
            .args(["listen", &port.to_string(), "out", "up"])
            .current_dir(&place),
    );
    stranger.wait_for("up");
    let holder = format!("port {port} is held by pid {}", stranger.pid());
    let place = format!("in {}", place.display());
    let advice = format!("kill {}", stranger.pid());
    let run = project.run(&["dev", "-d"]).code(1);
    run.says(&["error: web: ", &holder, "puppet", &place, &advice, "starts by itself"]);
    let run = project.run(&["dev", "-d", "--replace"]).code(1);
    run.says(&[&holder]);
    let blocked = project.service_status("web");
    assert_eq!((&blocked["status"], project.lines("runs")), (&json!("blocked"), 0));
    project.run(&["status"]).ok().prints(&["blocked", &holder]);
    drop(stranger);
    project.wait_ready("web");
}

#[test]
fn a_port_of_one_of_our_stacks_is_named_with_service_profile_and_workspace() {
    let port = free_port();
    let first = web(port);
    let second = web(port).beside(&first);
    second.run(&["dev", "-d", "--wait"]).ok();
    second.run(&["stop", "web"]).ok();
    first.up();
    second.run(&["start", "web"]).code(1);
    let blocked = reason_with(&second, "web", &["service web of profile dev", "--replace"]);
    let workspace = first.path("").components().collect::<std::path::PathBuf>();
    assert!(
        reason(&blocked).contains(&format!("in {}", workspace.display())),
        "{blocked:#}"
    );
    assert!(reason(&blocked).contains(&pid(&first.service_status("web")).to_string()));
    // It takes the place, and the other stack is gone.
    second.run(&["dev", "-d", "--wait", "--replace"]).ok();
    assert_eq!(first.stacks().len(), 0);
    assert_eq!(second.service_status("web")["ready"], true);
}

#[test]
fn a_port_of_another_service_of_the_stack_is_named_so() {
    let port = free_port();
    // Declared by one, held by another.
    let squatter = format!("ready = {{ tcp = 'localhost:{port}' }}");
    let project = web(port).service("squatter", &format!("listen {port}"), &squatter);
    project.edit(
        "[services.web]",
        "[services.web]\ndepends_on = { squatter = \"ready\" }",
    );
    project.run(&["dev", "-d"]);
    reason_with(&project, "web", &["service squatter of this stack", "another port"]);
}

#[test]
fn a_holder_on_any_address_blocks() {
    for address in ["[::1]", "0.0.0.0", "[::]"] {
        let port = free_port();
        let project = web(port);
        let Ok(holder) = TcpListener::bind(format!("{address}:{port}")) else {
            assert!(address.contains(':'), "a machine without IPv6");
            continue;
        };
        project
            .run(&["dev", "-d"])
            .code(1)
            .says(&[&format!("port {port} is held by")]);
        drop(holder);
        project.wait_ready("web");
    }
}

#[test]
fn what_is_blocked_is_tried_at_once_when_its_port_has_changed() {
    for command in [&["dev", "-d"] as &[&str], &["restart", "web"]] {
        let (held, free) = (free_port(), free_port());
        let project = web(held);
        let _holder = TcpListener::bind(("127.0.0.1", held)).unwrap();
        project
            .run(&["dev", "-d"])
            .code(1)
            .says(&[&format!("port {held} is held by")]);
        project.edit(&format!("[{held}]"), &format!("[{free}]"));
        project.edit(&format!("listen {held}"), &format!("listen {free}"));
        project.run(command).ok();
        project.wait_ready("web");
    }
}

#[test]
fn what_is_blocked_is_tried_at_once_when_the_user_asks() {
    for command in [&["dev", "-d"] as &[&str], &["restart", "web"], &["start", "web"]] {
        let port = free_port();
        let project = web(port);
        let holder = TcpListener::bind(("127.0.0.1", port)).unwrap();
        project.run(&["dev", "-d"]).code(1);
        // Nobody tells of the end of a socket whose process lives.
        drop(holder);
        project.run(command).ok();
        project.wait_ready("web");
    }
}

#[test]
fn no_word_of_a_service_makes_it_ready_while_somebody_else_holds_its_port() {
    for (words, ready) in [
        ("out 'server is up'", "log = \"is up$\""),
        ("notify READY=1", "notify = true"),
        ("", "command = [\"test\", \"-e\", \"go\"], interval = \"50ms\""),
    ] {
        let port = free_port();
        let words = format!("wait-for go try-listen {port} {words} pid tried");
        let keys = format!("ports = [{port}]\nready = {{ {ready}, timeout = \"300ms\" }}");
        let project = Project::new().service("web", &words, &keys);
        project.run(&["dev", "-d"]).ok();
        project.wait_status("web", "online");
        let holder = TcpListener::bind(("127.0.0.1", port)).unwrap();
        project.write("go", "");
        project.pid_in("tried");
        let who = format!("port {port} is held by pid {}", std::process::id());
        let web = reason_with(&project, "web", &[&who]);
        assert_eq!(
            (&web["status"], &web["ready"]),
            (&json!("online"), &json!(false)),
            "{ready}"
        );
        drop(holder);
        project.wait_ready("web");
    }
}

#[test]
fn the_answer_of_a_stranger_makes_nobody_ready_and_that_of_the_stack_does() {
    let (port, own, other) = (free_port(), free_port(), free_port());
    let stranger = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let ready = |port: u16| format!("ready = {{ tcp = \"localhost:{port}\", timeout = \"1h\" }}");
    let project = Project::new()
        .service("web", "", &ready(port))
        .service("gate", &format!("listen {own}"), &format!("ports = [{own}]"))
        .service("api", "", &format!("ports = [{other}]\n{}", ready(port)))
        .service("app", "", &ready(own));
    project.run(&["dev", "-d"]).ok();
    project.wait_ready("app");
    let holder = format!("port {port} is held by pid {}", std::process::id());
    let web = reason_with(&project, "web", &[&holder]);
    assert_eq!((&web["status"], &web["ready"]), (&json!("online"), &json!(false)));
    // Also of one that declares another port.
    let api = reason_with(&project, "api", &[&holder]);
    assert_eq!(api["ready"], false);
    drop(stranger);
}

#[test]
fn a_twin_that_shares_the_port_keeps_a_service_from_being_ready() {
    let port = free_port();
    let keys = format!("ports = [{port}]\nready = {{ http = \"http://127.0.0.1:{port}/\", timeout = \"300ms\" }}");
    let project = Project::new().service("web", &format!("wait-for go share {port}"), &keys);
    project.run(&["dev", "-d"]).ok();
    project.wait_status("web", "online");
    let mut twin = command(crate::support::puppet());
    let twin = Running::start(twin.args(["share", &port.to_string(), "out", "up"]));
    twin.wait_for("up");
    project.write("go", "");
    let who = format!("port {port} is also held by pid {}", twin.pid());
    let web = reason_with(&project, "web", &[&who]);
    assert_eq!((&web["status"], &web["ready"]), (&json!("online"), &json!(false)));
    drop(twin);
    project.wait_ready("web");
}

#[test]
fn a_real_stale_caddy_blocks_a_new_one_and_one_that_comes_between_is_found_out() {
    if !has("caddy") {
        return;
    }
    let (port, admin, other_admin) = (free_port(), free_port(), free_port());
    let config = |admin: u16| {
        format!(
            "{{\"admin\":{{\"listen\":\"localhost:{admin}\",\"config\":{{\"persist\":false}}}},\"apps\":{{\"http\":{{\"servers\":{{\"main\":{{\"listen\":[\":{port}\"],\
             \"routes\":[{{\"handle\":[{{\"handler\":\"static_response\",\"body\":\"{admin}\"}}]}}]}}}}}}}}}}"
        )
    };
    let project = Project::new()
        .file("new.json", &config(admin))
        .file("stale.json", &config(other_admin))
        .toml(&format!(
            "[services.caddy]\nscript = 'sh'\nports = [{port}]\n\
             args = ['-c', 'while [ ! -e go ]; do sleep 0.02; done; exec caddy run --config new.json']\n\
             ready = {{ http = 'http://localhost:{port}/', timeout = '500ms' }}\n[profiles.dev]\nservices = ['caddy']"
        ));
    let stale = || {
        let caddy = Running::start(project.prepare("caddy").args(["run", "--config", "stale.json"]));
        wait_until("the stale one answers", || crate::support::get(port, "/"));
        caddy
    };
    let first = stale();
    let holder = format!(
        "port {port} is held by pid {} (caddy run --config stale.json)",
        first.pid()
    );
    project.run(&["dev", "-d"]).code(1).says(&[&holder]);
    assert_eq!(project.service_status("caddy")["status"], "blocked");
    drop(first);
    project.wait_status("caddy", "online");
    // Caddy shares its port with whoever is there, and starts without complaint.
    let second = stale();
    project.write("go", "");
    let holder = format!("port {port} is also held by pid {}", second.pid());
    let caddy = reason_with(&project, "caddy", &[&holder]);
    assert_eq!(
        (&caddy["ports"], &caddy["ready"]),
        (&json!([port.min(admin), port.max(admin)]), &json!(false))
    );
    drop(second);
    project.wait_ready("caddy");
    project.run(&["status"]).ok().prints(&[&format!("*:{port}")]);
    let (_, body) = crate::support::get(port, "/").unwrap();
    assert_eq!(body, admin.to_string());
}

#[test]
fn undeclared_ports_are_shown_and_those_on_all_interfaces_are_marked() {
    let (inside, outside) = (free_port(), free_port());
    let words = format!("listen {inside} listen-on 0.0.0.0:{outside}");
    let project = Project::new().service("web", &words, "min_uptime = 50");
    project.up();
    let both = [inside.min(outside), inside.max(outside)];
    let web = project.wait("web", "listens", |web| web["ports"] == json!(both));
    assert_eq!(web["ports_on_all_interfaces"], json!([outside]));
    let table = project.run(&["status"]).ok();
    let shown = both.map(|port| {
        if port == outside {
            format!("*:{port}")
        } else {
            port.to_string()
        }
    });
    table.prints(&[&shown.join(", ")]);
}

#[test]
fn stop_returns_when_the_ports_are_free() {
    let port = free_port();
    // Its child holds the port, outlives it, and takes its time.
    let words = format!("child session ignore listen {port} end ignore");
    let project = Project::new().service("web", &words, &format!("ports = [{port}]\nkill_timeout = 300"));
    project.up();
    assert!(!is_free(port));
    project.run(&["stop", "web"]).ok();
    assert!(is_free(port));
    project.run(&["start", "web"]).ok();
    project.wait_ready("web");
    project.run(&["stop"]).ok();
    assert!(is_free(port));
}
