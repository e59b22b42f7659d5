//! Files that are torn, stale, foreign, read-only, gone or cannot grow.

use super::{kill_both, recovers, stack};
use crate::support::{LIMIT, Project, free_port, is_alive, pid, restarts, wait_at_most, wait_until};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

const STATE: &str = ".dev/dev/state.json";

/// What may stand in a state file that is not ours: nothing, half of it, something else.
const TORN: [&str; 5] = [
    "",
    "{\"version\":1,\"boot\":\"",
    "\0\0\0\0\0\0",
    "[]",
    "{\"version\":2,\"stack\":{}}",
];

#[test]
fn a_state_file_that_cannot_be_read_stops_nobody_from_starting() {
    let (project, port) = stack();
    for text in TORN {
        project.write(STATE, text);
        assert_eq!(project.stacks().len(), 0);
        project.run(&["stop"]).ok();
        project.write(STATE, text);
        recovers(&project, port);
    }
}

#[test]
fn a_running_stack_does_not_need_its_state_file() {
    let (project, port) = stack();
    for text in TORN {
        let before = pid(&project.up().service_status("web"));
        project.write(STATE, text);
        assert_eq!(pid(&project.service_status("web")), before);
        project.run(&["restart", "web"]).ok();
        project.wait_ready("web");
        recovers(&project, port);
    }
}

#[test]
fn what_a_double_kill_left_is_cleared_by_a_state_file_of_a_newer_version() {
    let (project, port) = stack();
    project.up();
    let web = pid(&project.service_status("web"));
    kill_both(&project);
    let state = project.read(STATE);
    assert!(state.contains("\"version\":1"), "{state}");
    project.write(
        STATE,
        &state
            .replace("\"version\":1", "\"version\":999,\"new\":[1]")
            .replace("\"profile\"", "\"name\""),
    );
    project.run(&["stop"]).ok();
    assert!(!is_alive(web));
    recovers(&project, port);
}

#[test]
fn a_stale_socket_is_in_nobodys_way() {
    let (project, port) = stack();
    project.up();
    let state: crate::support::Value = serde_json::from_str(&project.read(STATE)).unwrap();
    let socket = PathBuf::from(state["socket"].as_str().unwrap());
    project.run(&["stop"]).ok();
    for file in ["a socket", "a file"] {
        if file == "a socket" {
            drop(UnixListener::bind(&socket).unwrap());
        } else {
            fs::write(&socket, "").unwrap();
        }
        assert!(socket.exists());
        assert_eq!(project.stacks().len(), 0, "{file}");
        recovers(&project, port);
        assert!(!socket.exists());
    }
}

#[test]
fn a_state_directory_that_goes_while_the_stack_runs_comes_back() {
    let (project, port) = stack();
    let before = pid(&project.up().service_status("web"));
    fs::remove_dir_all(project.path(".dev")).unwrap();
    assert_eq!(
        pid(&project.service_status("web")),
        before,
        "found without its directory"
    );
    wait_until("the state is written anew", || {
        project.path(STATE).exists().then_some(())
    });
    project.run(&["restart", "web"]).ok();
    assert_eq!(restarts(&project.wait_ready("web")), 1);
    // The next time, too.
    fs::remove_dir_all(project.path(".dev")).unwrap();
    wait_until("the state is written once more", || {
        project.path(STATE).exists().then_some(())
    });
    kill_both(&project);
    recovers(&project, port);
}

#[test]
fn stop_works_right_after_the_state_directory_has_gone() {
    let (project, port) = stack();
    project.up();
    fs::remove_dir_all(project.path(".dev")).unwrap();
    project.run(&["stop"]).ok();
    project.wait_nothing_left();
    recovers(&project, port);
}

#[test]
fn a_stack_whose_workspace_is_removed_stops() {
    let (project, _) = stack();
    project.up();
    fs::remove_dir_all(project.path("")).unwrap();
    project.wait_nothing_left();
}

#[test]
fn a_stack_whose_workspace_moves_goes_on_and_is_found_there() {
    let (project, port) = stack();
    let before = pid(&project.up().service_status("web"));
    let (here, there) = (project.path(""), project.path("").parent().unwrap().join("elsewhere"));
    fs::rename(&here, &there).unwrap();
    let status = crate::support::Running::start(
        project
            .prepare(crate::support::xtask())
            .args(["status", "--json"])
            .current_dir(&there),
    );
    assert!(status.wait().ok().stdout.contains(&format!("\"pid\":{before}")));
    fs::rename(&there, &here).unwrap();
    assert_eq!(pid(&project.service_status("web")), before);
    recovers(&project, port);
}

/// A small file system of its own, for root, who ignores permissions.
struct Small(PathBuf);

impl Small {
    fn mount(at: &Path) -> Small {
        fs::create_dir_all(at).unwrap();
        Small::call("mount", &["-t", "tmpfs", "-o", "size=256k,mode=700", "tmpfs"], at);
        Small(at.to_owned())
    }

    fn call(program: &str, args: &[&str], at: &Path) {
        let status = crate::support::command(program).args(args).arg(at).status();
        assert!(
            status.as_ref().is_ok_and(std::process::ExitStatus::success),
            "{program} {args:?} {}: {status:?}",
            at.display()
        );
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: somebody may still be at home.
        Small::call("umount", &["-l"], &self.0);
    }
}

fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

/// Keeps the state directory from being written, or lets it be written again. Root is not kept out by permissions, but by a
/// directory where a file should be.
fn permit(project: &Project, writable: bool) {
    if !is_root() {
        for dir in [".dev/dev/logs", ".dev/dev", ".dev"] {
            let mode = if writable { 0o700 } else { 0o500 };
            fs::set_permissions(project.path(dir), fs::Permissions::from_mode(mode)).unwrap();
        }
        return;
    }
    let obstacle = project.path(".dev/dev/state.tmp");
    if writable {
        fs::remove_dir(obstacle).unwrap();
    } else {
        fs::create_dir(obstacle).unwrap();
    }
}

#[test]
fn a_state_directory_that_becomes_read_only_neither_stops_nor_hides_the_stack() {
    let (project, port) = stack();
    project.up();
    permit(&project, false);
    project.run(&["restart", "web"]).ok();
    assert_eq!(restarts(&project.wait_ready("web")), 1);
    project.run(&["stop", "web"]).ok();
    project.run(&["start", "web"]).ok();
    project.wait_ready("web");
    let complaints = project.events().matches("failed to write").count();
    assert!(complaints <= 2, "says it {complaints} times");
    permit(&project, true);
    let before = project.read(STATE);
    project.run(&["restart", "web"]).ok();
    project.wait_ready("web");
    wait_until("the state is written again", || {
        (project.read(STATE) != before).then_some(())
    });
    kill_both(&project);
    recovers(&project, port);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_stops_nothing_and_what_comes_later_is_kept() {
    if !is_root() {
        println!("skipped: only root can mount a small file system");
        return;
    }
    let port = free_port();
    let project = Project::new()
        .service(
            "web",
            &format!("listen {port} out first wait-for more out second wait-for again out third"),
            &format!("ports = [{port}]"),
        )
        .service("flood", "flood 20000", "min_uptime = 50");
    let _small = Small::mount(&project.path(".dev"));
    project.up();
    let filler = project.path(".dev/filler");
    let full = wait_at_most(LIMIT, || fs::write(&filler, vec![0; 1 << 20]).is_err().then_some(()));
    assert!(full.is_some());
    project.write("more", "");
    project.run(&["restart", "flood"]).ok();
    project.wait_ready("flood");
    assert_eq!(project.service_status("web")["ready"], true);
    project.run(&["stop", "flood"]).ok();
    project.run(&["flush", "flood"]);
    fs::remove_file(&filler).unwrap();
    project.write("again", "");
    wait_until("the log goes on", || {
        project
            .read(".dev/dev/logs/web-out.log")
            .contains("third")
            .then_some(())
    });
    recovers(&project, port);
}

#[test]
fn a_state_directory_that_cannot_be_made_is_a_clear_error() {
    let (project, _) = stack();
    project.write(".dev", "a file");
    project.run(&["dev", "-d"]).code(1).says(&["error: ", ".dev"]);
    project.run(&["status"]);
    project.run(&["stop"]).ok();
    fs::remove_file(project.path(".dev")).unwrap();
    project.up();
}
