//! Nothing left to work with: no descriptors, no processes. Errors say what is missing, nothing is lost, and when there is
//! room again it goes on.

use super::recovers;
use crate::support::{Project, Running, Value, free_port, wait_until};

/// A command of a shell that has set a limit first.
fn limited(project: &Project, limit: &str, args: &str) -> Running {
    let line = format!("{limit} && exec \"$XTASK\" {args}");
    Running::start(
        project
            .prepare("sh")
            .args(["-c", &line])
            .env("XTASK", crate::support::xtask()),
    )
}

fn services(project: &Project) -> Vec<Value> {
    project.stacks()[0]["services"].as_array().unwrap().clone()
}

fn count(services: &[Value], status: &str) -> usize {
    services.iter().filter(|service| service["status"] == status).count()
}

/// What a service without room says.
fn reason(services: &[Value]) -> String {
    let waiting = services
        .iter()
        .find(|service| service["status"] == "waiting restart")
        .unwrap();
    waiting["reason"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn with_64_descriptors_what_fits_runs_and_the_rest_waits_for_room() {
    let port = free_port();
    let mut project = Project::new().service("web", &format!("listen {port}"), &format!("ports = [{port}]"));
    for number in 0..30 {
        project = project.service(&format!("s{number}"), "out here", "min_uptime = 50");
    }
    let run = limited(&project, "ulimit -n 64", "dev -d").wait().code(1);
    run.says(&["error: ", "limit of open files", "ulimit -n"]);
    let before = services(&project);
    let (online, waiting) = (count(&before, "online"), count(&before, "waiting restart"));
    assert!(
        online >= 5 && waiting >= 5 && online + waiting == 31,
        "{online} online, {waiting} waiting"
    );
    assert!(reason(&before).contains("limit of open files"), "{}", reason(&before));

    // Room for one is made by the end of another.
    project.run(&["stop", "s0", "s1", "s2"]).ok();
    wait_until("others have taken the room", || {
        let now = services(&project);
        (count(&now, "online") >= online - 1 && count(&now, "waiting restart") < waiting).then_some(())
    });
    assert!(services(&project).iter().all(|service| service["status"] != "errored"));
    recovers(&project, port);
}

#[test]
fn more_commands_than_descriptors_are_told_so_and_the_stack_goes_on() {
    let port = free_port();
    let project = Project::new().service("web", &format!("listen {port}"), &format!("ports = [{port}]"));
    limited(&project, "ulimit -n 64", "dev -d --wait").wait().ok();
    // Some 20 find room. Not many more: each watches the logs, and of all of a user's there are 128 at most.
    let commands: Vec<_> = (0..28).map(|_| project.start(&["dev"])).collect();
    let told = wait_until("somebody is told", || {
        commands
            .iter()
            .find(|command| command.stderr().contains("no room for another connection"))
            .map(Running::stderr)
    });
    // One that has got in far enough to read the log files goes on with a warning.
    let is_told = told.contains("error: ") || told.contains("warning: ");
    assert!(is_told && told.contains("ulimit -n"), "{told}");
    drop(commands);
    wait_until("status works again", || {
        project.run(&["status"]).status.success().then_some(())
    });
    assert_eq!(project.service_status("web")["ready"], true);
    recovers(&project, port);
}

/// A command where there may be only so many processes and threads: for root in a group of the pids controller, for others by
/// their limit, in a user namespace that counts for itself.
#[cfg(target_os = "linux")]
fn with_processes(project: &Project, most: u32, args: &str) -> Running {
    if !rustix::process::getuid().is_root() {
        let mut command = project.prepare("unshare");
        command.args(["--user", "--map-current-user", "prlimit", &format!("--nproc={most}")]);
        return Running::start(command.arg(crate::support::xtask()).args(args.split(' ')));
    }
    let group = pids_group(project);
    // The one that an earlier command has made is as good.
    let _ = std::fs::create_dir(&group);
    std::fs::write(group.join("pids.max"), most.to_string()).expect("use the pids controller");
    limited(project, &format!("echo $$ >{}/cgroup.procs", group.display()), args)
}

/// The project's own group of the pids controller.
#[cfg(target_os = "linux")]
fn pids_group(project: &Project) -> std::path::PathBuf {
    let place = project.path("dev.toml").to_string_lossy().replace('/', "-");
    std::path::PathBuf::from(format!("/sys/fs/cgroup/pids/xtask-test{place}"))
}

/// Nothing of the project is left to be in it. One that stays behind all the same is in nobody's way.
#[cfg(target_os = "linux")]
fn remove_group(project: &Project) {
    let _ = std::fs::remove_dir(pids_group(project));
}

/// From now on a process that was started by `with_processes` may have only so many.
#[cfg(target_os = "linux")]
fn allow(project: &Project, pid: u32, most: u32) {
    use rustix::process::{Pid, Resource, Rlimit, getuid, prlimit};
    if getuid().is_root() {
        return std::fs::write(pids_group(project).join("pids.max"), most.to_string()).unwrap();
    }
    let pid = Pid::from_raw(pid.cast_signed());
    let limit = Rlimit {
        current: Some(most.into()),
        maximum: Some(MOST.into()),
    };
    prlimit(pid, Resource::Nproc, limit).unwrap();
}

/// More processes than a small stack has.
#[cfg(target_os = "linux")]
const MOST: u32 = 90;

#[cfg(target_os = "linux")]
#[test]
fn without_processes_what_fits_runs_and_the_rest_waits_for_room() {
    let port = free_port();
    let children = "child end ".repeat(60);
    let mut project = Project::new()
        .service(
            "hog",
            &format!("{children} out full"),
            "ready = { log = \"full\" }\nkill_timeout = 200",
        )
        .service("web", &format!("listen {port}"), &format!("ports = [{port}]"));
    for number in 0..24 {
        project = project.service(&format!("s{number}"), "wait-for go out here", "min_uptime = 50");
    }
    with_processes(&project, MOST, "dev -d --wait --only hog").wait().ok();
    project
        .run(&["dev", "-d"])
        .code(1)
        .says(&["error: ", "limit of processes", "ulimit -u"]);
    let before = services(&project);
    assert!(count(&before, "waiting restart") > 0, "there was room for all");
    assert!(reason(&before).contains("limit of processes"), "{}", reason(&before));
    assert!(before.iter().all(|service| service["status"] != "errored"));
    // There are no threads for their output either; it is read all the same.
    project.write("go", "");
    let online = before.iter().filter(|service| service["status"] == "online");
    for name in online
        .map(|service| service["name"].as_str().unwrap())
        .filter(|name| name.starts_with('s'))
    {
        let log = project.path(&format!(".dev/dev/logs/{name}-out.log"));
        wait_until(&format!("the line of {name} is in its log"), || {
            std::fs::read_to_string(&log).unwrap().contains(" here\n").then_some(())
        });
    }
    project.run(&["stop", "hog"]).ok();
    wait_until("all have room", || {
        (count(&services(&project), "online") == 25).then_some(())
    });
    project.wait_ready("web");
    project.run(&["stop"]).ok();
    project.wait_nothing_left();
    remove_group(&project);
    assert!(crate::support::is_free(port));
}

/// Whatever the number of threads that there is still room for: each of those that watching takes may be the one that is missing.
#[cfg(target_os = "linux")]
#[test]
fn without_a_thread_to_watch_with_the_stack_goes_on_and_says_so() {
    let project = Project::new()
        .service("web", "count web.runs", "min_uptime = 50\nwatch_delay = 50")
        .service("other", "out here", "min_uptime = 50")
        .file("src/main.rs", "one");
    with_processes(&project, MOST, "dev -d --wait").wait().ok();
    let other = project.service_status("other");
    let supervisor = project.supervisor();
    project.edit("watch_delay", "watch = [\"src\"]\nwatch_delay");
    let mut told = std::collections::BTreeSet::new();
    for most in 1..MOST {
        allow(&project, supervisor, most);
        let run = project.run(&["dev", "-d"]);
        allow(&project, supervisor, MOST);
        assert_eq!(project.supervisor(), supervisor, "with {most}: {run}");
        assert_eq!(project.service_status("other")["pid"], other["pid"]);
        let web = project.service_status("web");
        // It may not have been launched either, for as little room.
        let trouble = web["reason"]
            .as_str()
            .and_then(|reason| reason.split_once("watching failed: "));
        match trouble {
            Some((_, why)) => told.insert(why.to_owned()),
            None if run.status.success() => break,
            None => continue,
        };
    }
    assert!(!told.is_empty(), "there was room at once");
    assert!(told.iter().all(|why| why.contains("ulimit -u")), "{told:#?}");
    assert!(!project.read(".dev/dev/supervisor.log").contains("panicked"));
    // And now it is watched.
    let runs = project.lines("web.runs");
    project.write("src/main.rs", "two");
    project.wait_lines("web.runs", runs + 1);
    project.run(&["stop"]).ok();
    project.wait_nothing_left();
    remove_group(&project);
}

#[cfg(target_os = "linux")]
#[test]
fn a_command_that_follows_says_which_limit_leaves_it_no_thread() {
    let project = Project::new().toml(
        "[services.web]\nscript = \"sh\"\nargs = ['-c', 'while :; do echo here; sleep 0.05; done']\nmin_uptime = 50\n\
         [profiles.dev]\nservices = [\"web\"]",
    );
    project.run(&["dev", "-d", "--wait"]).ok();
    let enough = (1..MOST).find(|most| {
        let logs = with_processes(&project, *most, "logs -n 0");
        wait_until("it follows, or has ended", || {
            (logs.stdout().contains("here") || logs.stderr().contains('\n')).then_some(())
        });
        let said = logs.stderr();
        assert!(!said.contains("panicked"), "with {most}: {said}");
        assert!(said.is_empty() || said.contains("ulimit -u"), "with {most}: {said}");
        said.is_empty()
    });
    assert!(enough.is_some_and(|most| most > 1), "{enough:?}");
    project.run(&["stop"]).ok();
    project.wait_nothing_left();
    remove_group(&project);
}

#[cfg(target_os = "linux")]
#[test]
fn a_start_without_room_says_which_limit_to_raise() {
    let project = Project::new().service("web", "out here", "min_uptime = 50");
    let starts = |run: Running, advice: &str| {
        let run = run.wait();
        let is_up = run.status.success();
        assert!(is_up || run.stderr.contains(advice), "{run}");
        project.run(&["stop"]).ok();
        project.wait_nothing_left();
        is_up
    };
    let enough = (1..MOST).find(|most| starts(with_processes(&project, *most, "dev -d"), "ulimit -u"));
    assert!(enough.is_some_and(|most| most > 1), "{enough:?}");
    remove_group(&project);
    // With fewer the system cannot even load the program; with more there is something to stop.
    for most in 4..8 {
        starts(limited(&project, &format!("ulimit -n {most}"), "dev -d"), "ulimit -n");
    }
}
