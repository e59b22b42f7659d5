//! `npm run` wrappers: npm, a shell and node, of which only node does the work.

use crate::support::{Project, Signal, free_port, get, has, is_free, pid, signal, wait_until};

const SERVER: &str = "const http = require('http');\n\
    http.createServer((_, res) => res.end(String(process.pid))).listen(process.env.PORT, '127.0.0.1', () => console.log('up ' + process.env.PORT));\n";

/// An npm workspace with two packages, and their ports.
fn workspace() -> (Project, u16, u16) {
    let (server, client) = (free_port(), free_port());
    let package = |name: &str, script: &str| {
        format!(
            "{{\"name\":\"{name}\",\"version\":\"1.0.0\",\"private\":true,\"scripts\":{{\"{script}\":\"node main.js\"}}}}"
        )
    };
    let service = |name: &str, args: &str, port: u16| {
        let port_env = format!("env = {{ PORT = \"{port}\", npm_config_update_notifier = \"false\" }}");
        format!("[services.{name}]\nscript = \"npm\"\nargs = \"{args}\"\nports = [{port}]\n{port_env}\n")
    };
    let project = Project::new()
        .file(
            "package.json",
            "{\"name\":\"root\",\"private\":true,\"workspaces\":[\"packages/*\"]}",
        )
        .file("packages/server/package.json", &package("server", "start"))
        .file("packages/client/package.json", &package("client", "dev"))
        .file("packages/server/main.js", SERVER)
        .file("packages/client/main.js", SERVER)
        .toml(&service("server", "run start -w packages/server", server))
        .toml(&service("client", "run dev -w packages/client", client))
        .toml("[profiles.dev]\nservices = [\"server\", \"client\"]");
    (project, server, client)
}

#[test]
fn stop_leaves_no_npm_sh_or_node() {
    if !has("npm") {
        return;
    }
    let (project, server, client) = workspace();
    project.up();
    for port in [server, client] {
        assert_eq!(get(port, "/").map(|(status, _)| status), Some(200));
    }
    project.run(&["stop"]).ok();
    project.assert_no_service_process();
    assert!(is_free(server) && is_free(client));
    project.wait_nothing_left();
}

#[test]
fn ctrl_c_leaves_no_npm_sh_or_node() {
    if !has("npm") {
        return;
    }
    let (project, server, _) = workspace();
    let dev = project.start(&["dev"]);
    dev.wait_for(&format!("up {server}"));
    project.wait_ready("client");
    dev.press_ctrl_c();
    dev.wait().ok();
    project.assert_no_service_process();
    project.wait_nothing_left();
}

#[test]
fn kill_9_of_npm_alone_leads_to_a_working_restart_and_not_to_a_held_port() {
    if !has("npm") {
        return;
    }
    let (project, server, _) = workspace();
    let npm = pid(&project.up().service_status("server"));
    let (_, node) = get(server, "/").unwrap();
    signal(npm, Signal::KILL);
    let after = project.wait("server", "is up again", |service| {
        service["ready"] == true && service["pid"] != npm
    });
    assert_eq!((&after["status"], &after["restarts"]), (&"online".into(), &1.into()));
    let (_, new) = wait_until("the new one answers", || get(server, "/"));
    assert_ne!(new, node);
    assert!(!crate::support::is_alive(node.parse().unwrap()));
}

#[test]
fn a_dev_server_that_writes_into_what_it_watches_is_found_out_and_runs_on() {
    if !has("npm") {
        return;
    }
    let writer = "require('fs').writeFileSync('src/stamp.json', JSON.stringify({ at: Date.now() }));\n\
        console.log('up'); setInterval(() => {}, 1000);\n";
    let project = Project::new()
        .file("package.json", "{\"name\":\"writer\",\"private\":true,\"scripts\":{\"dev\":\"node main.js\"}}")
        .file("main.js", writer)
        .file("src/app.js", "one")
        .toml(
            "[services.web]\nscript = \"npm\"\nargs = \"run dev\"\nwatch = [\"src\"]\nwatch_delay = 50\nmin_uptime = 50\n\
             env = { npm_config_update_notifier = \"false\" }\n[profiles.dev]\nservices = [\"web\"]",
        );
    project.run(&["dev", "-d"]).ok();
    let web = project.wait("web", "is found out", |web| {
        let reason = web["reason"].as_str().unwrap_or_default();
        reason.contains("src/stamp.json") && reason.contains("ignore_watch")
    });
    assert_eq!(
        (&web["status"], &web["watching"]),
        (&"online".into(), &false.into()),
        "{web:#}"
    );
    let known = (pid(&web), crate::support::restarts(&web));
    assert!(project.events().contains("[web] watching is suspended: src/stamp.json"));
    // It runs on, whatever changes.
    project.write("src/app.js", "two");
    // What it writes is named in ignore_watch, and the restart resumes.
    project.edit("watch_delay = 50", "watch_delay = 50\nignore_watch = [\"stamp.json\"]");
    assert_eq!(
        (pid(&project.service_status("web")), known.1),
        (known.0, crate::support::restarts(&project.service_status("web")))
    );
    project.run(&["restart", "web"]).ok();
    let web = project.wait_ready("web");
    assert_eq!(
        (&web["watching"], &web["reason"]),
        (&true.into(), &serde_json::Value::Null)
    );
    project.write("src/app.js", "three");
    let again = project.wait("web", "runs again", |now| {
        now["ready"] == true && now["pid"] != web["pid"]
    });
    assert_eq!(crate::support::restarts(&again), known.1 + 2);
    assert!(project.events().contains("restarted: src/app.js changed"));
}
