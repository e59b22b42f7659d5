//! Whole trees: whatever a service started ends with it, wherever it moved, at a stop and after a crash.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{Project, free_port, is_alive, is_free, pid, wait_until};

/// How a child may escape: its name, and the words of the puppet around the child's own.
const ESCAPES: [(&str, &str, &str); 6] = [
    ("same-group", "child", "end"),
    ("own-group", "child group", "end"),
    ("own-session", "child session", "end"),
    ("double-fork", "child session child", "end exit 0 end"),
    ("cleared", "bare-child", "end"),
    (
        "cleared-double-fork",
        "bare-child session bare-child session",
        "end exit 0 end",
    ),
];

/// A service with a child of each kind, each with a port of its own, and the ports.
fn family(last_words: &str) -> (Project, Vec<u16>) {
    let ports: Vec<u16> = ESCAPES.iter().map(|_| free_port()).collect();
    let children = ESCAPES
        .iter()
        .zip(&ports)
        .map(|((name, before, after), port)| format!("{before} listen {port} pid {name}.pid {after}"));
    let words = format!("count runs {} {last_words}", children.collect::<Vec<_>>().join(" "));
    (
        Project::new().service(
            "family",
            &words,
            &format!("ports = {ports:?}\nkill_timeout = \"500ms\""),
        ),
        ports,
    )
}

fn pids(project: &Project) -> Vec<u32> {
    ESCAPES
        .iter()
        .map(|(name, ..)| project.pid_in(&format!("{name}.pid")))
        .collect()
}

#[test]
fn stop_ends_every_kind_of_descendant() {
    let (project, ports) = family("");
    let children = pids(project.up());
    let status = project.service_status("family");
    let mut expected = ports.clone();
    expected.sort_unstable();
    assert_eq!(
        status["ports"],
        serde_json::json!(expected),
        "the ports of the whole tree are its own"
    );
    project.run(&["stop", "family"]).ok();
    let alive: Vec<_> = ESCAPES.iter().zip(children).filter(|(_, pid)| is_alive(*pid)).collect();
    assert!(alive.is_empty(), "still alive: {alive:?}");
    assert!(ports.iter().all(|port| is_free(*port)));
    project.assert_no_service_process();
}

#[test]
fn a_crash_ends_every_kind_of_descendant_before_the_next_run() {
    let (project, _) = family("exit-when crash 1");
    let first = pids(project.up());
    let leader = pid(&project.service_status("family"));
    project.write("crash", "");
    let after = project.wait("family", "is up again", |service| {
        service["ready"] == true && service["pid"] != leader
    });
    // The children of the second run hold the same ports, so those of the first were gone before.
    assert_eq!((&after["restarts"], project.lines("runs")), (&1.into(), 2));
    let alive: Vec<_> = ESCAPES.iter().zip(first).filter(|(_, pid)| is_alive(*pid)).collect();
    assert!(alive.is_empty(), "still alive: {alive:?}");
}

#[test]
fn the_whole_stack_leaves_no_descendant() {
    let (project, ports) = family("");
    project.up().run(&["stop"]).ok();
    project.assert_no_service_process();
    assert!(ports.iter().all(|port| is_free(*port)));
    project.wait_nothing_left();
}

#[test]
fn a_descendant_that_ignores_its_signal_is_killed() {
    let port = free_port();
    let words = format!("child session ignore listen {port} pid child.pid end");
    let project = Project::new().service("web", &words, &format!("ports = [{port}]\nkill_timeout = \"300ms\""));
    project.up();
    project.run(&["stop", "web"]).ok();
    assert!(!is_alive(project.pid_in("child.pid")));
    assert_eq!(project.service_status("web")["status"], "stopped");
}

#[test]
fn children_that_a_one_shot_left_behind_go_with_it() {
    let project = Project::new().service(
        "task",
        "child session pid child.pid end wait-for child.pid exit 0",
        "autorestart = false",
    );
    project.run(&["dev", "-d", "--wait"]).ok();
    let child = project.pid_in("child.pid");
    project.wait_status("task", "stopped");
    assert!(!is_alive(child));
}

/// Where this machine lets us divide our cgroup, as it does for root and where it was delegated.
fn cgroup() -> Option<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?.to_owned();
    let mounts = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(|mount| Path::new(mount).join(&own));
    let dir = mounts.into_iter().find(|dir| dir.join("cgroup.procs").exists())?;
    let probe = dir.join(format!("probe-{}", std::process::id()));
    fs::create_dir(&probe).ok()?;
    fs::remove_dir(&probe).ok()?;
    Some(dir)
}

#[test]
fn what_hides_every_mark_is_found_by_its_cgroup() {
    let Some(own) = cgroup() else {
        // An extra of some machines, and not of every user's: no reason to fail, in CI either.
        return eprintln!("skipped: no cgroup that may be divided");
    };
    let hidden = "bare-child session unmark bare-child session pid hidden.pid end exit 0 end";
    let project = Project::new().service("web", &format!("wait-for placed {hidden}"), "");
    let (leader, supervisor) = (pid(&project.up().service_status("web")), project.supervisor());
    let ours = own.join(format!("xtask-{supervisor}"));
    let runs = || {
        fs::read_dir(&ours)
            .into_iter()
            .flatten()
            .flatten()
            .map(|run| run.path())
    };
    let runs = || runs().filter(|run| run.is_dir()).collect::<Vec<_>>();
    let run = wait_until("the service is in a cgroup of its own", || {
        let mut runs = runs().into_iter();
        runs.find(|run| fs::read_to_string(run.join("cgroup.procs")).is_ok_and(|pids| pids == format!("{leader}\n")))
    });
    project.write("placed", "");
    let hidden = project.pid_in("hidden.pid");
    project.run(&["stop", "web"]).ok();
    assert!(!is_alive(hidden), "it is attributed to its service");
    wait_until("its cgroup is removed", || (!run.exists()).then_some(()));
    project.run(&["stop"]).ok();
    assert!(!ours.exists(), "and that of the supervisor with it");
}

#[test]
fn a_killed_wrapper_does_not_leave_its_program_on_the_port() {
    let port = free_port();
    let project = Project::new().toml(&format!(
        "[services.web]\nscript = \"sh\"\nargs = [\"-c\", \"PUPPET count runs pid web.pid listen {port}; true\"]\nports = [{port}]\n"
    ));
    let project = project.toml("[profiles.dev]\nservices = [\"web\"]");
    let (wrapper, inner) = (pid(&project.up().service_status("web")), project.pid_in("web.pid"));
    assert_ne!(wrapper, inner);
    crate::support::signal(wrapper, crate::support::Signal::KILL);
    let after = project.wait("web", "is up again", |service| {
        service["ready"] == true && service["pid"] != wrapper
    });
    assert!(!is_alive(inner));
    assert_eq!(
        (&after["restarts"], &after["last_exit"]["signal"]),
        (&1.into(), &"SIGKILL".into())
    );
    let (status, body) = wait_until("it answers", || crate::support::get(port, "/"));
    assert_eq!((status, body), (200, project.read("web.pid")));
    assert_eq!(project.lines("runs"), 2);
}
