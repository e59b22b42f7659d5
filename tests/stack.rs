//! The files that a stack leaves and finds: state, sockets, several workspaces of one user.

use crate::support::{Project, Signal, Value, free_port, is_free, pid, signal};

#[test]
fn two_worktrees_run_side_by_side() {
    let make = |path: &str| {
        let port = free_port();
        (
            Project::below(path).service("web", &format!("listen {port}"), &format!("ports = [{port}]")),
            port,
        )
    };
    let (first, port) = make("tree");
    let (second, other) = make("tree");
    let second = second.beside(&first);
    first.up();
    second.up();
    first.run(&["stop", "--all"]).ok();
    assert!(is_free(port) && !is_free(other));
    assert_eq!((first.stacks().len(), second.stacks().len()), (0, 1));
}

#[test]
fn two_profiles_of_a_workspace_run_side_by_side() {
    let (one, two) = (free_port(), free_port());
    let project = Project::new()
        .service("web", &format!("listen {one}"), &format!("ports = [{one}]"))
        .service("api", &format!("listen {two}"), &format!("ports = [{two}]"))
        .toml("[profiles.one]\nservices = [\"web\"]\n[profiles.two]\nservices = [\"api\"]");
    project.run(&["dev", "-d", "--wait", "-p", "one"]).ok();
    project.run(&["dev", "-d", "--wait", "-p", "two"]).ok();
    assert_eq!(project.stacks().len(), 2);
    for profile in ["one", "two"] {
        assert!(project.path(&format!(".dev/{profile}/supervisor.log")).is_file());
    }
    project.run(&["stop", "--all"]).ok();
    assert!(is_free(one) && is_free(two));
    project.wait_nothing_left();
}

#[test]
fn a_recycled_pid_in_an_old_state_is_never_touched() {
    let project = Project::new().service("web", "", "min_uptime = 50");
    let stranger = project
        .prepare(&crate::support::puppet())
        .current_dir("/")
        .env_clear()
        .spawn();
    let mut stranger = stranger.unwrap();
    let old = pid(&project.up().service_status("web"));
    let state = project.read(".dev/dev/state.json");
    assert!(state.contains(&old.to_string()), "the state names the run: {state}");
    let supervisor = project.supervisor();
    let keeper = crate::support::parent_of(supervisor);
    for pid in [keeper, supervisor] {
        signal(pid, Signal::STOP);
    }
    for pid in [keeper, supervisor, old] {
        signal(pid, Signal::KILL);
        crate::support::wait_gone(pid);
    }
    // The pid now belongs to somebody else, who began at another time.
    project.write(
        ".dev/dev/state.json",
        &state.replace(&old.to_string(), &stranger.id().to_string()),
    );
    project.up();
    assert!(stranger.try_wait().unwrap().is_none(), "the stranger lives");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn a_broken_state_file_does_not_keep_a_stack_from_starting() {
    for text in ["", "{", "{\"version\":999}"] {
        let project = Project::new()
            .service("web", "", "min_uptime = 50")
            .file(".dev/dev/state.json", text);
        project.up();
        assert_eq!(project.service_status("web")["ready"], true);
    }
}

#[test]
fn a_copied_workspace_has_nothing_to_do_with_the_stack_of_the_first() {
    let project = Project::new()
        .service("web", "", "min_uptime = 50")
        .file("copy/kept", "")
        .file("victim", "");
    project.up();
    let copied = project.prepare("cp").args(["-a", "dev.toml", ".dev", "copy"]).status();
    assert!(copied.unwrap().success());
    let in_copy = |args: &[&str]| {
        let mut command = project.prepare(crate::support::xtask());
        let output = command.current_dir(project.path("copy")).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let shown: Value = serde_json::from_str(&in_copy(&["status", "--json"])).unwrap();
    assert_eq!(shown["stacks"], serde_json::json!([]));
    in_copy(&["stop"]);
    assert_eq!(project.service_status("web")["ready"], true);
    // Nor is anything removed that a state names and that is no socket of ours.
    let mut state: Value = serde_json::from_str(&project.read(".dev/dev/state.json")).unwrap();
    state["home"] = Value::Null;
    state["boot"] = "another".into();
    state["socket"] = project.path("victim").to_str().unwrap().into();
    project.write("copy/.dev/dev/state.json", &state.to_string());
    in_copy(&["stop"]);
    assert!(project.path("victim").exists() && !project.path("copy/.dev/dev/state.json").exists());
}

#[test]
fn the_state_directory_can_be_elsewhere() {
    let project = Project::new()
        .head("state_dir = \"var/state\"")
        .service("web", "out hello", "min_uptime = 50");
    project.up();
    assert!(project.path("var/state/dev/logs/web-out.log").is_file());
    assert!(!project.path(".dev").exists());
    project.run(&["stop"]).ok();
}
