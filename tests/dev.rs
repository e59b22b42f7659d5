//! `dev -d` and its flags: what it starts, what it refuses, what it returns.

use crate::support::{Project, Running, Terminal, free_port, is_alive, is_free, pid, restarts};

#[test]
fn a_detached_dev_returns_when_each_service_was_launched() {
    let port = free_port();
    let ready = format!("ready = {{ http = \"http://localhost:{port}/\" }}");
    let project = Project::new()
        .service("web", &format!("listen-when {port} open"), &ready)
        .service("worker", "", "depends_on = [\"web\"]");
    project.run(&["dev", "-d"]).ok();
    let web = project.service_status("web");
    assert_eq!((&web["status"], &web["ready"]), (&"online".into(), &false.into()));
    let worker = project.service_status("worker");
    assert_eq!(
        (&worker["status"], &worker["reason"]),
        (&"launching".into(), &"waits for web".into())
    );
    project.write("open", "");
    project.wait_ready("web");
    project.wait_status("worker", "online");
}

#[test]
fn a_dev_that_starts_nothing_leaves_nothing_of_what_it_started_ahead() {
    let project = Project::new().service("web", "", "no_such_key = 1");
    project.run(&["dev", "-d"]).code(1).says(&["no_such_key"]);
    let left = project.processes();
    assert!(left.is_empty(), "left behind: {left:#?}");
    assert!(!project.path(".dev").exists());
}

#[test]
fn what_dev_leaves_running_holds_nothing_that_the_shell_has_opened() {
    let project = Project::new().service("web", "", "");
    // `cat` reads until nobody holds the third descriptor any more.
    let line = "exec 7> held; XTASK dev -d 3>&1 >/dev/null | cat; echo ended";
    let shown = Terminal::run_shell(&project, line).shown();
    assert!(shown.contains("ended"), "{shown:?}");
    for process in project.processes() {
        let held: Vec<_> = std::fs::read_dir(format!("/proc/{}/fd", process.pid))
            .unwrap()
            .flatten()
            .filter_map(|entry| std::fs::read_link(entry.path()).ok())
            .filter(|target| target.ends_with("held"))
            .collect();
        assert!(held.is_empty(), "{process:?} holds {held:?}");
    }
}

#[test]
fn a_dev_whose_profile_is_named_otherwise_than_expected_starts_it_all_the_same() {
    let project = Project::new()
        .service("web", "", "")
        .toml("[profiles.prod]\nservices = [\"web\"]");
    project.run(&["dev", "-d"]).ok();
    assert_eq!(project.stacks()[0]["profile"], "prod");
    let of_dev = project
        .processes()
        .into_iter()
        .find(|process| process.command.contains(".dev dev "));
    assert!(of_dev.is_none(), "left behind: {of_dev:#?}");
}

#[test]
fn a_detached_dev_is_non_zero_when_a_service_failed_at_once_and_tells_the_fate_of_the_others() {
    let project = Project::new()
        .service("web", "", "min_uptime = 50")
        .service("bad", "", "")
        .toml("[profiles.dev]\nservices = [\"web\", \"bad\"]\noverrides.bad.script = \"no-such-program\"");
    project
        .run(&["dev", "-d"])
        .code(1)
        .says(&["error: ", "bad", "no-such-program"]);
    let bad = project.service_status("bad");
    assert_eq!(
        (&bad["status"], &bad["pid"], restarts(&bad)),
        (&"errored".into(), &serde_json::Value::Null, 0)
    );
    project.wait_ready("web");
}

#[test]
fn the_last_lines_of_a_failed_service_are_as_the_terminal_wants_them_whatever_stdout_is() {
    let words = r"printf 'A \302\2332J\302\2350;PWN\007 B\b\b\bX\nY \302\2332J\007\b\n'; exit 3";
    let project = Project::new().toml(&format!(
        "[services.web]\nscript = \"sh\"\nargs = ['-c', \"\"\"{}\"\"\"]\nmax_restarts = 0\n[profiles.dev]\nservices = [\"web\"]",
        words.replace('\\', "\\\\")
    ));
    let shown = Terminal::run_shell(&project, "XTASK dev -d --wait > out.txt").shown();
    assert!(shown.contains("| A  BX\r\n"), "{shown:?}");
    assert!(shown.contains("| Y\r\n"), "{shown:?}");
    let acts = |letter: char| letter.is_control() && !['\r', '\n', '\u{1b}'].contains(&letter);
    assert!(!shown.contains(acts), "{shown:?}");
    let time = regex::Regex::new(r"\d\d:\d\d:\d\d\.\d{3}").unwrap();
    assert!(time.is_match(&shown), "{shown:?}");
    assert!(project.read("out.txt").contains("errored"));
}

#[test]
fn a_detached_dev_prints_its_table_whatever_is_logged_meanwhile() {
    let project = Project::new().service("web", "out here", "");
    // News of the logs may arrive between any two answers of the supervisor: a new stack writes its first lines just then.
    for _ in 0..30 {
        project.run(&["dev", "-d"]).ok().prints(&[" id  name", "web"]);
        project.run(&["stop"]).ok();
        std::fs::remove_dir_all(project.path(".dev")).unwrap();
    }
}

#[test]
fn what_cannot_run_is_errored_at_once_and_says_which_and_why() {
    let project = Project::new().file("plain.sh", "#!/bin/sh\n").toml(
        "[services.missing]\nscript = \"no-such-program\"\n\
         [services.plain]\nscript = \"./plain.sh\"\n\
         [services.homeless]\nscript = \"PUPPET\"\ncwd = \"no-such-directory\"\n\
         [services.good]\nscript = \"PUPPET\"\nmin_uptime = 50\n\
         [profiles.dev]\nservices = [\"missing\", \"plain\", \"homeless\", \"good\"]",
    );
    let told = project.run(&["dev", "-d", "--wait"]).code(1);
    for (name, says) in [
        ("missing", "no-such-program"),
        ("plain", "plain.sh"),
        ("homeless", "no-such-directory"),
    ] {
        let service = project.service_status(name);
        assert_eq!(
            (&service["status"], restarts(&service)),
            (&"errored".into(), 0),
            "{service:#}"
        );
        let reason = service["reason"].as_str().unwrap();
        assert!(reason.contains(says), "{reason}");
        assert!(told.stderr.contains(says), "{told}");
    }
    assert!(
        project.service_status("plain")["reason"]
            .as_str()
            .unwrap()
            .contains("executable")
    );
    assert_eq!(project.service_status("good")["ready"], true);
}

#[test]
fn starting_again_changes_nothing() {
    let port = free_port();
    let project = Project::new().service(
        "web",
        &format!("count runs listen {port}"),
        &format!("ports = [{port}]"),
    );
    let before = project.up().stacks();
    project
        .run_with(&[("SHELL_ONLY", "new")], &["dev", "-d", "--wait"])
        .ok();
    let after = project.stacks();
    assert_eq!(pid(&before[0]["supervisor"]), pid(&after[0]["supervisor"]));
    assert_eq!(pid(&before[0]["services"][0]), pid(&after[0]["services"][0]));
    assert_eq!(project.lines("runs"), 1);
}

#[test]
fn two_detached_devs_at_once_make_one_stack() {
    let port = free_port();
    let project = Project::new().service(
        "web",
        &format!("count runs listen {port}"),
        &format!("ports = [{port}]"),
    );
    let racers: Vec<_> = (0..4).map(|_| project.start(&["dev", "-d", "--wait"])).collect();
    for racer in racers {
        racer.wait().ok();
    }
    assert_eq!(project.stacks().len(), 1);
    assert_eq!(project.lines("runs"), 1);
    project.run(&["stop"]).ok();
    project.wait_nothing_left();
}

#[test]
fn a_workspace_with_a_deep_path_works() {
    let deep = ["a-directory-with-a-rather-long-name"; 5].join("/");
    for project in [Project::below(&deep), Project::below(&deep).without_runtime_dir()] {
        let port = free_port();
        let project = project.service("web", &format!("listen {port}"), &format!("ports = [{port}]"));
        assert_eq!(project.up().service_status("web")["ready"], true);
        project.run(&["stop"]).ok();
        assert!(is_free(port));
        project.wait_nothing_left();
    }
}

#[test]
fn a_workspace_is_found_upwards_and_another_file_can_be_named() {
    let project = Project::new()
        .service("web", "cwd where", "min_uptime = 50")
        .file("packages/web/readme", "");
    let below = project.path("packages/web");
    let run = |args: &[&str], dir: &std::path::Path| {
        project
            .prepare(crate::support::xtask())
            .args(args)
            .current_dir(dir)
            .output()
            .unwrap()
    };
    assert!(run(&["dev", "-d", "--wait"], &below).status.success());
    assert_eq!(
        project.read("where"),
        project.path("").to_str().unwrap().trim_end_matches('/')
    );
    assert!(run(&["stop"], &below).status.success());
    let file = project.path("dev.toml");
    assert!(
        run(
            &["--file", file.to_str().unwrap(), "dev", "-d"],
            std::path::Path::new("/")
        )
        .status
        .success()
    );
    project.wait_status("web", "online");
}

#[test]
fn the_state_directory_may_be_written_in_any_way_and_only_one_of_ours_is_ignored() {
    for (written, dir) in [("./x", "x"), ("a//b/", "a/b"), (".", "."), ("kept", "kept")] {
        let project = Project::new()
            .head(&format!("state_dir = \"{written}\""))
            .file("kept/own", "")
            .service("web", "", "min_uptime = 50");
        project.up();
        assert!(project.path(dir).join("dev/state.json").exists(), "{written}");
        let is_ours = !["kept", "."].contains(&dir);
        assert_eq!(project.path(dir).join(".gitignore").exists(), is_ours, "{written}");
        assert_eq!(project.path(dir).join("dev/.gitignore").exists(), !is_ours, "{written}");
        // What runs is found, and stopped, by a broken file, too.
        project.write("dev.toml", &format!("{}\nfoo = = 3\n", project.read("dev.toml")));
        assert_eq!(project.stacks().len(), 1, "{written}");
        project.run(&["stop"]).ok().says(&["stopped dev"]);
        project.wait_nothing_left();
    }
}

#[test]
fn a_file_that_is_no_text_names_the_place_and_hides_nothing_that_runs() {
    let project = Project::new().service("web", "", "min_uptime = 50");
    project.up();
    let mut bytes = project.read("dev.toml").into_bytes();
    bytes.extend(b"\n# caf\xe9\n");
    std::fs::write(project.path("dev.toml"), bytes).unwrap();
    let line = project.read("dev.toml").lines().count();
    project
        .run(&["check"])
        .code(1)
        .says(&["error: ", &format!("dev.toml:{line}:6"), "UTF-8"]);
    assert_eq!(project.stacks().len(), 1);
    project.run(&["stop"]).ok();
}

#[test]
fn a_linked_dev_toml_makes_the_directory_of_the_link_a_workspace() {
    let project = Project::new().service("web", "", "min_uptime = 50");
    std::fs::create_dir(project.path("tree")).unwrap();
    std::os::unix::fs::symlink("../dev.toml", project.path("tree/dev.toml")).unwrap();
    let run = |args: &[&str]| {
        let mut command = project.prepare(crate::support::xtask());
        Running::start(command.args(args).current_dir(project.path("tree"))).wait()
    };
    run(&["dev", "-d", "--wait"]).ok();
    assert!(project.path("tree/.dev/dev").exists() && !project.path(".dev").exists());
    assert_eq!(project.stacks().len(), 0);
    run(&["stop"]).ok().says(&["stopped dev"]);
}

#[test]
fn profiles_inherit_override_and_are_chosen_by_flag_or_default() {
    let project = Project::new()
        .head("default_profile = \"small\"")
        .service(
            "web",
            "env web.json",
            "min_uptime = 50\nenv = { MODE = \"plain\", KEPT = \"yes\" }",
        )
        .service("extra", "", "min_uptime = 50")
        .toml(
            "[profiles.small]\nservices = [\"web\"]\n\
             [profiles.caddy]\nservices = [\"web\", \"extra\"]\noverrides.web.env = { MODE = \"caddy\" }\n\
             [profiles.tart]\nextends = \"caddy\"\nenv = { RUNTIME = \"tart\" }",
        );
    let names = |project: &Project| -> Vec<String> {
        let services = project.stacks()[0]["services"].as_array().unwrap().clone();
        services
            .iter()
            .map(|service| service["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let variables =
        |project: &Project| -> serde_json::Value { serde_json::from_str(&project.read("web.json")).unwrap() };
    for (args, profile, services, mode, runtime) in [
        (vec![], "small", vec!["web"], "plain", None),
        (vec!["--caddy"], "caddy", vec!["web", "extra"], "caddy", None),
        (vec!["-p", "tart"], "tart", vec!["web", "extra"], "caddy", Some("tart")),
    ] {
        project.run(&[vec!["dev", "-d", "--wait"], args].concat()).ok();
        assert_eq!(project.stacks()[0]["profile"], profile);
        let mut found = names(&project);
        found.sort_by_key(|name| services.iter().position(|service| service == name));
        assert_eq!(found, services);
        let env = variables(&project);
        assert_eq!(
            (env["MODE"].as_str(), env["KEPT"].as_str(), env["RUNTIME"].as_str()),
            (Some(mode), Some("yes"), runtime)
        );
        project.run(&["stop"]).ok();
    }
    project.run(&["dev", "-p", "smal"]).says(&["error: ", "smal", "small"]);
}

#[test]
fn only_and_except_choose_services() {
    let project = Project::new()
        .service("web", "count web.runs", "min_uptime = 50")
        .service("api", "count api.runs", "min_uptime = 50")
        .service("job", "count job.runs", "min_uptime = 50");
    project
        .run(&["dev", "-d", "--wait", "--only", "web,api", "--except", "api"])
        .ok();
    assert_eq!(
        ["web", "api", "job"].map(|name| project.lines(&format!("{name}.runs"))),
        [1, 0, 0]
    );
    // They count until the next `dev`.
    project.up();
    assert_eq!(
        ["web", "api", "job"].map(|name| project.lines(&format!("{name}.runs"))),
        [1, 1, 1]
    );
    project
        .run(&["dev", "-d", "--only", "wbe"])
        .code(1)
        .says(&["error: ", "wbe", "did you mean `web`?"]);
    project
        .run(&["dev", "-d", "--wait", "--only", "*b", "--except", "job"])
        .ok();
    let running: Vec<_> = project.stacks()[0]["services"].as_array().unwrap().clone();
    assert_eq!((running.len(), &running[0]["name"]), (1, &"web".into()));
}

#[test]
fn builds_run_before_the_services_and_no_build_leaves_them_out() {
    let project = Project::new().service("web", "count runs", "min_uptime = 50").toml(
        "[tasks.client]\nscript = \"PUPPET\"\nargs = \"out built-the-client count builds exit 0\"\n\
         [profiles.dev]\nservices = [\"web\"]\nbuild = [\"client\"]",
    );
    project.run(&["dev", "-d", "--wait", "--no-build"]).ok();
    assert_eq!((project.lines("builds"), project.lines("runs")), (0, 1));
    project.run(&["stop"]).ok();
    project.up();
    assert_eq!((project.lines("builds"), project.lines("runs")), (1, 2));
}

#[test]
fn a_failed_build_fails_dev_with_the_tasks_output_and_starts_nothing() {
    let project = Project::new().service("web", "count runs", "").toml(
        "[tasks.client]\nscript = \"PUPPET\"\nargs = \"out compiling err 'line 7: no such thing' exit 3\"\n\
         [profiles.dev]\nservices = [\"web\"]\nbuild = [\"client\"]",
    );
    let run = project.run(&["dev", "-d"]).code(1).says(&["error: ", "client", "3"]);
    assert!(
        format!("{}{}", run.stdout, run.stderr).contains("line 7: no such thing"),
        "{run}"
    );
    assert_eq!(project.lines("runs"), 0);
    assert_eq!(project.stacks().len(), 0);
    project.wait_nothing_left();
}

#[test]
fn a_profile_that_wants_the_ports_of_another_is_refused_until_told_to_replace_it() {
    let port = free_port();
    let project = Project::new()
        .service("old", &format!("listen {port}"), &format!("ports = [{port}]"))
        .service("new", &format!("listen {port}"), &format!("ports = [{port}]"))
        .toml("[profiles.one]\nservices = [\"old\"]\n[profiles.two]\nservices = [\"new\"]");
    project.run(&["dev", "-d", "--wait", "-p", "one"]).ok();
    let before = project.status();
    let port_text = port.to_string();
    project
        .run(&["dev", "-d", "-p", "two"])
        .code(1)
        .says(&["error: ", "one", &port_text, "--replace"]);
    let after = project.status();
    assert_eq!(after["stacks"].as_array().unwrap().len(), 1);
    assert_eq!(
        pid(&before["stacks"][0]["services"][0]),
        pid(&after["stacks"][0]["services"][0])
    );
    project.run(&["dev", "-d", "--wait", "-p", "two", "--replace"]).ok();
    let stacks = project.stacks();
    assert_eq!((stacks.len(), &stacks[0]["profile"]), (1, &"two".into()));
    assert_eq!(stacks[0]["services"][0]["ready"], true);
}

#[test]
fn another_worktree_that_holds_the_ports_is_named_and_can_be_replaced() {
    let port = free_port();
    let (words, keys) = (format!("listen {port}"), format!("ports = [{port}]"));
    let first = Project::below("first").service("web", &words, &keys);
    let second = Project::below("second").beside(&first).service("web", &words, &keys);
    let holder = pid(&first.up().service_status("web"));
    second
        .run(&["dev", "-d"])
        .code(1)
        .says(&["error: ", "--replace", &holder.to_string()]);
    second.run(&["dev", "-d", "--wait", "--replace"]).ok();
    assert_eq!(second.service_status("web")["ready"], true);
    assert_eq!(first.stacks().len(), 0);
    assert!(!is_alive(holder));
}
