//! `status`: the table that people read and the JSON that scripts read.

use crate::support::{Project, Terminal, free_port, json, pid};

#[test]
fn nothing_running_is_an_empty_list() {
    let project = Project::new().service("web", "", "");
    assert_eq!(project.run(&["status", "--json"]).ok().stdout, "{\"stacks\":[]}\n");
    project.run(&["status"]).ok();
}

#[test]
fn the_json_has_the_fields_of_the_contract_in_their_order() {
    let port = free_port();
    let keys = format!("ports = [{port}]\nwatch = [\"src\"]");
    let project = Project::new()
        .file("src/a", "")
        .service("web", &format!("listen {port}"), &keys);
    let status = project.up().status();
    let keys = |value: &serde_json::Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    assert_eq!(keys(&status), ["stacks"]);
    let stack = &status["stacks"][0];
    assert_eq!(keys(stack), ["profile", "supervisor", "services"]);
    assert_eq!(keys(&stack["supervisor"]), ["pid", "uptime_ms", "version"]);
    assert_eq!(stack["supervisor"]["version"], env!("CARGO_PKG_VERSION"));
    let web = &stack["services"][0];
    let expected = "id name status ready pid restarts unstable_restarts uptime_ms cpu_percent memory_bytes ports watching reason \
                    last_exit out_log error_log log_dropped_bytes";
    assert_eq!(keys(web).join(" "), expected);
    assert!(
        web["cpu_percent"].is_number() && web["memory_bytes"].as_u64().unwrap() > 0,
        "{web:#}"
    );
    assert!(web["uptime_ms"].is_u64() && pid(web) > 0, "{web:#}");
    let logs = project.path(".dev/dev/logs");
    let fixed = json!({
        "id": 0, "name": "web", "status": "online", "ready": true, "restarts": 0, "unstable_restarts": 0, "ports": [port],
        "watching": true, "reason": null, "last_exit": null,
        "out_log": logs.join("web-out.log"), "error_log": logs.join("web-error.log"), "log_dropped_bytes": 0,
    });
    for (key, value) in fixed.as_object().unwrap() {
        assert_eq!(&web[key], value, "{key}");
    }
}

#[test]
fn what_does_not_run_has_no_pid_and_no_figures() {
    let project = Project::new().service("web", "", "min_uptime = 50");
    project.up().run(&["stop", "web"]).ok();
    let web = project.service_status("web");
    for key in ["pid", "uptime_ms", "cpu_percent", "memory_bytes"] {
        assert_eq!(web[key], json!(null), "{key}");
    }
    assert_eq!(
        (&web["status"], &web["ready"], &web["ports"]),
        (&json!("stopped"), &json!(false), &json!([]))
    );
}

#[test]
fn the_table_has_the_columns_of_the_contract() {
    let (port, other) = (free_port(), free_port());
    let project = Project::new()
        .service(
            "web",
            &format!("listen {port} child listen {other} end"),
            &format!("ports = [{port}, {other}]"),
        )
        .service("task", "exit 0", "autorestart = false");
    let run = project.up().run(&["status"]).ok();
    let rows: Vec<Vec<&str>> = run
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let header = rows
        .iter()
        .position(|row| row.first() == Some(&"id"))
        .expect("a header");
    assert_eq!(
        rows[header].join(" "),
        "id name pid status ready restarts uptime cpu memory ports watch"
    );
    let web = &rows[header + 1];
    let pid = pid(&project.service_status("web")).to_string();
    assert_eq!(web[..6], ["0", "web", &pid, "online", "yes", "0"]);
    assert!(web[7].ends_with('%') && web[8].ends_with(['K', 'M', 'G']), "{run}");
    assert_eq!(
        web[9..],
        [
            format!("{},", port.min(other)),
            port.max(other).to_string(),
            "no".to_owned()
        ]
    );
    assert_eq!(rows[header + 2][1], "task");
    // Columns line up: each begins where its head begins.
    let line = |index: usize| run.stdout.lines().nth(header + index).unwrap();
    assert_eq!(line(0).find("name"), line(1).find("web"));
    assert_eq!(line(0).find("status"), line(1).find("online"));
    assert!(!run.stdout.contains('\x1b'), "no colour through a pipe; {run}");
}

#[test]
fn ids_are_unique_over_the_stacks_of_a_workspace() {
    let project = Project::new()
        .service("web", "", "min_uptime = 50")
        .service("api", "", "min_uptime = 50")
        .toml("[profiles.one]\nservices = [\"web\", \"api\"]\n[profiles.two]\nservices = [\"web\", \"api\"]");
    for profile in ["one", "two"] {
        project.run(&["dev", "-d", "--wait", "-p", profile]).ok();
    }
    let stacks = project.stacks();
    let services = stacks.iter().flat_map(|stack| stack["services"].as_array().unwrap());
    let mut ids: Vec<u64> = services.map(|service| service["id"].as_u64().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, [0, 1, 2, 3]);
    let one = project.run(&["status", "-p", "two", "--json"]).ok();
    let one: serde_json::Value = serde_json::from_str(&one.stdout).unwrap();
    assert_eq!(
        one["stacks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|stack| &stack["profile"])
            .collect::<Vec<_>>(),
        ["two"]
    );
}

#[test]
fn the_ports_are_those_that_the_tree_listens_on_now() {
    let (declared, other) = (free_port(), free_port());
    let project = Project::new().service(
        "web",
        &format!("listen {other} wait-for go listen {declared}"),
        &format!("ports = [{declared}]"),
    );
    project.run(&["dev", "-d"]).ok();
    project.wait("web", "listens on the other port", |web| web["ports"] == json!([other]));
    assert_eq!(project.service_status("web")["ready"], false);
    project.write("go", "");
    let mut both = [declared, other];
    both.sort_unstable();
    assert_eq!(project.wait_ready("web")["ports"], json!(both));
}

#[test]
fn a_terminal_that_is_too_narrow_for_all_columns_shows_those_that_fit() {
    let name = "a-service-with-a-long-name";
    let project = Project::new().service(name, "", "min_uptime = 50");
    project.up();
    let all = "id name pid status ready restarts uptime cpu memory ports watch";
    for (columns, heads) in [(200, all), (80, ""), (20, "name pid status ready restarts ports")] {
        let shown = Terminal::run_in(&project, columns, &["status"]).shown();
        let lines: Vec<&str> = shown.lines().collect();
        let columns = usize::from(columns);
        // How wide a pid is, is not known.
        let is_shown: Vec<&str> = lines[0].split_whitespace().collect();
        assert!(
            heads.is_empty() || is_shown.join(" ") == heads,
            "{columns} columns:\n{shown}"
        );
        assert!(!is_shown.contains(&"watch") || columns > 80, "{shown}");
        assert!(is_shown.contains(&"ports") && shown.contains(name), "{shown}");
        assert!(
            columns < 80 || lines.iter().all(|line| line.len() <= columns),
            "{shown}"
        );
    }
}
