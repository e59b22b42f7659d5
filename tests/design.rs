//! The design's own lines, "Testing Strategy" and "Edge Cases", for dev and dev + Caddy: the repository's `dev.toml` with its
//! real application. It runs on the fixed ports of that file, so these tests take turns.

use std::net::TcpListener;

use crate::support::{Project, Signal, Tidepool, Value, get, has, is_free, pid, request, restarts, signal, wait_until};

#[track_caller]
fn online(project: &Project, name: &str) -> Value {
    let service = project.service_status(name);
    assert_eq!(
        (&service["status"], &service["ready"]),
        (&"online".into(), &true.into()),
        "{name}: {service:#}"
    );
    service
}

#[track_caller]
fn ok_body(port: u16, path: &str) -> String {
    let (status, body) = wait_until(&format!("{port}{path} answers"), || {
        get(port, path).filter(|(status, _)| *status == 200)
    });
    assert_eq!(status, 200);
    body
}

#[test]
fn dev_then_status_shows_server_and_client_online() {
    let stack = Tidepool::take();
    stack.up();
    assert_eq!(online(&stack, "server")["ports"], serde_json::json!([7163]));
    assert_eq!(online(&stack, "client")["ports"], serde_json::json!([5173]));
    ok_body(7163, "/api/health");
    ok_body(5173, "/");
    // The client proxies to the server.
    ok_body(5173, "/api/health");
    let names: Vec<Value> = stack.stacks()[0]["services"]
        .as_array()
        .unwrap()
        .iter()
        .map(|service| service["name"].clone())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn dev_caddy_then_status_shows_caddy_and_server_online() {
    if !has("caddy") {
        return;
    }
    let stack = Tidepool::take();
    stack.run(&["dev", "--caddy", "-d", "--wait"]).ok();
    assert_eq!(online(&stack, "caddy")["ports"], serde_json::json!([2019, 8080, 8081]));
    online(&stack, "server");
    assert!(ok_body(8080, "/").contains("<html"), "the built client");
    ok_body(8080, "/api/health");
    // A job goes through Caddy to the server and is worked off.
    let job = "{\"name\":\"from the test\"}";
    let post = format!(
        "POST /api/jobs HTTP/1.0\r\nHost: localhost:8080\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{job}",
        job.len()
    );
    let (status, body) = request(8080, &post).expect("an answer");
    assert!((200..300).contains(&status), "{status}: {body}");
    stack.run(&["stop"]).ok();
    stack.assert_no_service_process();
    assert!([8080, 8081, 2019, 7163].iter().all(|port| is_free(*port)));
}

#[test]
fn kill_9_of_caddy_loses_its_configuration_and_8080_serves_again_by_itself() {
    if !has("caddy") {
        return;
    }
    let stack = Tidepool::take();
    stack.run(&["dev", "--caddy", "-d", "--wait"]).ok();
    let (caddy, server) = (pid(&online(&stack, "caddy")), pid(&online(&stack, "server")));
    ok_body(8080, "/api/health");
    signal(caddy, Signal::KILL);
    let after = stack.wait("server", "is up again", |service| {
        service["ready"] == true && service["pid"] != server
    });
    assert_eq!(restarts(&after), 1);
    assert_ne!(pid(&online(&stack, "caddy")), caddy);
    ok_body(8080, "/api/health");
    assert!(ok_body(8080, "/").contains("<html"), "the built client");
    assert!(
        stack
            .read(".dev/caddy/supervisor.log")
            .contains("[server] restarted: caddy came back")
    );
}

#[test]
fn a_killed_process_is_restarted_within_restart_delay() {
    let stack = Tidepool::take();
    stack.up();
    let before = pid(&online(&stack, "server"));
    signal(before, Signal::TERM);
    let after = stack.wait("server", "is up again", |server| {
        server["ready"] == true && server["pid"] != before
    });
    assert_eq!((&after["status"], restarts(&after)), (&"online".into(), 1));
    ok_body(7163, "/api/health");
}

#[test]
fn logs_server_shows_pino_json_output() {
    let stack = Tidepool::take();
    stack.up();
    ok_body(7163, "/api/health");
    // It answers before what it says of that has reached its log.
    let run = wait_until("the server has said something", || {
        let run = stack.run(&["logs", "server", "--raw", "--out", "--no-follow"]).ok();
        (!run.stdout.is_empty()).then_some(run)
    });
    let lines: Vec<Value> = run
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for line in &lines {
        assert!(
            line["level"].is_u64() && line["time"].is_u64() && line["msg"].is_string(),
            "{line}"
        );
    }
    stack
        .run(&["logs", "server", "--no-follow"])
        .ok()
        .prints(&["server", "\"level\":30"]);
}

#[test]
fn stop_removes_all_processes_and_frees_the_ports() {
    let stack = Tidepool::take();
    stack.up();
    stack.run(&["stop"]).ok();
    stack.assert_no_service_process();
    assert!(is_free(7163) && is_free(5173));
    assert_eq!(stack.stacks().len(), 0);
    stack.wait_nothing_left();
}

#[test]
fn ctrl_c_of_a_followed_dev_frees_the_ports() {
    let stack = Tidepool::take();
    let dev = stack.start(&["dev"]);
    stack.wait_ready("server");
    stack.wait_ready("client");
    dev.press_ctrl_c();
    dev.wait().ok();
    assert!(is_free(7163) && is_free(5173));
    stack.wait_nothing_left();
}

#[test]
fn runtime_tart_dev_caddy_starts_the_server_with_the_tart_runtime() {
    if !has("caddy") {
        return;
    }
    let stack = Tidepool::take();
    stack
        .run_with(&[("RUNTIME", "tart")], &["dev", "--caddy", "-d", "--wait"])
        .ok();
    let health: Value = serde_json::from_str(&ok_body(7163, "/api/health")).unwrap();
    assert_eq!(health["RUNTIME"], "tart", "{health}");
}

#[test]
fn starting_dev_when_it_is_already_running_changes_nothing() {
    let stack = Tidepool::take();
    stack.up();
    let before = ["server", "client"].map(|name| pid(&online(&stack, name)));
    stack.up();
    assert_eq!(["server", "client"].map(|name| pid(&online(&stack, name))), before);
}

#[test]
fn a_port_conflict_blocks_names_the_holder_and_launches_when_the_port_is_free() {
    let stack = Tidepool::take();
    let holder = TcpListener::bind(("127.0.0.1", 7163)).unwrap();
    let own = std::process::id().to_string();
    stack
        .run(&["dev", "-d"])
        .code(1)
        .says(&["error: ", "server", "7163", &own, "integration"]);
    let server = stack.service_status("server");
    let reason = server["reason"].as_str().unwrap();
    assert_eq!(server["status"], "blocked");
    assert!(
        ["7163", &own, "integration"].iter().all(|part| reason.contains(part)),
        "{reason}"
    );
    drop(holder);
    stack.wait_ready("server");
    stack.wait_ready("client");
}

#[test]
fn a_caddy_binary_that_is_not_found_is_errored_immediately_with_what_to_do() {
    let stack = Tidepool::take();
    let config = stack.read("dev.toml");
    stack.write(
        "dev.toml",
        &config.replace("script = \"caddy\"", "script = \"caddy-is-not-installed\""),
    );
    assert_ne!(stack.read("dev.toml"), config, "dev.toml has a caddy service");
    let run = stack.run(&["dev", "--caddy", "-d"]).code(1);
    let run = run.says(&["error: caddy", "caddy-is-not-installed", "not found", "PATH"]);
    let run = run.prints(&["server: waits for caddy (errored"]);
    let caddy = stack.service_status("caddy");
    assert_eq!((&caddy["status"], restarts(&caddy)), (&"errored".into(), 0), "{run}");
    let server = stack.service_status("server");
    assert!(
        server["reason"].as_str().is_some_and(|reason| reason.contains("caddy")),
        "{server:#}"
    );
}
