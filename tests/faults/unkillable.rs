//! What SIGKILL does not end is named and makes `stop` fail; who is not ours is never signalled.

use crate::support::{Project, Value, free_port, is_alive, json, pid, wait_until};
use std::fs;
use std::path::PathBuf;

/// A group of the first version's freezer: what is frozen in it does not die of SIGKILL until it is thawed.
#[cfg(target_os = "linux")]
struct Freezer(PathBuf);

#[cfg(target_os = "linux")]
impl Freezer {
    /// `None` where the system has none for us.
    fn new(name: &str) -> Option<Freezer> {
        let path = PathBuf::from(format!(
            "/sys/fs/cgroup/freezer/xtask-test-{name}-{}",
            std::process::id()
        ));
        let made = fs::create_dir(&path);
        let expected = std::env::var_os("CI").is_some() && rustix::process::getuid().is_root();
        assert!(made.is_ok() || !expected, "{}: {made:?}", path.display());
        if made.is_err() {
            println!("skipped: no freezer");
        }
        made.ok().map(|()| Freezer(path))
    }

    fn freeze(&self, pid: u32) {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).unwrap();
        fs::write(self.0.join("freezer.state"), "FROZEN").unwrap();
        wait_until("it is frozen", || {
            (fs::read_to_string(self.0.join("freezer.state")).unwrap().trim() == "FROZEN").then_some(())
        });
    }

    fn thaw(&self) {
        fs::write(self.0.join("freezer.state"), "THAWED").unwrap();
    }
}

#[cfg(target_os = "linux")]
impl Drop for Freezer {
    fn drop(&mut self) {
        self.thaw();
        let _ = crate::support::wait_at_most(crate::support::LIMIT, || fs::remove_dir(&self.0).ok());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn what_survives_sigkill_is_named_and_makes_stop_fail_until_it_is_gone() {
    let Some(freezer) = Freezer::new("named") else { return };
    let project = Project::new()
        .service(
            "web",
            "child session pid child.pid end",
            "min_uptime = 50\nkill_timeout = \"100ms\"\ndepends_on = [\"job\"]",
        )
        .service("job", "", "min_uptime = 50");
    project.up();
    let job = pid(&project.service_status("job"));
    let child = project.pid_in("child.pid");
    freezer.freeze(child);
    let named = format!("pid {child} (puppet) is in an uninterruptible call");
    project.run(&["stop", "web"]).code(1).says(&["error: ", "web", &named]);
    let web = project.service_status("web");
    assert_eq!(web["status"], "stopping");
    assert!(web["reason"].as_str().unwrap().contains(&named), "{web:#}");
    // The next run waits until nothing is left of this one.
    project
        .run(&["stop"])
        .code(1)
        .says(&["error: ", &named, "something of dev is left"]);
    assert!(is_alive(child) && !is_alive(job));
    project
        .run(&["dev", "-d"])
        .code(1)
        .says(&["error: ", &format!("process {child}"), "survives SIGKILL"]);

    freezer.thaw();
    crate::support::wait_gone(child);
    project.up();
    project.run(&["stop"]).ok();
    project.wait_nothing_left();
}

#[cfg(target_os = "linux")]
#[test]
fn a_service_that_was_stuck_starts_again_when_what_was_left_is_gone() {
    let Some(freezer) = Freezer::new("again") else { return };
    let project = Project::new().service(
        "web",
        "child session pid child.pid end",
        "min_uptime = 50\nkill_timeout = \"100ms\"",
    );
    project.up();
    let (first, child) = (pid(&project.service_status("web")), project.pid_in("child.pid"));
    freezer.freeze(child);
    project.run(&["stop", "web"]).code(1);
    let start = project.start(&["start", "web"]);
    assert_eq!(project.service_status("web")["status"], "stopping");
    freezer.thaw();
    start.wait().ok();
    assert_ne!(pid(&project.wait_ready("web")), first);
    assert!(!is_alive(child));
}

/// A state file as an earlier supervisor has left it, which names this process.
fn forge(project: &Project, pid: u32, change: impl Fn(&mut Value)) {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let mut state = json!({
        "version": 1, "boot": boot.trim(), "nonce": 4_711, "supervisor": {"pid": pid, "start": 1}, "socket": project.path("gone.sock"),
        "profile": "dev", "services": [{"name": "web", "id": 0, "leader": {"pid": pid, "start": 1}}],
    });
    change(&mut state);
    project.write(".dev/dev/state.json", &state.to_string());
}

#[test]
fn a_recycled_pid_is_never_signalled() {
    let port = free_port();
    let project = Project::new().service("web", &format!("listen {port}"), &format!("ports = [{port}]"));
    let mut stranger = project.prepare(&project.puppet()).spawn().expect("start a stranger");
    let pid = stranger.id();
    for forgery in [
        |_: &mut Value| {},
        |state: &mut Value| state["boot"] = json!("another boot"),
        |state: &mut Value| state["version"] = json!(999),
    ] {
        forge(&project, pid, forgery);
        project.run(&["status"]);
        project.run(&["stop"]).ok();
        forge(&project, pid, forgery);
        project.up();
        project.run(&["stop"]).ok();
        assert!(is_alive(pid), "a stranger was signalled");
    }
    stranger.kill().and_then(|()| stranger.wait()).unwrap();
}
